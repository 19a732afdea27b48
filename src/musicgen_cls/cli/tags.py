"""What predict does with its results on request: playlists, and genre tags after a question."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from musicgen_cls.errors import UsageError, counted
from musicgen_cls.files import as_path, shown
from musicgen_cls.formats.playlists import check_playlists, write_playlists
from musicgen_cls.tables import as_text
from musicgen_cls.tagging import changes
from musicgen_cls.tagging.genre import check_mutagen


def check_options(config: Any, generates: bool, genres: Sequence[str] = ()) -> None:
    """Raise `UsageError` for options on the results of predict that cannot be met, before anything is predicted."""
    if config.restore_tags:
        raise UsageError("restore_tags: in a config it has no effect; write --restore_tags on the command line")
    for name in ("playlists", "write_tags"):
        if getattr(config, name) and generates:
            raise UsageError(f"--{name}: a generator predicts no genres; name the checkpoint of a classifier")
    if config.playlists:
        check_playlists(as_path(config.out, "--out"), genres)
    if not config.write_tags:
        return
    check_mutagen("--write_tags")
    if not config.yes and not _is_terminal():
        raise UsageError("--write_tags: asks before it writes, but there is no terminal; add --yes to write at once")


def use_predictions(config: Any, out: Path, rows: Sequence[Mapping[str, Any]], genres: Sequence[str]) -> None:
    """Write the playlists and tags that the options ask for.

    Args:
        config: config of predict.
        out: folder of the results.
        rows: predictions of files.
        genres: names of the classes.

    Raises:
        UsageError: the tags of some files could not be written; the lines before name them.
    """
    if config.playlists:
        try:
            playlists = write_playlists(out, rows, genres)
        except OSError as error:
            raise UsageError(f"{out}: playlists cannot be written ({error.strerror}); free space") from error
        print(f"Playlists:   {', '.join(map(shown, playlists))}")
    if config.write_tags:
        write_tags(rows, config.threshold, out, ask=not config.yes)


def write_tags(rows: Sequence[Mapping[str, Any]], threshold: float, out: Path, ask: bool) -> None:
    """List the genre tags that would change, ask, and change them."""
    plan = changes.plan(rows, threshold)
    refused = list(plan.refused)
    if plan.changes:
        print(f"\n{_table(plan.changes)}\n")
    if plan.unsure:
        print(f"Tags:        {counted(plan.unsure, 'file')} below the threshold {threshold:g}, left unchanged")
    if plan.unchanged:
        print(f"Tags:        {counted(plan.unchanged, 'file')} with the predicted genre already")
    written = 0
    if plan.changes and (not ask or _agreed(len(plan.changes))):
        for change in plan.changes:
            reason = changes.apply(change, out)
            written += reason is None
            refused += [] if reason is None else [reason]
    undo = f"; musiccli predict --restore_tags --out {shown(out)} undoes it" if written else ""
    print(f"Tags:        written into {counted(written, 'file')}{undo}")
    report_refused(refused, "tagged")


def report_refused(reasons: Sequence[str], done: str) -> None:
    """Print a line for each file that was left as it is; raise `UsageError` if there is any."""
    for reason in reasons:
        print(f"not {done}: {shown(reason)}")
    if reasons:
        raise UsageError(f"{counted(len(reasons), 'file')} could not be {done}; the lines above name the reasons")


def _table(planned: Sequence[changes.Change]) -> str:
    rows = [
        [shown(change.file), shown(", ".join(change.old)) or "-", change.new, f"{100 * change.probability:.0f} %"]
        for change in planned
    ]
    return as_text(["file", "old genre", "new genre", "probability"], rows, left=["old genre", "new genre"])


def _agreed(number: int) -> bool:
    """Whether the user answers yes."""
    print(f"Write the new genre into {counted(number, 'file')}? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline() if sys.stdin else ""
    return answer.strip().lower() in ("y", "yes")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
