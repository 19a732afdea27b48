"""How the names of artists, genres, tracks and files are compared.

The first comparison is exact. The next two compare the composed forms of Unicode (NFC, then NFKC), since macOS writes
`é` as two characters. The last one ignores case, spaces and hyphens. The first comparison that finds a name decides; if
it finds several, the name is ambiguous.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping

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


def _compatible(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


_STEPS: tuple[Callable[[str], str], ...] = (composed, _compatible, folded)
"""The comparisons after the exact one."""


class Names:
    """Finds names among known names.

    Args:
        known: the names; they may repeat.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = known if isinstance(known, Mapping) else dict.fromkeys(known)
        self._indices: dict[int, dict[str, tuple[str, ...]]] = {}

    def find(self, name: str) -> str | None:
        """The known name that matches a name; None if there is none.

        Raises:
            AmbiguousName: several match.
        """
        if name in self._known:
            return name
        for number, step in enumerate(_STEPS):
            found = self._index(number).get(step(name), ())
            if len(found) > 1:
                raise AmbiguousName(f"'{name}' can be '{found[0]}' or '{found[1]}'")
            if found:
                return found[0]
        return None

    def _index(self, number: int) -> dict[str, tuple[str, ...]]:
        """Up to two of the names that are equal in a comparison; made when a name needs it, since it takes memory."""
        if number not in self._indices:
            index = self._indices[number] = {}
            for name in self._known:
                found = index.get(key := _STEPS[number](name), ())
                if len(found) < 2:
                    index[key] = (*found, name)
        return self._indices[number]


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
