"""Figures of files: recordings and scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache, partial
from os.path import commonpath, normpath
from pathlib import Path
from typing import Any

from musicgen_cls import plots
from musicgen_cls.audio.compiled import compiled_librosa
from musicgen_cls.audio.io import read
from musicgen_cls.audio.spectra import HOP, N_FFT, decibels, mel_centres_hz, mel_of, power_spectrogram
from musicgen_cls.commands.plot.scores import figure_of_score, is_score, print_facts
from musicgen_cls.commands.workers import in_processes
from musicgen_cls.errors import AudioError, ScoreError, UsageError
from musicgen_cls.files import NAME_BYTES, shortened, shown

_COLUMNS = 3000  # of a spectrogram: more than a screen has


def draw_files(
    paths: list[Path], folder: Path, sample_rate: int, ckpt_path: str | None, jobs: int,
    figure_format: plots.FigureFormat = "png",
) -> None:  # fmt: skip
    """Draw a figure of each file; print the files that cannot be used at the end."""
    from tqdm import tqdm

    names = figure_names(paths, figure_format)
    jobs = 1 if len(paths) == 1 else jobs
    draw = partial(_draw_file, sample_rate=sample_rate, ckpt_path=ckpt_path)
    with closing(in_processes(draw, [*zip(paths, [folder / name for name in names], strict=True)], jobs)) as run:
        results = list(tqdm(run, total=len(paths), desc="Figures", unit="file", disable=len(paths) == 1))
    refused = [reason for reason in results if reason]
    if len(refused) == len(paths):
        more = f" ({len(paths)} files, none of them usable)" if len(paths) > 1 else ""
        raise AudioError(refused[0] + more)
    for reason in refused:
        print(f"left out: {reason}")
    drawn = [name for name, reason in zip(names, results, strict=True) if not reason]
    for path in [path for path, reason in zip(paths, results, strict=True) if not reason and is_score(path)]:
        print_facts(path)
    print(f"Figures:     {folder / drawn[0]}" + (f" and {len(drawn) - 1} more" if drawn[1:] else ""))


def figure_names(paths: Sequence[Path], suffix: str = "png") -> list[str]:
    """The path of each figure: the file's name, in the same sub-folders as the file."""
    if len(paths) == 1:
        return [figure_name(paths[0], suffix)]
    places = [Path(normpath(path.absolute())) for path in paths]
    common = commonpath([place.parent for place in places])
    return [str(place.relative_to(common).with_name(figure_name(place, suffix))) for place in places]


def figure_name(path: Path, suffix: str = "png") -> str:
    """The name of the figure of a file; it is shortened if the file's name has the maximum length."""
    return f"{shortened(path.name, NAME_BYTES - len(suffix) - 1)}.{suffix}"


def _draw_file(paths: tuple[Path, Path], sample_rate: int, ckpt_path: str | None) -> str | None:
    """Draw the figure of a file; the reason if the file cannot be used."""
    path, place = paths
    if ckpt_path and is_score(path):
        return f"{path}: a score, but --ckpt_path is for recordings; leave it out"
    try:
        figure = figure_of_score(path) if is_score(path) else _figure_of_recording(path, sample_rate, ckpt_path)
    except (AudioError, ScoreError) as error:
        return str(error)
    try:
        plots.save(figure, place)
    except UsageError as error:  # a folder or a device has its name
        return str(error)
    except OSError as error:
        return f"{place}: cannot be written ({error.strerror}); give another folder with --out DIR"
    return None


def _figure_of_recording(path: Path, sample_rate: int, ckpt_path: str | None) -> Any:
    waveform = read(path, sample_rate)
    together = max(1, -(-len(waveform) // (HOP * _COLUMNS)))
    power = power_spectrogram(waveform, together)
    chroma = compiled_librosa().feature.chroma_stft(S=power, sr=sample_rate, n_fft=N_FFT)
    mel, centres = mel_of(power, sample_rate), mel_centres_hz(sample_rate)
    end_s = power.shape[1] * together * HOP / sample_rate
    seconds = len(waveform) / sample_rate
    title = f"{shown(path)}, {seconds:.{1 if seconds >= 1 else 3}f} s, at {sample_rate} Hz"
    below = _timeline(path, ckpt_path) if ckpt_path else None
    return plots.recording(title, waveform, sample_rate, decibels(power), mel, centres, chroma, end_s, below)


def _timeline(path: Path, ckpt_path: str) -> Callable[[Any], None]:
    """A function that draws the predicted probabilities of a recording over time."""
    network = recogniser(ckpt_path)
    line = network.steps(path)
    return lambda ax: plots.draw_timeline(ax, line.start_s, line.end_s, line.probabilities, network.genres, None)


@cache
def recogniser(ckpt_path: str) -> Any:
    """The classifier of a checkpoint; each process loads it once.

    Raises:
        CheckpointError: the checkpoint is not one of a classifier.
    """
    from musicgen_cls.recogniser import GenreRecogniser

    return GenreRecogniser(ckpt_path)
