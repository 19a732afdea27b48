"""What sets the genres of a collection apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from musicgen_cls import plots
from musicgen_cls.audio.compiled import compiled_librosa
from musicgen_cls.audio.io import read
from musicgen_cls.audio.spectra import HOP, Floats, mel_centres_hz, mel_of, power_spectrogram
from musicgen_cls.commands.workers import in_processes
from musicgen_cls.errors import AudioError, SourceError, counted
from musicgen_cls.formats.records import finite
from musicgen_cls.metrics.by_second import loudness
from musicgen_cls.metrics.intervals import student
from musicgen_cls.sources.base import Source, Track
from musicgen_cls.tables import write_csv

_SHOWN_S, _TOGETHER = 30, 4  # in the average of a genre: how much of a track is shown, and how many frames a column

MEASURES = {"loudness_db": "loudness in dB, full scale 0", "centroid_hz": "spectral centroid in Hz"}
"""What is said of each track beside its picture."""


@dataclass(frozen=True)
class Heard:
    """What is drawn of a track: its mel spectrogram `[128, columns]` in dB, its loudness and its centroid."""

    mel: Floats
    loudness_db: float
    centroid_hz: float


def draw_genres(
    source: Source, folder: Path, sample_rate: int, jobs: int, figure_format: plots.FigureFormat = "png"
) -> None:
    """Average pictures and measures of each genre, as pictures and tables."""
    from tqdm import tqdm

    source.prepare()
    tracks = source.tracks()
    with closing(in_processes(partial(_hear, sample_rate=sample_rate), [t.path for t in tracks], jobs)) as run:
        told = list(tqdm(run, total=len(tracks), desc="Tracks", unit="track"))
    heard = [(track, sound) for track, sound in zip(tracks, told, strict=True) if isinstance(sound, Heard)]
    refused = [*map(str, source.problems()), *(reason for reason in told if isinstance(reason, str))]
    if not heard:
        raise SourceError(f"{source.location}: no track can be used: {refused[0]}")
    by_genre = {genre: [sound for track, sound in heard if track.genre == genre] for genre in source.genres}
    by_genre = {genre: sounds for genre, sounds in by_genre.items() if sounds}
    _draw_averages(by_genre, folder, sample_rate, figure_format)
    _draw_measures(by_genre, folder, figure_format)
    _write_tracks(heard, folder / "tracks.csv")
    if refused:
        print("\n  ".join([f"{counted(len(refused), 'file')} left out:", *refused[:10]]))
    pictures = ", ".join(f"{name}.{figure_format}" for name in ("mel", "spectrum", "sound"))
    print(f"Genres:      {folder}: {pictures}, genres.csv, tracks.csv ({counted(len(heard), 'track')})")


def _hear(path: Path, sample_rate: int) -> Heard | str:
    """What is drawn of a track; the reason if it cannot be used."""
    try:
        waveform = read(path, sample_rate)
    except AudioError as error:
        return str(error)
    power = power_spectrogram(waveform[: _SHOWN_S * sample_rate], _TOGETHER)
    centroid = float(compiled_librosa().feature.spectral_centroid(S=np.sqrt(power), sr=sample_rate).mean())
    return Heard(mel_of(power, sample_rate), loudness(waveform), centroid)


def _draw_averages(
    by_genre: Mapping[str, Sequence[Heard]], folder: Path, sample_rate: int, ending: plots.FigureFormat
) -> None:
    """The average mel spectrogram of each genre, and its average over time."""
    averages = {genre: average([sound.mel for sound in sounds]) for genre, sounds in by_genre.items()}
    columns = min(picture.shape[1] for picture in averages.values())
    seconds, centres = columns * _TOGETHER * HOP / sample_rate, mel_centres_hz(sample_rate)
    titles = {genre: f"{genre}, {counted(len(sounds), 'track')}" for genre, sounds in by_genre.items()}
    genres = list(averages)
    for page in range(0, len(genres), 16):
        shown = genres[page : page + 16]
        pictures = [averages[genre][:, :columns] for genre in shown]
        figure = plots.spectrogram_page(pictures, [titles[genre] for genre in shown], None, seconds, centres)
        plots.save(figure, folder / (f"mel-{page // 16 + 1}.{ending}" if page else f"mel.{ending}"))
    plots.save(
        plots.spectra({genre: mel.mean(axis=1) for genre, mel in averages.items()}, centres),
        folder / f"spectrum.{ending}",
    )


def average(mels: Sequence[Floats]) -> Floats:
    """Mean of pictures `[n_mels, columns]` of several lengths, as long as half of them are, each column over those."""
    columns = int(np.median([mel.shape[1] for mel in mels]))
    total = np.zeros((len(mels[0]), columns), dtype=np.float32)
    count = np.zeros(columns, dtype=np.float32)
    for mel in mels:
        total[:, : mel.shape[1]] += mel[:, :columns]
        count[: mel.shape[1]] += 1
    return total / count


def _draw_measures(by_genre: Mapping[str, Sequence[Heard]], folder: Path, ending: plots.FigureFormat) -> None:
    """Loudness and centroid of every track, their means and intervals: a figure and a table."""
    panels = {
        label: {genre: [float(getattr(sound, name)) for sound in sounds] for genre, sounds in by_genre.items()}
        for name, label in MEASURES.items()
    }
    plots.save(plots.strip_plots(panels, student), folder / f"sound.{ending}")
    rows = []
    for genre, sounds in by_genre.items():
        row: dict[str, float | str | None] = {"genre": genre, "tracks": len(sounds)}
        for name in MEASURES:
            interval = student([getattr(sound, name) for sound in sounds])
            row |= finite({name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high})
        rows.append(row)
    write_csv(folder / "genres.csv", list(rows[0]), rows)


def _write_tracks(heard: Sequence[tuple[Track, Heard]], path: Path) -> None:
    """A row a track."""
    rows = [
        {"track": track.id, "genre": track.genre, **{n: getattr(sound, n) for n in MEASURES}} for track, sound in heard
    ]
    write_csv(path, list(rows[0]), rows)
