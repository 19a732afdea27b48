"""`musiccli pretrained`: the pretrained networks, and their weights in the cache."""

from __future__ import annotations

from typing import Literal

from musicgen_cls.errors import UsageError
from musicgen_cls.files import as_path
from musicgen_cls.pretrained.fetch import cached, fetch, known_names
from musicgen_cls.pretrained.table import WEIGHTS
from musicgen_cls.tables import as_text


def pretrained(
    action: Literal["list", "fetch"] = "list", names: list[str] | None = None, local: str | None = None
) -> None:
    """List the pretrained networks, or fetch the weights of some into the cache.

    Commands that need weights fetch them themselves. This command is for a machine without network: get the published
    files on another one, and name their folder with `--from`.

    Args:
        action: `list`, or `fetch`.
        names: networks to fetch, `all` for every one.
        local: a folder with published files, or one such file, to use instead of the network; also `--from` and
            `--wheel`.

    Raises:
        UsageError: there is no network of a name, or the local files are others.
        SourceError: no address can be reached.
    """
    if action == "list":
        if names or local:
            raise UsageError("pretrained list: takes no names and no --from; to fetch, musiccli pretrained fetch NAME")
        print(_table())
        return
    if not names:
        raise UsageError("pretrained fetch: no name; name networks, or all of them: musiccli pretrained fetch all")
    place = None if local is None else as_path(local, "--from")
    for name in known_names(names):
        print(f"{name:<16}{fetch(name, place)}")


def _table() -> str:
    """A row for each network."""
    rows = [
        [
            name,
            f"{weights.megabytes:.1f}",
            weights.licence,
            weights.trained_on,
            "yes" if cached(name).is_file() else "no",
        ]
        for name, weights in WEIGHTS.items()
    ]
    head = ["network", "MB", "licence", "trained on", "in the cache"]
    return as_text(head, rows, left=("licence", "trained on", "in the cache"))
