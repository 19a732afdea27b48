"""Checks that texts and names use the project's words: `python scripts/check_words.py [FILE ...]`.

Prints every line with a word of the table below, and what to write instead. Without files it checks the package, the
documentation and the benchmarks. A line with `words: ignore` is not checked, such as a reader of an older key.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKED = ("README.md", "CHANGELOG.md", "src/**/*", "docs/**/*", "benchmarks/**/*", "scripts/**/*")
SUFFIXES = (".py", ".md", ".rst", ".html", ".yaml")
IGNORE = "words: ignore"

# regular expressions of words, in lower case, and what to write instead
WORDS = {
    "anew|afresh": "again, from the start",
    "beginnings?": "start, prompt",
    "beware": "Warning",
    "by chance|chances?": "at random, random seed, sampling noise, probability, baseline",
    "ceilings?|floors and ceilings": "upper bound, lower bound",
    "foretold|foretells?": "predicted, predicts",
    "go on|goes on|going on|went on": "resume, continue",
    "granted": "given, allowed",
    "heard|hears?": "trained on, seen in training, prompt",
    "mend|mends|mended": "fix",
    "moments": "times; running mean and variance",
    "of which": "a sentence of its own",
    "persistence": "autoregressive prior",
    "pictures?|pictured": "figure, image, spectrogram",
    "rivals?": "reference, baseline",
    "rooms?": "module, page, slack",
    "row of cepstra|rows of cepstra": "cepstrogram, frame",
    "said": "printed, given, message",
    "say of|says of": "predict",
    "sheets?": "figure, page",
    "so many": "the number",
    "strangers?": "another user's, untrusted",
    "taken for|takes? .{1,30} for genre": "predicted as, counted as",
    "tells apart|tell apart|told apart": "distinguish",
    "told": "predicted, reported",
    "troubles?": "fault, failure",
    "twofold|thereof|thereby|hitherto": "plain words",
}

# a word ends at an underscore too, so that the parts of names count
_PATTERN = re.compile(r"(?<![a-z])(?:" + "|".join(f"({words})" for words in WORDS) + r")(?![a-z])")


def found_in(text: str) -> Iterator[tuple[int, str, str]]:
    """The number of each line with a word of the table, the word, and what to write instead."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in _PATTERN.finditer(_as_words(line)) if IGNORE not in line else ():
            yield number, match[0], [*WORDS.values()][match.lastindex - 1 if match.lastindex else 0]


def _as_words(line: str) -> str:
    """A line in lower case, with an underscore between the words of names such as `TestReport`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", line).lower()


def files() -> list[Path]:
    """The files to check, without this one."""
    found = {path for pattern in CHECKED for path in ROOT.glob(pattern) if path.suffix in SUFFIXES}
    return sorted(found - {Path(__file__).resolve()})


def main(names: Sequence[str]) -> int:
    """Print what is found; the exit status is 1 if there is anything."""
    status = 0
    for path in map(Path, names) if names else files():
        for number, word, instead in found_in(path.read_text(encoding="utf-8")):
            print(f"{path}:{number}: '{word}': write {instead}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
