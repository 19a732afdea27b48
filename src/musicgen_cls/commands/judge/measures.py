"""The measures of every kind of music that judge compares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_cls.audio.windows import to_samples
from musicgen_cls.commands.judge.embeddings import Embedding, Spectra, at_rate
from musicgen_cls.commands.judge.music import REAL, Music, Sounds, Waveform
from musicgen_cls.errors import AudioError
from musicgen_cls.metrics import by_second as sound
from musicgen_cls.metrics import distances
from musicgen_cls.metrics.intervals import stratified_bootstrap, wilson
from musicgen_cls.metrics.rhythm import audio_beat
from musicgen_cls.recogniser import GenreRecogniser

BEAT, STEADINESS = "beat: peak of the onsets' autocorrelation", "steadiness of the tempo"

_BANK_HOP_S = 1 / 16  # from one training window to the next, so that a window of a copy is near one of them
_BEAT_S = 4.0  # shorter tracks hold too few periods of a slow beat
_STEADY_S = 20.0  # in shorter tracks the windows overlap so much that even noise looks steady
_QUIET_DB = -60.0  # quieter windows are not compared


def measure(
    music: list[Music],
    training: Sounds,
    embeddings: dict[str, Embedding],
    recogniser: GenreRecogniser | None,
    rate: int,
    context: float,
) -> None:
    """Fill in the measures of every column; the first one is the real music, which all others are compared with."""
    from tqdm import tqdm

    begun = to_samples(context, rate)
    dense = Spectra(rate, _BANK_HOP_S)
    bank = [dense(waveform).astype(np.float32) for waveforms in training.values() for waveform in waveforms]
    windows = np.concatenate(bank) if bank else None
    scale: dict[str, tuple[Any, Any]] = {}
    real: dict[str, tuple[list[Any], float]] = {}
    for column in tqdm(music, desc="Judging", unit="set"):
        made = [waveform[begun:] for waveform in column.tracks]
        for name, values in _by_second(column, rate).items():
            low, q25, median, q75, high = sound.bands(values).tolist()
            error = sound.median_error(column.by_prompt([value[None] for value in values])).tolist()
            error = error if len(column.prompts) > 1 else [None] * len(error)  # one track has no spread
            column.measures[name] = {"median": median, "low": low, "high": high, "q25": q25, "q75": q75, "error": error}
        column.measures |= {"mmd": {}, "frechet": {}} | _beat(column, made, rate)
        for name, embed in embeddings.items():
            vectors = column.by_prompt([embed(waveform) for waveform in made])
            if column.name == REAL:
                scale[name] = _scale(np.concatenate(vectors))
            vectors = [(vector - scale[name][0]) / scale[name][1] for vector in vectors]
            if column.name == REAL:
                real[name] = vectors, distances.median_distance(vectors)
                found = _halves(*real[name])
            else:
                related = _related(column.prompts, music[0].prompt_files)
                found = _distances(vectors, *real[name], related)
            column.measures["mmd"][name], column.measures["frechet"][name] = map(_plain, found)
        if recogniser is not None:
            column.measures["recognised"] = _recognised(column, recogniser, rate, begun)
        if windows is not None:
            spectra = Spectra(rate)
            column.measures["nearest"] = _nearest(column.by_prompt([spectra(w) for w in made]), windows)


def _beat(column: Music, made: Sequence[Waveform], rate: int) -> dict[str, Any]:
    """Beat and its steadiness: mean, interval over prompts, 5 and 95 % of the tracks; none for short tracks."""
    seconds = min(map(len, made)) / rate
    if seconds < _BEAT_S:
        return {}
    beats = [audio_beat(waveform, rate) for waveform in made]
    measured = {BEAT: [beat.peak for beat in beats]}
    if seconds >= _STEADY_S:
        measured[STEADINESS] = [beat.steadiness for beat in beats]
    found = {}
    for name, values in measured.items():
        rows = [np.mean(own, keepdims=True) for own in column.by_prompt([np.array([value]) for value in values])]
        mean = stratified_bootstrap([np.array(rows)])
        low, high = np.quantile(values, (0.05, 0.95)).tolist()
        several = len(rows) > 1
        found[name] = {"value": mean.value, "low": mean.low if several else None,
                       "high": mean.high if several else None, "p5": low, "p95": high}  # fmt: skip
    return found


def _scale(vectors: Any) -> tuple[Any, Any]:
    """Mean and spread of features `[windows, features]`.

    A feature that hardly varies in real music, as a unit that is nearly always 0, keeps a least spread: without it any
    music in which the feature varies would be infinitely far away.
    """
    spread = vectors.std(axis=0)
    return vectors.mean(axis=0), np.maximum(spread, 0.1 * np.median(spread)) + 1e-6


def _nearest(made: Sequence[Any], training: Any) -> dict[str, float | None]:
    """Distance of windows to the nearest training window, dB, with an interval over tracks; None if all are quiet."""
    near = []
    for vectors in made:
        vectors = vectors[vectors.max(axis=1) > _QUIET_DB]
        if len(vectors):
            near.append(distances.nearest(vectors, training))
    if not near:
        return dict.fromkeys(("first_percentile", "low", "high", "median"))
    every = np.concatenate(near)
    if len(near) == 1:  # one track has no spread
        first, median = np.percentile(every, (1, 50)).tolist()
        return {"first_percentile": first, "low": None, "high": None, "median": median}
    rng = np.random.default_rng(0)
    drawn = [np.concatenate([near[i] for i in rng.integers(len(near), size=len(near))]) for _ in range(1000)]
    low, high = np.quantile([np.percentile(sample, 1) for sample in drawn], (0.025, 0.975))
    return {
        "first_percentile": float(np.percentile(every, 1)),
        "low": float(low),
        "high": float(high),
        "median": float(np.median(every)),
    }


def _halves(vectors: list[Any], bandwidth: float) -> tuple[distances.Distance | None, distances.Distance | None]:
    """The lower bound: the distance of one half of the real tracks from the other half."""
    return _distances(vectors[::2], vectors[1::2], bandwidth)


def _distances(
    ours: list[Any], real: list[Any], bandwidth: float, related: Sequence[tuple[int, int]] = ()
) -> tuple[distances.Distance | None, distances.Distance | None]:
    """MMD and Frechet distance; None with fewer than two tracks or windows on a side."""
    tracks, windows = (min(sizes) for sizes in ((len(ours), len(real)), (_windows(ours), _windows(real))))
    mmd = distances.mmd(ours, real, bandwidth, related) if tracks > 1 else None
    return mmd, distances.frechet(ours, real) if windows > 1 else None


def _windows(tracks: Sequence[Any]) -> int:
    return sum(map(len, tracks))


def _related(prompts: Sequence[str | None], real: Sequence[str | None]) -> list[tuple[int, int]]:
    """Pairs of a generated and a real track, by number, where the one continues the start of the other."""
    place = {Path(path).resolve(): number for number, path in enumerate(real) if path}
    begun = [(number, place.get(Path(prompt).resolve())) for number, prompt in enumerate(prompts) if prompt]
    return [(number, other) for number, other in begun if other is not None]


def _by_second(column: Music, rate: int) -> dict[str, list[Any]]:
    tracks = [sound.by_second(waveform, rate) for waveform in column.tracks]
    return {name: [track[name] for track in tracks] for name in sound.MEASURES}


def _recognised(column: Music, recogniser: GenreRecogniser, rate: int, begun: int) -> dict[str, float]:
    """Share of tracks for which the judge predicts the intended genre."""
    right, total = 0, 0
    for genre, waveforms in column.sounds.items():
        for waveform in waveforms:
            try:
                probabilities = recogniser(at_rate(waveform[begun:], rate, recogniser.sample_rate))
            except AudioError:  # silence has no genre
                probabilities = {"": 1.0}
            right += max(probabilities, key=probabilities.__getitem__) == genre
            total += 1
    independent = len(column.prompts)
    share = wilson(right / total * independent, independent)
    baseline = 1 / len(recogniser.genres)
    return {"value": share.value, "low": share.low, "high": share.high, "baseline": baseline}


def _plain(distance: distances.Distance | None) -> dict[str, float | None] | None:
    return {"value": distance.value, "low": distance.low, "high": distance.high} if distance else None
