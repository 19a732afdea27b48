"""The folders that judge is given: which have recordings, which have scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from musicgen_cls.commands.judge.music import REAL
from musicgen_cls.commands.judge.scores import score_files
from musicgen_cls.errors import UsageError
from musicgen_cls.sources.base import AUDIO_SUFFIXES


@dataclass(frozen=True)
class Kinds:
    """What is judged: recordings or not, and the folder of the real scores, None if scores are not judged.

    `rendered`: there are no real recordings, but scores that can be rendered.
    """

    recordings: bool
    scores: Path | None
    rendered: bool
    note: str = ""


def kinds(generated: Path, real: Path, scores: Path | None) -> Kinds:
    """What a folder of generated music can be judged by.

    Raises:
        UsageError: the generated folder is empty, or the real one has recordings where it has scores, or the reverse.
    """
    has_recordings, has_scores = any(generated.glob("*/*.wav")), bool(score_files(generated))
    if not has_recordings and not has_scores:
        raise UsageError(
            f"{generated}: no wav files and no scores (.mid) in genre folders; name a folder that predict wrote with a "
            "generator"
        )
    if scores is not None and not score_files(scores):
        raise UsageError(f"--scores {scores}: no scores (.mid) in genre folders; name a folder of real scores")
    if scores is not None and not has_scores:
        raise UsageError(
            f"--scores {scores}: {generated} has recordings only, without scores (.mid) to compare; leave "
            "--scores out, or judge what a generator of notes wrote"
        )
    real_scores = scores or (real if score_files(real) else None)
    only_scores = real_scores == real and not holds_recordings(real)
    if not has_recordings and not real.is_dir():
        raise UsageError(f"{real}: no such folder; name one with a sub-folder of music for each genre")
    if not has_recordings and real_scores is None:
        raise UsageError(
            f"{real}: no scores (.mid) in genre folders, but {generated} has scores only; name real scores as REAL or "
            "with --scores"
        )
    if not has_scores and only_scores:
        raise UsageError(f"{real}: scores, but {generated} has recordings only; name a folder of real recordings")
    note = ""
    if has_scores and real_scores is None:
        note = f"the scores (.mid) of {generated} are not judged; --scores DIR names real scores to compare them with"
    elif has_recordings and only_scores:
        note = f"the real recordings are held-out scores of {real}, rendered by the built-in synthesiser"
    return Kinds(has_recordings, real_scores if has_scores else None, has_recordings and only_scores, note)


def holds_recordings(folder: Path) -> bool:
    """Whether the sub-folders of a folder have audio files."""
    return any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.glob("*/**/*"))


def short_names(folders: Sequence[Path]) -> Iterator[str]:
    """Short names of folders, all different."""
    names = [folder.resolve().name for folder in folders]
    for folder, name in zip(folders, names, strict=True):
        yield name if names.count(name) == 1 and name != REAL else str(folder)
