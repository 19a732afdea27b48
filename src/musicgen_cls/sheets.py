"""`musiccli plot`: what music looks like, a recording on one sheet, or a collection genre by genre."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from os.path import commonpath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls import plots
from musicgen_cls.audio.io import Waveform, read
from musicgen_cls.errors import AudioError, SourceError, UsageError, check_jobs, check_positive
from musicgen_cls.metrics.scores import student
from musicgen_cls.metrics.sound import loudness
from musicgen_cls.mistakes import command_parser, source_of_its_own
from musicgen_cls.paths import check_writable, writing
from musicgen_cls.sources.files import find_files
from musicgen_cls.sources.known import SOURCES
from musicgen_cls.sources.track import Source, Track

Floats = npt.NDArray[np.float32]

_N_FFT, _HOP, _N_MELS = 2048, 512, 128
_COLUMNS = 3000  # of a picture: more than a screen has
_SHOWN_S, _TOGETHER = 30, 4  # in the average of a genre: how much of a track is shown, and how many frames a column

MEASURES = {"loudness_db": "loudness in dB, full scale 0", "centroid_hz": "spectral centroid in Hz"}
"""What is said of each track beside its picture."""


def plot(
    files: Sequence[str] = (),
    source: Source | None = None,
    out: str = "plots",
    sample_rate: int = 22050,
    ckpt_path: str | None = None,
    jobs: int = -1,
) -> Path:
    """Draw recordings, a sheet each, or what sets the genres of a collection apart.

    Of each file a sheet of waveform, spectrogram, mel spectrogram and chroma; of a source the average mel spectrogram,
    the loudness and the spectral centroid of each genre.

    Args:
        files: recordings, folders of them, or patterns.
        source: a collection, as GTZAN or Folder, instead of files.
        out: the folder for pictures and tables.
        sample_rate: that everything is brought to first, Hz; pictures end at half of it.
        ckpt_path: a classifier's checkpoint: below each recording stands what it says of it, moment by moment.
        jobs: processes; -1 for as many as there are cores.

    Raises:
        AudioError: none of the files can be used.
        CheckpointError: the checkpoint is none of a classifier of audio.
        SourceError: no track of a collection can be used.
        UsageError: there is nothing to draw, or nowhere to draw it to.
    """
    check_positive("--", sample_rate=sample_rate)
    check_jobs(jobs)
    if bool(files) == (source is not None):
        raise UsageError("name recordings, or a collection with --source, one of both: musiccli plot song.mp3")
    folder = Path(out).expanduser()
    paths = find_files(files, "FILE") if source is None else []
    if source is not None and ckpt_path is not None:
        raise UsageError(f"--ckpt_path {ckpt_path}: says something of recordings; leave it out with --source")
    if ckpt_path is not None:
        _recogniser(ckpt_path)  # told now if it cannot be used
    check_writable(folder, "--out DIR")
    if source is None:
        _draw_files(paths, folder, sample_rate, ckpt_path, jobs)
    else:
        _draw_genres(source, folder, sample_rate, jobs)
    return folder


def run(args: Sequence[str]) -> None:
    """Draw what the command line asks for."""
    parser = command_parser(plot, classes=SOURCES, listed="files")
    options = parser.instantiate_classes(parser.parse_args(list(args)))
    with source_of_its_own():
        plot(options.files, options.source, options.out, options.sample_rate, options.ckpt_path, options.jobs)


def power_spectrogram(waveform: Waveform, together: int = 1) -> Floats:
    """Power of each frequency, in memory that grows with the picture and not with the recording.

    Hann frames of 2048 samples, 512 apart.

    Args:
        waveform: full scale 1, `[samples]`.
        together: how many frames are averaged to a column.

    Returns:
        Power `[1025, columns]`; a column stands for `512 * together` samples, the last for what is left.
    """
    from librosa import stft

    width = _HOP * together
    count = -(-len(waveform) // width)
    padded = np.pad(waveform, (_N_FFT // 2, count * width - len(waveform) + _N_FFT // 2))
    step = max(1, 4096 // together)  # columns at once
    parts = []
    for start in range(0, count, step):
        end = min(start + step, count)
        frames = stft(padded[start * width : end * width - _HOP + _N_FFT], n_fft=_N_FFT, hop_length=_HOP, center=False)
        parts.append(np.square(np.abs(frames)).reshape(len(frames), end - start, together).mean(axis=2))
    return np.concatenate(parts, axis=1)


def decibels(power: Floats) -> Floats:
    """Power to dB, 0 for a power of 1."""
    return 10 * np.log10(np.maximum(power, 1e-10))


def mel_of(power: Floats, sample_rate: int) -> Floats:
    """Power `[1025, columns]` to dB in 128 mel bands `[128, columns]`."""
    from librosa.feature import melspectrogram

    return decibels(melspectrogram(S=power, sr=sample_rate, n_mels=_N_MELS))


def mel_centres_hz(sample_rate: int) -> npt.NDArray[np.float64]:
    """Centre frequencies of those bands, `[128]`."""
    from librosa import mel_frequencies

    return np.asarray(mel_frequencies(_N_MELS + 2, fmin=0.0, fmax=sample_rate / 2)[1:-1])


# Recordings


def _draw_files(paths: list[Path], folder: Path, sample_rate: int, ckpt_path: str | None, jobs: int) -> None:
    """A sheet of each file; those that cannot be used are named at the end."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    names = sheet_names(paths)
    jobs = 1 if len(paths) == 1 else jobs
    run = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_draw_file)(path, folder / name, sample_rate, ckpt_path)
        for path, name in zip(paths, names, strict=True)
    )
    told = list(tqdm(run, total=len(paths), desc="Sheets", unit="file", disable=len(paths) == 1))
    refused = [reason for reason in told if reason]
    if len(refused) == len(paths):
        more = f" ({len(paths)} files, none of them usable)" if len(paths) > 1 else ""
        raise AudioError(refused[0] + more)
    for reason in refused:
        print(f"left out: {reason}")
    drawn = [name for name, reason in zip(names, told, strict=True) if not reason]
    print(f"Sheets:      {folder / drawn[0]}" + (f" and {len(drawn) - 1} more" if drawn[1:] else ""))


def sheet_names(paths: Sequence[Path]) -> list[str]:
    """A name for each picture: the file's, after the folders that tell it from the others."""
    if len(paths) == 1:
        return [f"{paths[0].name}.png"]
    common = commonpath([path.absolute().parent for path in paths])
    return ["-".join(path.absolute().relative_to(common).parts) + ".png" for path in paths]


def _draw_file(path: Path, picture: Path, sample_rate: int, ckpt_path: str | None) -> str | None:
    """Draw a file; the reason if it cannot be used."""
    from librosa.feature import chroma_stft

    try:
        waveform = read(path, sample_rate)
    except AudioError as error:
        return str(error)
    together = max(1, -(-len(waveform) // (_HOP * _COLUMNS)))
    power = power_spectrogram(waveform, together)
    chroma = chroma_stft(S=power, sr=sample_rate, n_fft=_N_FFT)
    mel, centres = mel_of(power, sample_rate), mel_centres_hz(sample_rate)
    end_s = power.shape[1] * together * _HOP / sample_rate
    title = f"{path}, {len(waveform) / sample_rate:.1f} s, at {sample_rate} Hz"
    below = _said(path, ckpt_path) if ckpt_path else None
    plots.save(plots.sheet(title, waveform, sample_rate, decibels(power), mel, centres, chroma, end_s, below), picture)
    return None


def _said(path: Path, ckpt_path: str) -> Callable[[Any], None]:
    """Draws what a classifier says of a recording."""
    recogniser = _recogniser(ckpt_path)
    said = recogniser.steps(path)
    return lambda ax: plots.draw_timeline(ax, said.start_s, said.end_s, said.probabilities, recogniser.genres, None)


@cache
def _recogniser(ckpt_path: str) -> Any:
    """A checkpoint's classifier, loaded once by each process."""
    from musicgen_cls.inference import GenreRecogniser

    return GenreRecogniser(ckpt_path)


# Genres


@dataclass(frozen=True)
class Heard:
    """What is drawn of a track: its mel spectrogram `[128, columns]` in dB, its loudness and its centroid."""

    mel: Floats
    loudness_db: float
    centroid_hz: float


def _draw_genres(source: Source, folder: Path, sample_rate: int, jobs: int) -> None:
    """Average pictures and measures of each genre, as pictures and tables."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    source.prepare()
    tracks = source.tracks()
    run = Parallel(n_jobs=jobs, return_as="generator")(delayed(_hear)(track.path, sample_rate) for track in tracks)
    told = list(tqdm(run, total=len(tracks), desc="Tracks", unit="track"))
    heard = [(track, sound) for track, sound in zip(tracks, told, strict=True) if isinstance(sound, Heard)]
    refused = [reason for reason in told if isinstance(reason, str)]
    if not heard:
        raise SourceError(f"{source.location}: no track can be used: {refused[0]}")
    by_genre = {genre: [sound for track, sound in heard if track.genre == genre] for genre in source.genres}
    by_genre = {genre: sounds for genre, sounds in by_genre.items() if sounds}
    _draw_averages(by_genre, folder, sample_rate)
    _draw_measures(by_genre, folder)
    _write_tracks(heard, folder / "tracks.csv")
    if refused:
        print("\n  ".join([f"{len(refused)} files left out:", *refused[:10]]))
    print(f"Genres:      {folder}: mel.png, spectrum.png, sound.png, genres.csv, tracks.csv ({len(heard)} tracks)")


def _hear(path: Path, sample_rate: int) -> Heard | str:
    """What is drawn of a track; the reason if it cannot be used."""
    from librosa.feature import spectral_centroid

    try:
        waveform = read(path, sample_rate)
    except AudioError as error:
        return str(error)
    power = power_spectrogram(waveform[: _SHOWN_S * sample_rate], _TOGETHER)
    centroid = float(spectral_centroid(S=np.sqrt(power), sr=sample_rate).mean())
    return Heard(mel_of(power, sample_rate), loudness(waveform), centroid)


def _draw_averages(by_genre: Mapping[str, Sequence[Heard]], folder: Path, sample_rate: int) -> None:
    """The average mel spectrogram of each genre, and its average over time."""
    averages = {genre: average([sound.mel for sound in sounds]) for genre, sounds in by_genre.items()}
    columns = min(picture.shape[1] for picture in averages.values())
    seconds, centres = columns * _TOGETHER * _HOP / sample_rate, mel_centres_hz(sample_rate)
    titles = {genre: f"{genre}, {len(sounds)} tracks" for genre, sounds in by_genre.items()}
    genres = list(averages)
    for page in range(0, len(genres), 16):
        shown = genres[page : page + 16]
        pictures = [averages[genre][:, :columns] for genre in shown]
        figure = plots.spectrogram_page(pictures, [titles[genre] for genre in shown], None, seconds, centres)
        plots.save(figure, folder / (f"mel-{page // 16 + 1}.png" if page else "mel.png"))
    plots.save(
        plots.spectra({genre: mel.mean(axis=1) for genre, mel in averages.items()}, centres), folder / "spectrum.png"
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


def _draw_measures(by_genre: Mapping[str, Sequence[Heard]], folder: Path) -> None:
    """Loudness and centroid of every track, their means and intervals: a figure and a table."""
    import pandas as pd

    panels = {
        label: {genre: [float(getattr(sound, name)) for sound in sounds] for genre, sounds in by_genre.items()}
        for name, label in MEASURES.items()
    }
    plots.save(plots.strips(panels, student), folder / "sound.png")
    rows = []
    for genre, sounds in by_genre.items():
        row: dict[str, float | str] = {"genre": genre, "tracks": len(sounds)}
        for name in MEASURES:
            interval = student([getattr(sound, name) for sound in sounds])
            row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        rows.append(row)
    with writing(folder / "genres.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def _write_tracks(heard: Sequence[tuple[Track, Heard]], path: Path) -> None:
    """A row a track."""
    import pandas as pd

    rows = [
        {"track": track.id, "genre": track.genre, **{n: getattr(sound, n) for n in MEASURES}} for track, sound in heard
    ]
    with writing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
