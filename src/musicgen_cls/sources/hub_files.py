"""Files of the Hugging Face hub: from its cache on this machine, or downloaded into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from musicgen_cls.errors import SourceError, UsageError, one_line

Kind = Literal["model", "dataset"]

PINNED = re.compile(r"[0-9a-f]{40}")
"""A revision that cannot change: the hash of a commit."""

_WAIT_S = 10.0  # for the first answer


def needed(module: str, what: str, extra: str = "hub") -> Any:
    """Import a library of an extra.

    Raises:
        UsageError: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{what}: needs {error.name}, which is not installed; run python -m pip install 'musicgen_cls[{extra}]'"
        ) from error


def files_of(
    name: str, revision: str, patterns: Sequence[str], complete: Callable[[Path], bool], kind: Kind = "model"
) -> Path:
    """The folder with files of a model or data set.

    Files of a pinned revision that are in the cache need no network. Those of another revision, such as `main`, are
    compared with the hub if it can be reached.

    Args:
        name: `organisation/name`.
        revision: a branch, a tag, or the hash of a commit.
        patterns: patterns of the wanted files.
        complete: whether a folder of the cache has what is needed.
        kind: what it is.

    Raises:
        UsageError: the hub has no such name or revision, or it needs a login.
        SourceError: the hub cannot be reached, and the files are not in the cache.
    """
    hub = needed("huggingface_hub", f"{name}@{revision}")
    cached = _cached(hub, name, revision, kind)
    if cached is not None and PINNED.fullmatch(revision) and complete(cached):
        return cached
    try:
        hub.HfApi().repo_info(name, revision=revision, repo_type=kind, timeout=_WAIT_S)
        folder = hub.snapshot_download(name, revision=revision, repo_type=kind, allow_patterns=list(patterns))
    except Exception as error:  # the hub's own errors, and those of two libraries for networks
        if (refused := _refusal(hub.errors, error, f"{name}@{revision}", kind)) is not None:
            raise refused from error
        if cached is not None and complete(cached):
            return cached
        raise SourceError(
            f"{name}@{revision}: the hub cannot be reached ({_reason(error)}), tried {hub.constants.ENDPOINT}, and it "
            f"is not in the cache {hub.constants.HF_HUB_CACHE}; download it on another machine with hf download "
            f"{name}{' --repo-type dataset' * (kind == 'dataset')} --revision {revision} --local-dir FOLDER, and name "
            "the folder in its place, or copy that machine's cache and set HF_HOME"
        ) from error
    return Path(folder)


def _cached(hub: Any, name: str, revision: str, kind: Kind) -> Path | None:
    try:
        return Path(hub.snapshot_download(name, revision=revision, repo_type=kind, local_files_only=True))
    except (OSError, ValueError):  # not there, or not a name
        return None


def _refusal(errors: Any, error: Exception, name: str, kind: Kind) -> UsageError | None:
    """The error for a name that the hub does not have or does not give; None for other failures."""
    what = "model" if kind == "model" else "data set"
    if isinstance(error, errors.GatedRepoError):
        return UsageError(f"{name}: its authors ask for a login; accept their terms on its page, and run hf auth login")
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"{name}: the hub has no such revision of this {what}; see its page for branches and commits")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UsageError(f"{name}: no such {what} on the hub, or a private one; check the name, or run hf auth login")
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{name}: not a name of the hub; write it as organisation/name@revision, or name a folder")
    return None


def _reason(error: Exception) -> str:
    """The cause of a failure in a few words."""
    if type(error).__name__ == "OfflineModeIsEnabled":
        return "HF_HUB_OFFLINE is set"
    return one_line(error.__cause__ or error).rstrip(".")[:200]
