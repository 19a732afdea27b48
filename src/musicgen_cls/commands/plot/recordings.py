"""A sheet of each recording."""

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
from musicgen_cls.commands.workers import in_processes
from musicgen_cls.errors import AudioError, UsageError
from musicgen_cls.files import NAME_BYTES, shortened, shown

_COLUMNS = 3000  # of a picture: more than a screen has


def draw_files(
    paths: list[Path], folder: Path, sample_rate: int, ckpt_path: str | None, jobs: int,
    figure_format: plots.FigureFormat = "png",
) -> None:  # fmt: skip
    """A sheet of each file; those that cannot be used are named at the end."""
    from tqdm import tqdm

    names = sheet_names(paths, figure_format)
    jobs = 1 if len(paths) == 1 else jobs
    draw = partial(_draw_file, sample_rate=sample_rate, ckpt_path=ckpt_path)
    with closing(in_processes(draw, [*zip(paths, [folder / name for name in names], strict=True)], jobs)) as run:
        told = list(tqdm(run, total=len(paths), desc="Sheets", unit="file", disable=len(paths) == 1))
    refused = [reason for reason in told if reason]
    if len(refused) == len(paths):
        more = f" ({len(paths)} files, none of them usable)" if len(paths) > 1 else ""
        raise AudioError(refused[0] + more)
    for reason in refused:
        print(f"left out: {reason}")
    drawn = [name for name, reason in zip(names, told, strict=True) if not reason]
    print(f"Sheets:      {folder / drawn[0]}" + (f" and {len(drawn) - 1} more" if drawn[1:] else ""))


def sheet_names(paths: Sequence[Path], ending: str = "png") -> list[str]:
    """A name for each picture: the file's, below the folders that tell it from the others."""
    if len(paths) == 1:
        return [picture_name(paths[0], ending)]
    places = [Path(normpath(path.absolute())) for path in paths]
    common = commonpath([place.parent for place in places])
    return [str(place.relative_to(common).with_name(picture_name(place, ending))) for place in places]


def picture_name(path: Path, ending: str = "png") -> str:
    """Name of the picture of a file, cut where the file's own name is as long as names may be."""
    return f"{shortened(path.name, NAME_BYTES - len(ending) - 1)}.{ending}"


def _draw_file(paths: tuple[Path, Path], sample_rate: int, ckpt_path: str | None) -> str | None:
    """Draw a file as a picture; the reason if it cannot be used."""
    path, picture = paths
    try:
        waveform = read(path, sample_rate)
    except AudioError as error:
        return str(error)
    together = max(1, -(-len(waveform) // (HOP * _COLUMNS)))
    power = power_spectrogram(waveform, together)
    chroma = compiled_librosa().feature.chroma_stft(S=power, sr=sample_rate, n_fft=N_FFT)
    mel, centres = mel_of(power, sample_rate), mel_centres_hz(sample_rate)
    end_s = power.shape[1] * together * HOP / sample_rate
    seconds = len(waveform) / sample_rate
    title = f"{shown(path)}, {seconds:.{1 if seconds >= 1 else 3}f} s, at {sample_rate} Hz"
    below = _said(path, ckpt_path) if ckpt_path else None
    figure = plots.recording(title, waveform, sample_rate, decibels(power), mel, centres, chroma, end_s, below)
    try:
        plots.save(figure, picture)
    except UsageError as error:  # something else has its name
        return str(error)
    except OSError as error:
        return f"{picture}: cannot be written ({error.strerror}); give another folder with --out DIR"
    return None


def _said(path: Path, ckpt_path: str) -> Callable[[Any], None]:
    """Draws what a classifier says of a recording."""
    network = recogniser(ckpt_path)
    said = network.steps(path)
    return lambda ax: plots.draw_timeline(ax, said.start_s, said.end_s, said.probabilities, network.genres, None)


@cache
def recogniser(ckpt_path: str) -> Any:
    """A checkpoint's classifier, loaded once by each process.

    Raises:
        CheckpointError: it is none.
    """
    from musicgen_cls.recogniser import GenreRecogniser

    return GenreRecogniser(ckpt_path)
