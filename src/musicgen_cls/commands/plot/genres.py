"""Figures and tables of the differences between the genres of a collection."""

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
from musicgen_cls.files import check_not_read, shown
from musicgen_cls.formats.records import finite
from musicgen_cls.metrics.by_second import loudness
from musicgen_cls.metrics.intervals import student
from musicgen_cls.sources.base import Source, Track
from musicgen_cls.sources.recordings import check_recordings
from musicgen_cls.tables import write_csv

_TABLES = ("genres.csv", "tracks.csv")
_SHOWN_S, _TOGETHER = 30, 4  # in the average of a genre: seconds of each track, and frames in a column

MEASURES = {"loudness_db": "loudness in dB, full scale 0", "centroid_hz": "spectral centroid in Hz"}
"""The measures of each track, with their names in figures."""


@dataclass(frozen=True)
class TrackMeasures:
    """The mel spectrogram of a track, `[128, columns]` in dB, its loudness and its spectral centroid."""

    mel: Floats
    loudness_db: float
    centroid_hz: float


def draw_genres(
    source: Source, folder: Path, sample_rate: int, jobs: int, figure_format: plots.FigureFormat = "png"
) -> None:
    """Draw the average mel spectrogram and the measures of each genre, and write tables."""
    from tqdm import tqdm

    check_not_read(folder, _TABLES, source.lists, "--out")
    check_recordings(source)
    source.prepare()
    tracks = source.tracks()
    with closing(in_processes(partial(_measure, sample_rate=sample_rate), [t.path for t in tracks], jobs)) as run:
        results = list(tqdm(run, total=len(tracks), desc="Tracks", unit="track"))
    measured = [(track, own) for track, own in zip(tracks, results, strict=True) if isinstance(own, TrackMeasures)]
    refused = [*map(str, source.problems()), *(reason for reason in results if isinstance(reason, str))]
    if not measured:
        raise SourceError(f"{source.location}: no track can be used; the first: {refused[0]}")
    by_genre = {genre: [own for track, own in measured if track.genre == genre] for genre in source.genres}
    by_genre = {genre: sounds for genre, sounds in by_genre.items() if sounds}
    _draw_averages(by_genre, folder, sample_rate, figure_format)
    _draw_measures(by_genre, folder, figure_format)
    _write_tracks(measured, folder / "tracks.csv")
    if refused:
        print("\n  ".join([f"{counted(len(refused), 'file')} left out:", *map(shown, refused[:10])]))
    figures = ", ".join(f"{name}.{figure_format}" for name in ("mel", "spectrum", "sound"))
    print(f"Genres:      {folder}: {figures}, genres.csv, tracks.csv ({counted(len(measured), 'track')})")


def _measure(path: Path, sample_rate: int) -> TrackMeasures | str:
    """The measures of a track; the reason if it cannot be used."""
    try:
        waveform = read(path, sample_rate)
    except AudioError as error:
        return str(error)
    power = power_spectrogram(waveform[: _SHOWN_S * sample_rate], _TOGETHER)
    centroid = float(compiled_librosa().feature.spectral_centroid(S=np.sqrt(power), sr=sample_rate).mean())
    return TrackMeasures(mel_of(power, sample_rate), loudness(waveform), centroid)


def _draw_averages(
    by_genre: Mapping[str, Sequence[TrackMeasures]], folder: Path, sample_rate: int, suffix: plots.FigureFormat
) -> None:
    """Draw the average mel spectrogram of each genre, and its average over time."""
    averages = {genre: average([sound.mel for sound in sounds]) for genre, sounds in by_genre.items()}
    columns = min(mel.shape[1] for mel in averages.values())
    seconds, centres = columns * _TOGETHER * HOP / sample_rate, mel_centres_hz(sample_rate)
    titles = {genre: f"{genre}, {counted(len(sounds), 'track')}" for genre, sounds in by_genre.items()}
    genres = list(averages)
    for page in range(0, len(genres), 16):
        shown = genres[page : page + 16]
        mels = [averages[genre][:, :columns] for genre in shown]
        figure = plots.spectrogram_page(mels, [titles[genre] for genre in shown], None, seconds, centres)
        plots.save(figure, folder / (f"mel-{page // 16 + 1}.{suffix}" if page else f"mel.{suffix}"))
    plots.save(
        plots.spectra({genre: mel.mean(axis=1) for genre, mel in averages.items()}, centres),
        folder / f"spectrum.{suffix}",
    )


def average(mels: Sequence[Floats]) -> Floats:
    """Mean of mel spectrograms `[n_mels, columns]` of different lengths.

    The mean has the median length. Each column is the mean of the spectrograms that are long enough.
    """
    columns = int(np.median([mel.shape[1] for mel in mels]))
    total = np.zeros((len(mels[0]), columns), dtype=np.float32)
    count = np.zeros(columns, dtype=np.float32)
    for mel in mels:
        total[:, : mel.shape[1]] += mel[:, :columns]
        count[: mel.shape[1]] += 1
    return total / count


def _draw_measures(by_genre: Mapping[str, Sequence[TrackMeasures]], folder: Path, suffix: plots.FigureFormat) -> None:
    """Draw loudness and centroid of every track with means and intervals, and write the table of genres."""
    panels = {
        label: {genre: [float(getattr(sound, name)) for sound in sounds] for genre, sounds in by_genre.items()}
        for name, label in MEASURES.items()
    }
    plots.save(plots.strip_plots(panels, student), folder / f"sound.{suffix}")
    rows = []
    for genre, sounds in by_genre.items():
        row: dict[str, float | str | None] = {"genre": genre, "tracks": len(sounds)}
        for name in MEASURES:
            interval = student([getattr(sound, name) for sound in sounds])
            row |= finite({name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high})
        rows.append(row)
    write_csv(folder / "genres.csv", list(rows[0]), rows)


def _write_tracks(measured: Sequence[tuple[Track, TrackMeasures]], path: Path) -> None:
    """Write a row for each track."""
    rows = [
        {"track": track.id, "genre": track.genre, **{n: getattr(own, n) for n in MEASURES}} for track, own in measured
    ]
    write_csv(path, list(rows[0]), rows)
