"""The command `plot`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from musicgen_cls import plots
from musicgen_cls.commands.plot.genres import draw_genres
from musicgen_cls.commands.plot.recordings import draw_files, recogniser
from musicgen_cls.errors import UsageError, check_jobs
from musicgen_cls.files import as_path, check_writable
from musicgen_cls.notes.midi import SUFFIXES
from musicgen_cls.sources.base import AUDIO_SUFFIXES, COMMON_SUFFIXES, Source
from musicgen_cls.sources.find import find_files, skipped_files

_DRAWN = (*AUDIO_SUFFIXES, *SUFFIXES)
"""Suffixes of the files in folders that are drawn."""


def plot(
    files: Sequence[str] = (),
    source: Source | None = None,
    out: str = "plots",
    sample_rate: int = 22050,
    ckpt_path: str | None = None,
    jobs: int = -1,
    figure_format: plots.FigureFormat = "png",
) -> Path:
    """Draw a figure of each recording or score, or figures of the differences between the genres of a collection.

    The figure of a recording has its waveform, spectrogram, mel spectrogram and chroma. The figure of a score, a MIDI
    file, is a piano roll with its key, tempo and metre, the number of notes of each instrument, and its length. For a
    collection, the figures show the average mel spectrogram and the spectral centroid of each genre, from the first
    30 s of its tracks, and the loudness of the tracks.

    Args:
        files: recordings or scores, folders of them, or patterns.
        source: a collection, such as GTZAN or Folder, instead of files.
        out: folder for figures and tables.
        sample_rate: sample rate, Hz; audio is resampled, and figures show frequencies up to half of it.
        ckpt_path: checkpoint of a classifier; the figures then show its predicted probabilities over time.
        jobs: number of processes; -1 for one per core.
        figure_format: format of the figures.

    Raises:
        AudioError: no file can be used.
        CheckpointError: the checkpoint is not one of a classifier of audio.
        SourceError: no track of the collection can be used.
        UsageError: there is nothing to draw, or the folder cannot be written.
    """
    if not 4000 <= sample_rate <= 96000:
        raise UsageError(f"--sample_rate {sample_rate}: must be from 4000 to 96000 Hz")
    check_jobs(jobs)
    if bool(files) == (source is not None):
        raise UsageError("plot: needs either files or --source; for example musiccli plot song.mp3")
    folder = as_path(out, "--out")
    paths = find_files(files, "FILE", _DRAWN, f"{COMMON_SUFFIXES}; mid, midi") if source is None else []
    if source is not None and ckpt_path is not None:
        raise UsageError(f"--ckpt_path {ckpt_path}: is for files; leave it out with --source")
    if source is not None and source.suffixes == SUFFIXES:
        raise UsageError(f"--source {type(source).__name__}: has scores; name them instead, as musiccli plot FOLDER")
    if ckpt_path is not None:
        recogniser(ckpt_path)  # report now if it cannot be used
    check_writable(folder, "--out DIR")
    if source is None:
        draw_files(paths, folder, sample_rate, ckpt_path, jobs, figure_format)
        for problem in skipped_files(files, "FILE", _DRAWN):
            print(f"left out: {problem}")
    else:
        draw_genres(source, folder, sample_rate, jobs, figure_format)
    return folder
