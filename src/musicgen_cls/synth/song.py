"""Artists and songs, drawn at random from a style, and the notes of a song."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple, TypeVar

import numpy as np

from musicgen_cls.synth.patches import KITS, PATCHES, Kit, Patch
from musicgen_cls.synth.styles import SCALES, Style

T = TypeVar("T")

STEPS_PER_BEAT = 4


@dataclass(frozen=True)
class Band:
    """The parameters that all tracks of an artist share."""

    instruments: tuple[str, ...]  # names of the patches of bass, comp, lead
    kit: Kit
    bass: Patch
    comp: Patch
    lead: Patch
    levels: tuple[float, ...]  # linear, of drums, bass, comp, lead
    noise: float  # linear, relative to the music's RMS
    tilt: float  # linear gain above 1 kHz
    echo: float


@dataclass(frozen=True)
class Song:
    """The parameters of one track."""

    tempo: float
    beats: int
    swing: float
    key: int  # MIDI pitch of the tonic in the octave of middle C
    scale: tuple[int, ...]
    progression: str
    voicing: tuple[int, ...]
    groove: dict[str, str]
    bass: str
    comp: str
    gate: float
    motifs: tuple[str, str]  # rhythms of the melody, two bars each
    contours: tuple[tuple[int, ...], tuple[int, ...]]  # scale steps per grid step of the motifs
    register: int
    loudness: float  # linear RMS

    @property
    def step(self) -> float:
        """Seconds per grid step."""
        return 60.0 / self.tempo / STEPS_PER_BEAT

    @property
    def steps(self) -> int:
        """Grid steps in a bar."""
        return self.beats * STEPS_PER_BEAT

    def time(self, bar: int, step: int) -> float:
        """Start of a grid step with swing, seconds."""
        beat, part = divmod(step, STEPS_PER_BEAT)
        half = STEPS_PER_BEAT / 2
        within = part / half * self.swing if part < half else self.swing + (part - half) / half * (1 - self.swing)
        return (bar * self.beats + beat + within) * 60.0 / self.tempo

    def pitch(self, step: int) -> int:
        """MIDI pitch of a scale step, 0 for the tonic."""
        octave, degree = divmod(step, len(self.scale))
        return self.key + 12 * octave + self.scale[degree]

    def chord(self, bar: int) -> int:
        """Scale step of the root of a bar's chord."""
        return int(self.progression[bar % len(self.progression)]) - 1


def draw_band(style: Style, rng: np.random.Generator) -> Band:
    """Draw an artist: parameters of the instruments and of the mix, each between its bounds."""
    kit = Kit(*between(rng, *KITS[pick(rng, style.kits)]))
    names, patches = [], []
    for choices in (style.bass_patches, style.comp_patches, style.lead_patches):
        names.append(pick(rng, choices))
        patches.append(Patch(*between(rng, *PATCHES[names[-1]])))
    bass, comp, lead = patches
    return Band(
        instruments=tuple(names),
        kit=kit,
        bass=bass,
        comp=comp,
        lead=lead,
        levels=tuple(decibels(rng.uniform(*r)) for r in (style.drums_db, style.bass_db, style.comp_db, style.lead_db)),
        noise=decibels(rng.uniform(*style.noise_db)),
        tilt=decibels(rng.uniform(*style.tilt_db)),
        echo=rng.uniform(*style.echo),
    )


def draw_song(style: Style, rng: np.random.Generator) -> Song:
    """Draw a song: key, tempo, chords, patterns, and the two motifs of its melody."""
    beats = pick(rng, style.beats)
    steps = 2 * beats * STEPS_PER_BEAT
    density = rng.uniform(*style.density)
    return Song(
        tempo=rng.uniform(*style.tempo),
        beats=beats,
        swing=rng.uniform(*style.swing),
        key=60 + int(rng.integers(-6, 6)),
        scale=SCALES[pick(rng, style.scales)],
        progression=pick(rng, style.progressions),
        voicing=pick(rng, style.voicings),
        groove=pick(rng, style.grooves),
        bass=pick(rng, style.basses),
        comp=pick(rng, style.comps),
        gate=rng.uniform(*style.gate),
        motifs=(draw_rhythm(rng, steps, density), draw_rhythm(rng, steps, density)),
        contours=(draw_contour(rng, steps), draw_contour(rng, steps)),
        register=round(rng.uniform(*style.register)),
        loudness=decibels(rng.uniform(*style.loudness_db)),
    )


def draw_rhythm(rng: np.random.Generator, steps: int, density: float) -> str:
    """Draw the rhythm of a melody. Notes on beats are the most probable; the last two beats are silent."""
    probability = np.resize([min(1.0, 1.6 * density), 0.12 * density, density, 0.12 * density], steps)
    notes = rng.random(steps) < probability
    notes[0] = True
    notes[-2 * STEPS_PER_BEAT + 1 :] = False
    return "".join("x" if note else "." for note in notes)


def draw_contour(rng: np.random.Generator, steps: int) -> tuple[int, ...]:
    """Draw the contour of a melody: a random walk of small intervals that tends back to its start."""
    walk, here = [], 0.0
    for move in rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3], steps):
        here = 0.85 * (here + move)
        walk.append(round(here))
    return tuple(walk)


def pick(rng: np.random.Generator, choices: tuple[T, ...]) -> T:
    """Draw one of `choices`."""
    return choices[int(rng.integers(len(choices)))]


def between(rng: np.random.Generator, low: tuple[float, ...], high: tuple[float, ...]) -> list[float]:
    """Draw numbers between lower and upper bounds."""
    return [float(value) for value in rng.uniform(low, high)]


def decibels(value: float) -> float:
    """Linear gain for a value in dB."""
    return float(10.0 ** (value / 20.0))


class Note(NamedTuple):
    """A note: start and length in seconds, MIDI pitch, strength from 0 to 1."""

    start: float
    length: float
    pitch: int
    strength: float


class Hit(NamedTuple):
    """A hit of a drum: start in seconds, strength from 0 to 1."""

    drum: str
    start: float
    strength: float


def bars(song: Song, seconds: float) -> range:
    """The bars that begin within `seconds`."""
    return range(ceil(seconds / (song.step * song.steps)))


def onsets(pattern: str) -> Iterator[tuple[int, int, str]]:
    """Step, length in steps, and symbol of each note in a pattern. A note ends at the next one."""
    at = [step for step, symbol in enumerate(pattern) if symbol != "."]
    for step, after in zip(at, [*at[1:], len(pattern)], strict=True):
        yield step, after - step, pattern[step]


def drum_hits(song: Song, rng: np.random.Generator, seconds: float) -> Iterator[Hit]:
    """Hits of the groove within `seconds`, with random variation and a roll at the end of every fourth bar."""
    for bar in bars(song, seconds):
        for drum, pattern in song.groove.items():
            fill = bar % 4 == 3 and drum in ("snare", "clap") and rng.random() < 0.7
            line = pattern[: song.steps - 4] + "oxox" if fill else pattern[: song.steps]
            for step, _, symbol in onsets(line):
                start = song.time(bar, step) + rng.uniform(0, 0.006)
                if start < seconds and rng.random() > 0.03:
                    yield Hit(drum, start, (0.45 if symbol == "o" else 1.0) * rng.uniform(0.8, 1.0))


def bass_notes(song: Song, seconds: float) -> Iterator[Note]:
    """Notes of the bass, two octaves below the chords."""
    for bar in bars(song, seconds):
        for step, length, symbol in onsets(song.bass[: song.steps]):
            pitch = song.pitch(song.chord(bar) + int(symbol) - 1) - 24
            yield Note(song.time(bar, step), 0.95 * length * song.step, pitch, 0.9)


def comp_notes(song: Song, seconds: float) -> Iterator[Note]:
    """Notes of the accompaniment: strummed or broken chords."""
    for bar in bars(song, seconds):
        root = song.chord(bar)
        root -= 7 * (song.pitch(root) > 64)  # an inversion keeps the chords in one register
        for step, length, symbol in onsets(song.comp[: song.steps]):
            tones = song.voicing if symbol == "x" else (int(symbol) - 1,)
            for place, tone in enumerate(tones):
                start = song.time(bar, step) + 0.004 * place
                yield Note(start, song.gate * length * song.step, song.pitch(root + tone), 1 / len(tones) ** 0.5)


def lead_notes(song: Song, seconds: float) -> Iterator[Note]:
    """Notes of the melody: two-bar motifs in the form AABA. On each beat the note belongs to the chord."""
    home = next(step for step in range(-14, 28) if song.pitch(step) >= song.register)
    for pair in range(0, len(bars(song, seconds)), 2):
        which = int(pair // 2 % 4 == 2)
        contour = song.contours[which]
        for step, length, _ in onsets(song.motifs[which]):
            bar, within = pair + step // song.steps, step % song.steps
            place = home + contour[step]
            if within % STEPS_PER_BEAT == 0:
                place -= (place - song.chord(bar)) % 7 % 2  # 0, 2, 4 or 6 scale steps above the root
            length = min(length, 2 * STEPS_PER_BEAT)
            yield Note(song.time(bar, within), 0.9 * length * song.step, song.pitch(place), 0.8)
