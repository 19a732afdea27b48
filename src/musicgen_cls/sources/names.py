"""How the names of artists, genres, tracks and files are compared.

The first comparison is exact. The next two compare the composed forms of Unicode (NFC, then NFKC), since macOS writes
`é` as two characters. The last one ignores case, spaces and hyphens. The first comparison that finds a name decides; if
it finds several, the name is ambiguous.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable

_CONNECTING = ("Z", "Pd", "Pc", "Cf", "Cc")
"""Categories of characters that the last comparison ignores: spaces, hyphens, underscores, invisible characters."""


class AmbiguousName(ValueError):
    """A name that matches several others; the message names them."""


def composed(name: str) -> str:
    """A name with composed characters (NFC), whatever form the operating system wrote."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """A name in lower case without spaces and hyphens; a name of only such characters keeps them.

    `Hip-Hop` and `hip hop` become equal; `C++` and `C` do not.
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
    """Finds names among known names.

    Args:
        known: the names; they may repeat.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._indices: list[dict[str, dict[str, None]]] = [defaultdict(dict) for _ in _STEPS]
        for name in dict.fromkeys(known):
            for step, index in zip(_STEPS, self._indices, strict=True):
                index[step(name)][name] = None

    def find(self, name: str) -> str | None:
        """The known name that matches a name; None if there is none.

        Raises:
            AmbiguousName: several match.
        """
        for step, index in zip(_STEPS, self._indices, strict=True):
            found = list(index.get(step(name), ()))
            if len(found) > 1:
                raise AmbiguousName(f"'{name}' can be '{found[0]}' or '{found[1]}'")
            if found:
                return found[0]
        return None


def match(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """The known name that matches each name; names without a match are left out.

    Raises:
        AmbiguousName: a name matches several known names, or two different names match one.
    """
    index, found = Names(known), dict[str, str]()
    meant: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if (own := index.find(name)) is None:
            continue
        other = meant.setdefault(own, name)
        if composed(other) != composed(name):
            raise AmbiguousName(f"'{other}' and '{name}' can both be '{own}'")
        found[name] = own
    return found
