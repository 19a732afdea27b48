"""Compares two files of results: `python benchmarks/compare.py before.json after.json`.

The files are those of one benchmark with its option `--json`, at two commits on one machine. The table has the ratio of
each figure, after / before. A figure has a mark if the ranges of its turns do not overlap. A single turn has no range;
such a figure has no mark, but a sentence below the table counts them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from musicgen_cls.errors import MusicClsError, UsageError
from musicgen_cls.tables import as_markdown
from results import Results, Row, read

OUTSIDE = "outside the spread"


def check_alike(before: Results, after: Results, force: bool) -> None:
    """Raise `UsageError` if results cannot be compared; `force` allows other machines and numbers of threads."""
    for what in ("benchmark", "machine", "threads"):
        first, second = getattr(before, what), getattr(after, what)
        if first != second and not (force and what != "benchmark"):
            remedy = "give two files of one benchmark" if what == "benchmark" else "measure again, or add --force"
            raise UsageError(f"{what}: '{first}' before and '{second}' after; {remedy}")


def mark(before: Row, after: Row) -> str:
    """Whether the ranges of the turns overlap."""
    ends = before.low, before.high, after.low, after.high
    if None in ends:
        return "one turn"
    return OUTSIDE if after.low > before.high or after.high < before.low else ""  # type: ignore[operator]


def table_of(before: Results, after: Results) -> list[dict[str, str]]:
    """A line for each figure of both files.

    Raises:
        UsageError: the files have no figure in common.
    """
    later = {row.name: row for row in after.rows}
    pairs = [(row, later[row.name]) for row in before.rows if row.name in later and row.unit == later[row.name].unit]
    if not pairs:
        raise UsageError("the files have no figure in common; give two files of one benchmark")
    return [
        {
            "figure": f"{first.name}, {first.unit}",
            "before": shown(first),
            "after": shown(second),
            "after / before": f"{second.value / first.value:.2f}" if first.value else "",
            "": mark(first, second),
        }
        for first, second in pairs
    ]


def shown(row: Row) -> str:
    """Value, minimum and maximum."""
    ends = "" if row.low is None or row.high is None else f" ({row.low:.3g}-{row.high:.3g})"
    return f"{row.value:.3g}{ends}"


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--force", action="store_true", help="compare other machines and numbers of threads too")
    options = parser.parse_args(args)
    try:
        before, after = read(options.before), read(options.after)
        check_alike(before, after, options.force)
        table = table_of(before, after)
    except MusicClsError as error:
        print(f"compare.py: error: {error}", file=sys.stderr)
        return 2
    print(as_markdown(table))
    names = [{row.name for row in part.rows} for part in (before, after)]
    print(f"\n{before.benchmark}: {before.commit} of {before.date}, then {after.commit} of {after.date}")
    if only := len(names[0] ^ names[1]):
        print(f"{only} figures are in one of the files only")
    return 0


if __name__ == "__main__":
    sys.exit(main())
