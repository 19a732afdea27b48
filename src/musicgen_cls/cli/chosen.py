"""The checkpoint that a command line names; nothing here imports Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from musicgen_cls import hub_generator, untrained
from musicgen_cls.cli.command_line import option
from musicgen_cls.errors import UsageError


def checkpoint_of(command: str, args: Sequence[str], alone: list[str], settings: Sequence[dict[str, Any]]) -> str:
    """The checkpoint of a command line: an argument without an option, `--ckpt_path`, or a setting of a config.

    It is removed from `alone`, the arguments without an option. For `predict` only a .ckpt file counts there, and
    without a config the untrained reading takes the place of a checkpoint that is not named.

    Raises:
        UsageError: there is none.
    """
    given = option(args, "ckpt_path")
    named = [word for word in alone if command != "predict" or word.endswith(".ckpt")]
    if named and given is None:
        alone.remove(named[0])
        return named[0]
    path = given or next((s["ckpt_path"] for s in reversed(settings) if s.get("ckpt_path")), None)
    if path is None and command == "predict" and not settings:
        return untrained.NAME
    if path is None:
        raise UsageError(f"{command} needs a checkpoint, as {_USE[command]}; without one it would use random weights")
    if not isinstance(path, str):
        raise UsageError(f"ckpt_path {path!r:.100}: not the name of a file; name a .ckpt file that fit wrote")
    return path


_USE = {
    "validate": "musiccli validate best.ckpt",
    "test": "musiccli test best.ckpt",
    "predict": "musiccli predict song.mp3 --ckpt_path best.ckpt",
}


def made_checkpoint(path: str, args: Sequence[str]) -> str:
    """The file of a checkpoint; for `untrained` and `musicgen` one that is made, of the genres in the command line.

    Raises:
        UsageError: genres are named for another checkpoint, or the reading does not have them.
        SourceError: no pretrained network can be fetched.
    """
    genres, tags = option(args, "genres"), option(args, "genre_tags")
    chosen = [] if genres is None else [genre.strip() for genre in genres.strip("[] ").split(",")]
    if hub_generator.is_meant(path) and tags is None:
        one = option(args, "data.genre")
        return str(hub_generator.checkpoint(path, chosen or ([] if one is None else [one])))
    if untrained.is_meant(path):
        return str(untrained.checkpoint(chosen, tags))
    if genres is not None or tags is not None:
        given = f"--genres {genres}" if tags is None else f"--genre_tags {tags}"
        raise UsageError(f"{given}: only for the untrained reading, but {path} has genres of its own; leave one out")
    return path
