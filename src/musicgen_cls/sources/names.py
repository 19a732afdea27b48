"""How names are compared, everywhere: of artists, genres, tracks and files.

A name is looked for exactly as it is; then as Unicode composes it (NFC, then NFKC: macOS writes `é` as two characters);
then loosely, without regard to case, spaces and hyphens. Each step counts only where it finds a single name.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable

_CONNECTING = ("Z", "Pd", "Pc", "Cf", "Cc")
"""Categories of characters that a loose comparison leaves out: spaces, hyphens, underscores, invisible ones."""


class AmbiguousName(ValueError):
    """A name that may mean several others; the message names them."""


def composed(name: str) -> str:
    """A name with composed characters: the same text as another system may have written with combining ones."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """A name without regard to case, spaces and hyphens; a name of nothing else stays as it is.

    `Hip-Hop` and `hip hop` are the same; `C++` and `C` are not.
    """
    plain = _compatible(_compatible(name).casefold())
    kept = "".join(character for character in plain if not unicodedata.category(character).startswith(_CONNECTING))
    return kept or plain


def _exact(name: str) -> str:
    return name


def _compatible(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


_STEPS: tuple[Callable[[str], str], ...] = (_exact, composed, _compatible, folded)


class Names:
    """Known names, to find others in.

    Args:
        known: the names; each may stand there several times.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._indices: list[dict[str, dict[str, None]]] = [defaultdict(dict) for _ in _STEPS]
        for name in dict.fromkeys(known):
            for step, index in zip(_STEPS, self._indices, strict=True):
                index[step(name)][name] = None

    def find(self, name: str) -> str | None:
        """The known name that a name means; None if there is none.

        Raises:
            AmbiguousName: it may mean several.
        """
        for step, index in zip(_STEPS, self._indices, strict=True):
            found = list(index.get(step(name), ()))
            if len(found) > 1:
                raise AmbiguousName(f"'{name}' may be '{found[0]}' or '{found[1]}'")
            if found:
                return found[0]
        return None


def match(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Which known name each name means; names that mean none are left out.

    Raises:
        AmbiguousName: a name may mean several known ones, or two names that differ mean one.
    """
    index, found = Names(known), dict[str, str]()
    meant: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if (own := index.find(name)) is None:
            continue
        other = meant.setdefault(own, name)
        if composed(other) != composed(name):
            raise AmbiguousName(f"'{other}' and '{name}' may both be '{own}'")
        found[name] = own
    return found
