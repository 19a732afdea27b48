"""The command: what is to be drawn, and where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from musicgen_cls import plots
from musicgen_cls.commands.plot.genres import draw_genres
from musicgen_cls.commands.plot.recordings import draw_files, recogniser
from musicgen_cls.errors import UsageError, check_jobs
from musicgen_cls.files import as_path, check_writable
from musicgen_cls.sources.base import Source
from musicgen_cls.sources.find import find_files, passed_by


def plot(
    files: Sequence[str] = (),
    source: Source | None = None,
    out: str = "plots",
    sample_rate: int = 22050,
    ckpt_path: str | None = None,
    jobs: int = -1,
    figure_format: plots.FigureFormat = "png",
) -> Path:
    """Draw recordings, a sheet each, or what sets the genres of a collection apart.

    Of each file a sheet of waveform, spectrogram, mel spectrogram and chroma; of a source the average mel spectrogram
    and the spectral centroid of each genre, from the first 30 s of its tracks, and their loudness.

    Args:
        files: recordings, folders of them, or patterns.
        source: a collection, as GTZAN or Folder, instead of files.
        out: the folder for pictures and tables.
        sample_rate: that everything is brought to first, Hz; pictures end at half of it.
        ckpt_path: a classifier's checkpoint: below each recording stands what it says of it, moment by moment.
        jobs: processes; -1 for as many as there are cores.
        figure_format: of the pictures.

    Raises:
        AudioError: none of the files can be used.
        CheckpointError: the checkpoint is none of a classifier of audio.
        SourceError: no track of a collection can be used.
        UsageError: there is nothing to draw, or nowhere to draw it to.
    """
    if not 4000 <= sample_rate <= 96000:
        raise UsageError(f"--sample_rate {sample_rate}: must be 4000 to 96000 Hz, for 128 mel bands of 2048 samples")
    check_jobs(jobs)
    if bool(files) == (source is not None):
        raise UsageError("name recordings, or a collection with --source, one of both: musiccli plot song.mp3")
    folder = as_path(out, "--out")
    paths = find_files(files, "FILE") if source is None else []
    if source is not None and ckpt_path is not None:
        raise UsageError(f"--ckpt_path {ckpt_path}: says something of recordings; leave it out with --source")
    if ckpt_path is not None:
        recogniser(ckpt_path)  # told now if it cannot be used
    check_writable(folder, "--out DIR")
    if source is None:
        draw_files(paths, folder, sample_rate, ckpt_path, jobs, figure_format)
        for problem in passed_by(files, "FILE"):
            print(f"left out: {problem}")
    else:
        draw_genres(source, folder, sample_rate, jobs, figure_format)
    return folder
