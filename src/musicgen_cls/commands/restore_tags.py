"""`musiccli predict --restore_tags`: undoes `musiccli predict --write_tags`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from musicgen_cls.cli.tags import report_refused
from musicgen_cls.errors import UsageError, counted
from musicgen_cls.files import as_path
from musicgen_cls.sources.find import find_files
from musicgen_cls.tagging import undo
from musicgen_cls.tagging.genre import TagError


def restore_tags(
    files: Sequence[str] = (),
    out: str = "predictions",
    restore_tags: bool = True,
    ckpt_path: str | None = None,
    yes: bool = False,
) -> None:
    """Give files back the bytes that they had before predict --write_tags.

    A file that has changed since is named and left as it is.

    Args:
        files: files, folders and patterns; all files of the journal if there are none.
        out: folder of the predictions, with the journal of the changed tags.
        restore_tags: set by this option.
        ckpt_path: not needed.
        yes: not needed, since this asks nothing.
    """
    folder = as_path(out, "--out")
    if not (folder / undo.JOURNAL).is_file():
        raise UsageError(
            f"{folder / undo.JOURNAL}: no such file, so there are no tags to restore; name the folder of the "
            "predictions with --out DIR"
        )
    names = [name for name in files if not name.endswith(".ckpt")]
    wanted = {path.resolve() for path in find_files(names, "NAME")} if names else None
    restored, refused, left = 0, list[str](), list[undo.TagChange]()
    for change in reversed(undo.changes(folder)):  # a file can have changed twice
        if wanted is not None and Path(change.file) not in wanted:
            left.append(change)
            continue
        try:
            restored += undo.restore(change)
        except TagError as error:
            refused.append(str(error))
            left.append(change)
    undo.keep(folder, left[::-1])
    print(f"Tags:        restored in {counted(restored, 'file')}")
    report_refused(list(dict.fromkeys(refused)), "restored")  # a file that changed twice is named once
