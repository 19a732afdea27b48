"""Synthesis of notes and drum patterns, and the mix."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

import numpy as np
from numpy.typing import NDArray

from musicgen_cls.synth.patches import Kit, Patch
from musicgen_cls.synth.song import Band, Note, Song, drum_hits

Samples = NDArray[np.float32]

TABLE = 4096  # samples in one wavetable cycle
RELEASE = 0.012  # fade at the end of a note, seconds; it prevents clicks
LONGEST_NOTE = 3.0  # seconds


def play(
    notes: Iterable[Note],
    patch: Patch,
    rng: np.random.Generator,
    length: int,
    sample_rate: int,
    longest: float = LONGEST_NOTE,
) -> Samples:
    """Play notes on one instrument, `[length]`. Each pitch is synthesised once and then copied.

    A note sounds for at most `longest` seconds.
    """
    score = [note for note in notes if note.start * sample_rate < length]
    longest = min(longest, max((note.length for note in score), default=0.0)) + RELEASE
    voice = Voice(patch, longest, sample_rate)
    fade = np.linspace(1, 0, ceil(RELEASE * sample_rate), dtype=np.float32)
    variation = rng.uniform((0.0, 0.75), (0.008, 1.0), (len(score), 2))
    out = np.zeros(length + len(voice.clock), np.float32)
    for note, (late, strength) in zip(score, variation, strict=True):
        begin = min(int((note.start + late) * sample_rate), length)
        held = min(int(note.length * sample_rate), len(voice.clock) - len(fade))
        tone, gain = voice.tone(note.pitch), np.float32(note.strength * strength)
        out[begin : begin + held] += gain * tone[:held]
        out[begin + held : begin + held + len(fade)] += gain * fade * tone[held : held + len(fade)]
    soft_clip(out, patch.drive)
    return out[:length]


class Voice:
    """The tones of a patch, each synthesised at its first use."""

    def __init__(self, patch: Patch, seconds: float, sample_rate: int) -> None:
        self.patch, self.sample_rate = patch, sample_rate
        self.tones: dict[int, Samples] = {}
        time = np.arange(ceil(seconds * sample_rate)) / sample_rate
        depth = (2 ** (patch.vibrato / 1200) - 1) / (2 * np.pi * 5.5)  # phase modulation of this vibrato
        self.clock = time + depth * np.minimum(time / 0.3, 1) * np.sin(2 * np.pi * 5.5 * time)
        attack = np.minimum(time / patch.attack, 1).astype(np.float32)
        self.body = attack * np.exp(-time / patch.decay, dtype=np.float32)
        self.edge = attack * np.exp(-time / patch.edge, dtype=np.float32)

    def tone(self, pitch: int) -> Samples:
        """The tone of a MIDI pitch, at its full length."""
        if pitch not in self.tones:
            frequency = 440.0 * 2 ** ((pitch - 69) / 12)
            low, high = wavetables(self.patch, frequency, self.sample_rate)
            sharp = frequency * 2 ** (self.patch.stretch / 1200)
            self.tones[pitch] = self.body * look_up(low, self.clock, frequency)
            self.tones[pitch] += self.edge * look_up(high, self.clock, sharp)
        return self.tones[pitch]


def wavetables(patch: Patch, frequency: float, sample_rate: int) -> tuple[Samples, Samples]:
    """One cycle of the lowest three partials, and one of the others up to 0.45 of the sample rate, each `[TABLE]`."""
    count = int(min(40, max(1, 0.45 * sample_rate / frequency)))
    k = np.arange(1, count + 1)
    amplitude = k**-patch.rolloff * np.where(k % 2, 1.0, patch.even)
    amplitude *= 0.4 + 1.6 * np.exp(-2 * np.log2(k * frequency / patch.formant) ** 2)
    amplitude /= np.sqrt(np.sum(amplitude**2))
    spectrum = np.zeros((2, TABLE // 2 + 1), complex)
    spectrum[0, 1 : count + 1] = np.where(k <= 3, amplitude, 0) * np.exp(1j * k**2)  # spread phases give a low peak
    spectrum[1, 1 : count + 1] = np.where(k > 3, amplitude, 0) * np.exp(1j * k**2)
    low, high = np.fft.irfft(spectrum, TABLE).astype(np.float32) * (TABLE / 2)
    return low, high


def look_up(table: Samples, clock: NDArray[np.float64], frequency: float) -> Samples:
    """Read a wavetable at `frequency` Hz at the times of `clock`, seconds."""
    return table.take((clock * (frequency * TABLE)).astype(np.int32) & (TABLE - 1))


def soft_clip(signal: Samples, drive: float) -> None:
    """Clip in place and keep the loudness about the same. A drive of 0 changes nothing."""
    if drive >= 0.05:
        signal *= np.float32(drive)
        np.tanh(signal, out=signal)
        signal /= np.float32(min(1.0, drive))


def play_drums(song: Song, band: Band, rng: np.random.Generator, length: int, sample_rate: int) -> Samples:
    """Play the groove with random variation and a roll at the end of every fourth bar, `[length]`."""
    shots = drum_shots(band.kit, rng, sample_rate)
    out = np.zeros(length + max(map(len, shots.values())), np.float32)
    for drum, start, strength in drum_hits(song, rng, length / sample_rate):
        begin = int(start * sample_rate)
        out[begin : begin + len(shots[drum])] += np.float32(strength) * shots[drum]
    return out[:length]


def drum_shots(kit: Kit, rng: np.random.Generator, sample_rate: int) -> dict[str, Samples]:
    """One hit of each drum, by its name."""
    time = np.arange(int(0.8 * sample_rate), dtype=np.float32) / np.float32(sample_rate)
    noise = rng.standard_normal(len(time), np.float32)
    bright = band_pass(noise, kit.hat_hz, 20_000, sample_rate)

    def fall(decay: float) -> Samples:
        return np.asarray(np.exp(time * np.float32(-1 / decay)))

    def thump(hz: float, sweep: float) -> Samples:
        return np.asarray(
            np.sin(np.float32(2 * np.pi) * (np.float32(hz) * time + np.float32(sweep) * (1 - fall(0.02))))
        )

    snare = np.float32(1 - kit.snap) * thump(kit.snare_hz, 1)
    snare += np.float32(0.7 * kit.snap) * band_pass(noise, 1000, 20_000, sample_rate)
    hands = np.where(time < 0.027, 1 - time / np.float32(0.009) % 1, fall(kit.clap))  # three claps, then reverberation
    ring = thump(3140, 0) * thump(5230, 0)
    shots = {
        "kick": 1.6 * thump(kit.kick_hz, 3) * fall(kit.kick),
        "snare": 1.2 * snare * fall(kit.snare),
        "rim": 0.9 * thump(4 * kit.snare_hz, 0) * fall(0.015) + 0.3 * bright * fall(0.01),
        "clap": 1.5 * band_pass(noise, 800, 2400, sample_rate) * hands,
        "hat": 0.45 * bright * fall(kit.hat),
        "open": 0.45 * bright * fall(4 * kit.hat + 0.06),
        "ride": 0.2 * (bright + ring) * fall(0.2),
        "crash": 0.4 * bright * fall(0.25),
        "timpani": 1.2 * thump(1.6 * kit.kick_hz, 0.3) * fall(0.25),
    }
    return {drum: shot[: np.flatnonzero(np.abs(shot) > 2e-3)[-1] + 1] for drum, shot in shots.items()}


def band_pass(noise: Samples, low: float, high: float, sample_rate: int) -> Samples:
    """Band-pass filter between two frequencies in Hz; the loudness is kept."""
    from scipy.signal import butter, lfilter

    nyquist = sample_rate / 2
    numerator, denominator = butter(2, (min(low / nyquist, 0.5), min(high / nyquist, 0.95)), "bandpass")
    kept = lfilter(numerator, denominator, noise).astype(np.float32)
    return np.asarray(kept * (rms(noise) / rms(kept)))


def mix(parts: list[Samples], band: Band, song: Song, rng: np.random.Generator, sample_rate: int) -> Samples:
    """Mix drums, bass, accompaniment and melody, `[length]` in [-1, 1]. The parts are changed in place."""
    for part, level in zip(parts, band.levels, strict=True):
        part *= np.float32(level)
    total, bass, comp, lead = parts
    total += bass
    total += comp
    total += lead
    delay = int(3 * song.step * sample_rate)
    for tap in (1, 2):
        wet = comp[: max(0, len(total) - tap * delay)]
        total[len(total) - len(wet) :] += np.float32(band.echo**tap) * wet
    hiss = rng.random(len(total), np.float32)  # uniform noise sounds like normal noise and is faster
    hiss -= np.float32(0.5)
    hiss *= np.float32(band.noise * 12**0.5 * rms(total))
    total += hiss
    tilt(total, band.tilt, sample_rate)
    total *= np.float32(song.loudness / rms(total))
    return np.asarray(np.tanh(total, out=total))  # a limiter: it changes only peaks near full scale


def tilt(signal: Samples, gain: float, sample_rate: int) -> None:
    """Apply a linear gain to frequencies above 1 kHz, in place."""
    from scipy.signal import lfilter

    pole = np.exp(-2 * np.pi * 1000 / sample_rate)
    low = lfilter(np.array([1 - pole], np.float32), np.array([1, -pole], np.float32), signal)
    signal -= low
    signal *= np.float32(gain)
    signal += low


def rms(signal: Samples) -> float:
    """Root mean square, more than 0."""
    return float(np.sqrt(np.dot(signal, signal) / len(signal) + 1e-12))
