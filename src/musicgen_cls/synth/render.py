"""Ten genres of synthetic music, rendered hundreds of times faster than they play.

A genre is a `Style`: the ranges and choices from which tracks are drawn. The ranges overlap, so that no single number
(tempo, loudness, brightness, ...) tells the genres apart; groove, harmony and instruments together do.

Time runs on a grid of four steps per beat. A pattern is a string with one character per step of a 4/4 bar, cut short
in 3/4: "." is silence, a digit n the n-th scale note above the root of the chord, "x" the whole chord or a drum hit,
"o" the same at half strength.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from math import ceil, isfinite
from typing import NamedTuple, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from musicgen_cls.errors import UsageError

Samples = NDArray[np.float32]
Range = tuple[float, float]
T = TypeVar("T")

TRACKS_PER_ARTIST = 4

STEPS_PER_BEAT = 4
TABLE = 4096  # samples in one wavetable cycle
RELEASE = 0.012  # seconds of fade at the end of a note, against clicks
LONGEST_NOTE = 3.0  # seconds

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "harmonic": (0, 2, 3, 5, 7, 8, 11),
}
TRIAD, SEVENTH, POWER, OPEN = (0, 2, 4), (0, 2, 4, 6), (0, 4, 7), (0, 4, 9)


class Patch(NamedTuple):
    """An instrument's sound."""

    rolloff: float  # partial k has amplitude k**-rolloff
    even: float  # weight of the even partials: 0 hollow, 1 full
    formant: float  # Hz, centre of a resonance one octave wide
    attack: float  # s
    decay: float  # s, of the lowest three partials
    edge: float  # s, decay of the partials above them
    stretch: float  # cents the upper partials are sharp by: beating, then bells
    vibrato: float  # cents
    drive: float  # gain into a soft clipper, 0 for none


class Kit(NamedTuple):
    """A drum kit's sound. Lengths are decay times in seconds."""

    kick_hz: float
    kick: float
    snare_hz: float
    snare: float
    snap: float  # share of noise in the snare
    hat_hz: float
    hat: float
    clap: float


# Opposite corners of the box from which an artist's sound is drawn.
PATCHES = {
    #                 rolloff even formant attack decay edge stretch vibrato drive
    "piano": (Patch(1.1, 0.8, 400, 0.002, 0.5, 0.10, 2, 0, 0), Patch(1.6, 1.0, 1200, 0.006, 1.2, 0.3, 8, 0, 0)),
    "epiano": (Patch(1.5, 0.1, 500, 0.003, 0.5, 0.06, 8, 0, 0), Patch(2.2, 0.4, 900, 0.01, 1.2, 0.2, 20, 6, 0.8)),
    "organ": (Patch(0.6, 0.6, 600, 0.006, 8, 8, 3, 8, 0), Patch(1.0, 1.0, 1400, 0.02, 20, 20, 8, 22, 1.5)),
    "strings": (Patch(0.9, 0.9, 900, 0.05, 4, 3, 4, 14, 0), Patch(1.3, 1.0, 2200, 0.15, 9, 6, 10, 35, 0)),
    "flute": (Patch(1.8, 0.3, 700, 0.03, 5, 2, 0, 14, 0), Patch(2.6, 0.7, 1500, 0.07, 9, 4, 4, 35, 0)),
    "brass": (Patch(0.6, 0.9, 900, 0.015, 3, 0.5, 0, 5, 0.4), Patch(1.0, 1.0, 1800, 0.05, 6, 1.2, 4, 22, 1.2)),
    "reed": (Patch(0.7, 0.2, 800, 0.01, 3, 1, 0, 10, 0), Patch(1.1, 0.6, 1700, 0.03, 6, 2, 4, 30, 0.8)),
    "steel": (Patch(0.7, 0.9, 1500, 0.001, 0.3, 0.05, 1, 0, 0), Patch(1.1, 1.0, 3200, 0.003, 0.8, 0.2, 5, 0, 0)),
    "fiddle": (Patch(0.5, 1.0, 1800, 0.02, 5, 4, 2, 10, 0), Patch(0.8, 1.0, 3200, 0.05, 9, 7, 6, 30, 0.3)),
    "guitar": (Patch(1.0, 0.8, 600, 0.002, 0.4, 0.1, 2, 0, 0), Patch(1.5, 1.0, 1800, 0.005, 1.0, 0.3, 5, 4, 0.5)),
    "crunch": (Patch(0.9, 0.8, 700, 0.002, 1.5, 0.6, 2, 0, 2), Patch(1.3, 1.0, 1600, 0.008, 4, 1.5, 5, 5, 5)),
    "metal": (Patch(0.7, 0.9, 1000, 0.001, 2, 1, 2, 0, 12), Patch(1.1, 1.0, 2400, 0.004, 6, 3, 6, 0, 40)),
    "saw": (Patch(0.8, 1.0, 900, 0.004, 3, 1, 8, 0, 0), Patch(1.1, 1.0, 2500, 0.02, 8, 3, 18, 8, 0.4)),
    "pad": (Patch(1.0, 0.7, 600, 0.05, 8, 5, 10, 4, 0), Patch(1.5, 1.0, 1600, 0.2, 15, 9, 22, 12, 0)),
    "square": (Patch(0.8, 0.0, 700, 0.003, 1, 0.3, 0, 4, 0), Patch(1.2, 0.2, 1800, 0.01, 4, 1, 4, 18, 0.6)),
    "bell": (Patch(1.0, 0.2, 900, 0.001, 0.3, 0.1, 60, 0, 0), Patch(1.6, 0.6, 2400, 0.003, 0.9, 0.4, 180, 0, 0)),
    "upright": (Patch(1.4, 0.8, 120, 0.004, 0.25, 0.05, 0, 0, 0), Patch(2.0, 1.0, 350, 0.012, 0.6, 0.12, 3, 4, 0)),
    "finger": (Patch(1.1, 0.8, 150, 0.003, 0.4, 0.1, 0, 0, 0), Patch(1.6, 1.0, 500, 0.01, 1.2, 0.3, 2, 0, 0.8)),
    "pick": (Patch(0.8, 0.9, 400, 0.001, 0.5, 0.15, 0, 0, 0.3), Patch(1.2, 1.0, 1200, 0.004, 1.5, 0.4, 3, 0, 2)),
    "sub": (Patch(2.4, 0.4, 60, 0.004, 0.6, 0.1, 0, 0, 0.3), Patch(3.5, 1.0, 120, 0.02, 2.5, 0.4, 0, 0, 1.5)),
}
KITS = {
    #               kick_hz kick snare_hz snare snap hat_hz hat clap
    "acoustic": (Kit(52, 0.06, 170, 0.05, 0.5, 5000, 0.02, 0.05), Kit(75, 0.14, 240, 0.12, 0.8, 8000, 0.06, 0.1)),
    "machine": (Kit(42, 0.12, 160, 0.04, 0.6, 6500, 0.015, 0.06), Kit(58, 0.35, 220, 0.10, 0.9, 9500, 0.04, 0.14)),
    "brushes": (Kit(55, 0.04, 180, 0.03, 0.8, 4000, 0.04, 0.05), Kit(85, 0.09, 260, 0.09, 1.0, 7000, 0.10, 0.1)),
    "heavy": (Kit(55, 0.03, 150, 0.07, 0.6, 4500, 0.03, 0.05), Kit(80, 0.08, 210, 0.16, 0.9, 8000, 0.09, 0.1)),
}


@dataclass(frozen=True)
class Style:
    """What tracks of one genre are drawn from: a pair is a range, a longer or named tuple a list of choices."""

    tempo: Range  # beats per minute
    scales: tuple[str, ...]
    progressions: tuple[str, ...]  # one digit per bar, the scale degree of its chord
    voicings: tuple[tuple[int, ...], ...]  # scale steps above the chord's root
    grooves: tuple[dict[str, str], ...]  # drum -> pattern
    basses: tuple[str, ...]
    comps: tuple[str, ...]  # patterns of the accompaniment
    bass_patches: tuple[str, ...]
    comp_patches: tuple[str, ...]
    lead_patches: tuple[str, ...]
    kits: tuple[str, ...] = ("acoustic",)
    beats: tuple[int, ...] = (4,)  # in a bar
    swing: Range = (0.5, 0.53)  # where in the beat its second half begins: 1/2 straight, 2/3 triplets
    gate: Range = (0.8, 1.0)  # sounding share of an accompaniment note
    density: Range = (0.2, 0.5)  # chance of a melody note on a half beat
    register: Range = (70, 82)  # MIDI pitch the melody wanders around
    drums_db: Range = (-4.0, 1.0)
    bass_db: Range = (-4.0, 2.0)
    comp_db: Range = (-4.0, 1.0)
    lead_db: Range = (-9.0, -2.0)
    noise_db: Range = (-66.0, -38.0)  # relative to the music
    tilt_db: Range = (-7.0, 7.0)  # level of what lies above 1 kHz
    echo: Range = (0.0, 0.25)
    loudness_db: Range = (-25.0, -13.0)  # RMS re full scale


STYLES: dict[str, Style] = {
    "blues": Style(
        tempo=(66, 128),
        swing=(0.62, 0.68),
        scales=("mixolydian", "dorian"),
        progressions=("111144115415", "141144115411"),
        voicings=(SEVENTH, TRIAD),
        grooves=(
            {"kick": "x.......x.....o.", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
            {"kick": "x.....o.x.......", "snare": "....x.......x.o.", "hat": "x.x.x.x.x.x.x.x."},
        ),
        basses=("1.1.3.3.5.5.6.6.", "1.1.5.5.6.6.5.5.", "1...3...5...6..."),
        comps=("5.5.6.6.5.5.6.6.", "x.x.x.x.x.x.x.x.", "x.....x.x.....x."),
        bass_patches=("upright", "finger"),
        comp_patches=("crunch", "organ"),
        lead_patches=("crunch", "reed"),
        density=(0.3, 0.55),
    ),
    "classical": Style(
        tempo=(62, 140),
        beats=(3, 4),
        scales=("major", "harmonic"),
        progressions=("1451", "14251511", "16251451", "1541"),
        voicings=(TRIAD, OPEN),
        grooves=({}, {"timpani": "x..............."}),
        basses=("1...............", "1.......5.......", "1...1...1...1..."),
        comps=("1.5.3.5.1.5.3.5.", "1535153515351535", "x...x...x...x...", "1.3.5.8.5.3.1.3."),
        bass_patches=("strings",),
        comp_patches=("strings", "piano"),
        lead_patches=("flute", "strings", "reed"),
        density=(0.35, 0.75),
        drums_db=(-6, 0),
        noise_db=(-60, -34),
        tilt_db=(-4, 10),
        loudness_db=(-28, -14),
    ),
    "country": Style(
        tempo=(84, 160),
        beats=(4, 4, 3),
        scales=("major",),
        progressions=("1145", "1414", "1155", "14151451"),
        voicings=(TRIAD,),
        grooves=(
            {"kick": "x.......x.......", "snare": "..o.x.o...o.x.o.", "hat": "..x...x...x...x."},
            {"kick": "x.......x.......", "snare": "x.oxx.oxx.oxx.ox"},
        ),
        basses=("1.......5.......", "1...5...1...5...", "1.......5.....6."),
        comps=("..x...x...x...x.", "..x.x.x...x.x.x.", "1.3.5.3.1.3.5.3."),
        bass_patches=("upright", "finger"),
        comp_patches=("steel", "guitar"),
        lead_patches=("fiddle", "steel"),
        kits=("brushes", "acoustic"),
        gate=(0.5, 0.9),
        density=(0.3, 0.65),
    ),
    "disco": Style(
        tempo=(104, 134),
        scales=("minor", "dorian"),
        progressions=("1145", "1475", "1614", "4511"),
        voicings=(SEVENTH, TRIAD),
        grooves=(
            {"kick": "x...x...x...x...", "clap": "....x.......x...", "open": "..x...x...x...x."},
            {
                "kick": "x...x...x...x...",
                "snare": "....x.......x...",
                "open": "..x...x...x...x.",
                "hat": "x.oxx.oxx.oxx.ox",
            },
        ),
        basses=("1.8.1.8.1.8.1.8.", "1.8.1.8.1.8.5.7.", "..1.8.1...1.8.1."),
        comps=("x.x..x.x..x.x..x", "..xx..x...xx..x.", "x..x..x...x..x.."),
        bass_patches=("finger", "pick"),
        comp_patches=("guitar", "epiano", "strings"),
        lead_patches=("strings", "brass"),
        kits=("acoustic", "machine"),
        gate=(0.35, 0.7),
    ),
    "hiphop": Style(
        tempo=(72, 112),
        swing=(0.5, 0.6),
        scales=("minor", "phrygian"),
        progressions=("1", "16", "1112", "1716"),
        voicings=(TRIAD, OPEN),
        grooves=(
            {"kick": "x..x......x.....", "clap": "....x.......x...", "hat": "x.x.x.x.x.x.xxxx"},
            {"kick": "x.....x..x......", "snare": "....x.......x...", "hat": "xxx.xxx.xxx.xxxx"},
            {"kick": "x.........x..x..", "clap": "........x.......", "hat": "x.xxx.x.xxxxx.x."},
        ),
        basses=("1..1......1.....", "1.....1..1......", "1.........1....."),
        comps=("x...............", "1.3.5...1.3.5...", "5...3...5...3..."),
        bass_patches=("sub",),
        comp_patches=("bell", "pad", "epiano"),
        lead_patches=("bell", "square"),
        kits=("machine",),
        density=(0.1, 0.35),
        noise_db=(-60, -34),
        loudness_db=(-23, -12),
    ),
    "jazz": Style(
        tempo=(84, 180),
        swing=(0.6, 0.68),
        scales=("major", "dorian"),
        progressions=("2511", "1625", "36251111", "2514"),
        voicings=(SEVENTH, (2, 6, 8), (2, 6, 8, 11)),
        grooves=(
            {"ride": "x...x.x.x...x.x.", "hat": "....x.......x...", "kick": "o.......o......."},
            {"ride": "x...x.o.x...x.o.", "hat": "....x.......x...", "snare": "......o.......o."},
        ),
        basses=("1...3...5...7...", "1...2...3...5...", "1...5...4...2..."),
        comps=("x.....x.........", "......x.......x.", "x.........x.....", "..x.......x....."),
        bass_patches=("upright",),
        comp_patches=("piano", "epiano", "guitar"),
        lead_patches=("reed", "brass"),
        kits=("brushes",),
        gate=(0.4, 0.9),
        density=(0.4, 0.75),
        loudness_db=(-27, -14),
    ),
    "metal": Style(
        tempo=(88, 176),
        scales=("phrygian", "minor", "harmonic"),
        progressions=("1112", "1162", "1167", "1"),
        voicings=(POWER,),
        grooves=(
            {"kick": "xxxxxxxxxxxxxxxx", "snare": "....x.......x...", "crash": "x.......x......."},
            {"kick": "x.xxx.xxx.xxx.xx", "snare": "....x.......x...", "crash": "x...x...x...x..."},
            {"kick": "x.x.x.x.x.x.x.x.", "snare": "..x...x...x...x.", "crash": "x...x...x...x..."},
        ),
        basses=("1111111111111111", "1.111.111.111.11"),
        comps=("x.xxx.xxx.xxx.xx", "xxxxxxxxxxxxxxxx", "x.xxxxx.x.xxxx2."),
        bass_patches=("pick",),
        comp_patches=("metal",),
        lead_patches=("metal", "crunch"),
        kits=("heavy",),
        gate=(0.5, 0.9),
        density=(0.2, 0.8),
        tilt_db=(-12, 3),
        loudness_db=(-22, -12),
    ),
    "pop": Style(
        tempo=(84, 136),
        scales=("major", "minor"),
        progressions=("1564", "6415", "1645", "4156"),
        voicings=(TRIAD,),
        grooves=(
            {"kick": "x.....x.x.......", "clap": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
            {"kick": "x...x...x...x...", "clap": "....x.......x...", "hat": "xxxxxxxxxxxxxxxx"},
        ),
        basses=("1.1.1.1.1.1.1.1.", "1.....1.1.......", "1..1..1.1..1..1."),
        comps=("x...............", "x.......x.......", "x..x..x.x..x..x."),
        bass_patches=("sub", "finger"),
        comp_patches=("pad", "saw"),
        lead_patches=("saw", "square"),
        kits=("machine",),
        density=(0.3, 0.6),
        loudness_db=(-22, -12),
    ),
    "reggae": Style(
        tempo=(64, 112),
        swing=(0.5, 0.6),
        scales=("minor", "mixolydian", "dorian"),
        progressions=("14", "1155", "1717", "2211"),
        voicings=(TRIAD,),
        grooves=(
            {"kick": "........x.......", "rim": "........x.......", "hat": "x.x.x.x.x.x.x.x."},
            {"kick": "x.......x.......", "rim": "........x.......", "hat": "..x...x...x...x."},
        ),
        basses=("1...3.5...1.5...", "..1.1.3.5.....3.", "1.1...5.3.......", "1..1..5.......3."),
        comps=("....x.......x...", "....x.x.....x.x.", "..x.x.x...x.x.x."),
        bass_patches=("sub", "finger"),
        comp_patches=("guitar", "organ"),
        lead_patches=("brass", "organ", "epiano"),
        gate=(0.15, 0.35),
        density=(0.08, 0.25),
        bass_db=(-1, 4),
        comp_db=(-3, 2),
        echo=(0.1, 0.45),
    ),
    "rock": Style(
        tempo=(88, 160),
        scales=("mixolydian", "major", "minor"),
        progressions=("1415", "1744", "1645", "1174"),
        voicings=(POWER, TRIAD),
        grooves=(
            {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
            {"kick": "x.....x.x.......", "snare": "....x.......x...", "crash": "x...x...x...x..."},
        ),
        basses=("1.1.1.1.1.1.1.1.", "1...1.1.1...1.5."),
        comps=("x.x.x.x.x.x.x.x.", "x..x..x.x..x..x.", "x.....x.x......."),
        bass_patches=("pick", "finger"),
        comp_patches=("crunch",),
        lead_patches=("crunch", "organ"),
        kits=("acoustic", "heavy"),
    ),
}
GENRES = tuple(STYLES)


def artist_name(genre: str, index: int) -> str:
    """Who plays track `index` of `genre`: every four tracks in a row share an artist, who fixes patches and mix."""
    return f"{genre} artist {index // TRACKS_PER_ARTIST:02d}"


def render(
    genre: str, index: int, *, seed: int = 0, seconds: float = 30.0, sample_rate: int = 22050
) -> NDArray[np.float32]:
    """Track `index` of `genre` as float32 mono `[samples]` in [-1, 1], samples = round(seconds * sample_rate).

    The same arguments give the same samples. `index` and `seed` are 0 or more, `seconds` 0.1 or more, `sample_rate`
    4000 Hz or more. Raises `UsageError` for an unknown genre or an argument out of range.
    """
    check(genre, index, seed, seconds, sample_rate)
    style = STYLES[genre]
    band = draw_band(style, generator(genre, seed, "artist", index // TRACKS_PER_ARTIST))
    rng = generator(genre, seed, "track", index)
    song = draw_song(style, rng)
    length = round(seconds * sample_rate)
    tracks = [
        play_drums(song, band, rng, length, sample_rate),
        play(bass_notes(song, length / sample_rate), band.bass, rng, length, sample_rate),
        play(comp_notes(song, length / sample_rate), band.comp, rng, length, sample_rate),
        play(lead_notes(song, length / sample_rate), band.lead, rng, length, sample_rate),
    ]
    return mix(tracks, band, song, rng, sample_rate)


def generator(genre: str, seed: int, role: str, number: int) -> np.random.Generator:
    """Random numbers of their own for every artist and every track."""
    return np.random.default_rng((seed, crc32(f"{genre} {role}".encode()), number))


def check(genre: str, index: int, seed: int, seconds: float, sample_rate: int) -> None:
    """Raise `UsageError` unless these arguments can be rendered."""
    if genre not in STYLES:
        near = get_close_matches(genre, GENRES, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"genre {genre!r} is not one of {', '.join(GENRES)}.{hint}")
    for name, value, least in (("index", index, 0), ("seed", seed, 0), ("sample_rate", sample_rate, 4000)):
        if value < least:
            raise UsageError(f"{name}={value} is too small: give a whole number from {least} up.")
    if not (isfinite(seconds) and seconds >= 0.1):
        raise UsageError(f"seconds={seconds} is not a length: give 0.1 or more.")


# --- what is drawn -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Band:
    """What an artist's tracks have in common."""

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
    """What one track is made of."""

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
        """Seconds at which a grid step begins, swung."""
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
    """An artist: a point in each box of sounds and each range of the mix."""

    def patch(names: tuple[str, ...]) -> Patch:
        return Patch(*between(rng, *PATCHES[pick(rng, names)]))

    return Band(
        kit=Kit(*between(rng, *KITS[pick(rng, style.kits)])),
        bass=patch(style.bass_patches),
        comp=patch(style.comp_patches),
        lead=patch(style.lead_patches),
        levels=tuple(decibels(rng.uniform(*r)) for r in (style.drums_db, style.bass_db, style.comp_db, style.lead_db)),
        noise=decibels(rng.uniform(*style.noise_db)),
        tilt=decibels(rng.uniform(*style.tilt_db)),
        echo=rng.uniform(*style.echo),
    )


def draw_song(style: Style, rng: np.random.Generator) -> Song:
    """A composition: key, tempo, chords, patterns and the two motifs its melody is built of."""
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
    """A melody's rhythm: notes likely on beats, less so between, ending in a breath of two beats."""
    chance = np.resize([min(1.0, 1.6 * density), 0.12 * density, density, 0.12 * density], steps)
    notes = rng.random(steps) < chance
    notes[0] = True
    notes[-2 * STEPS_PER_BEAT + 1 :] = False
    return "".join("x" if note else "." for note in notes)


def draw_contour(rng: np.random.Generator, steps: int) -> tuple[int, ...]:
    """A melody's shape: a walk by small intervals that is pulled back to where it began."""
    walk, here = [], 0.0
    for move in rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3], steps):
        here = 0.85 * (here + move)
        walk.append(round(here))
    return tuple(walk)


def pick(rng: np.random.Generator, choices: tuple[T, ...]) -> T:
    """One of `choices`."""
    return choices[int(rng.integers(len(choices)))]


def between(rng: np.random.Generator, low: tuple[float, ...], high: tuple[float, ...]) -> list[float]:
    """A point in the box with these corners."""
    return [float(value) for value in rng.uniform(low, high)]


def decibels(value: float) -> float:
    """Decibels as a linear gain."""
    return float(10.0 ** (value / 20.0))


# --- the score ---------------------------------------------------------------------------------------------------


class Note(NamedTuple):
    """A note: begin and length in seconds, MIDI pitch, strength 0 to 1."""

    start: float
    length: float
    pitch: int
    strength: float


def bars(song: Song, seconds: float) -> range:
    """The bars that begin within `seconds`."""
    return range(ceil(seconds / (song.step * song.steps)))


def onsets(pattern: str) -> Iterator[tuple[int, int, str]]:
    """Step, steps until the next onset or the end, and symbol of all that sounds in a pattern."""
    at = [step for step, symbol in enumerate(pattern) if symbol != "."]
    for step, after in zip(at, [*at[1:], len(pattern)], strict=True):
        yield step, after - step, pattern[step]


def bass_notes(song: Song, seconds: float) -> Iterator[Note]:
    """The bass line, two octaves below the chords."""
    for bar in bars(song, seconds):
        for step, length, symbol in onsets(song.bass[: song.steps]):
            pitch = song.pitch(song.chord(bar) + int(symbol) - 1) - 24
            yield Note(song.time(bar, step), 0.95 * length * song.step, pitch, 0.9)


def comp_notes(song: Song, seconds: float) -> Iterator[Note]:
    """The accompaniment: chords, strummed a little, or broken ones."""
    for bar in bars(song, seconds):
        root = song.chord(bar)
        root -= 7 * (song.pitch(root) > 64)  # inverted downwards, so that voices do not leap with the roots
        for step, length, symbol in onsets(song.comp[: song.steps]):
            tones = song.voicing if symbol == "x" else (int(symbol) - 1,)
            for place, tone in enumerate(tones):
                start = song.time(bar, step) + 0.004 * place
                yield Note(start, song.gate * length * song.step, song.pitch(root + tone), 1 / len(tones) ** 0.5)


def lead_notes(song: Song, seconds: float) -> Iterator[Note]:
    """The melody: two-bar motifs in the form AABA, bent to the chord on every beat."""
    home = next(step for step in range(-14, 28) if song.pitch(step) >= song.register)
    for pair in range(0, len(bars(song, seconds)), 2):
        which = int(pair // 2 % 4 == 2)
        contour = song.contours[which]
        for step, length, _ in onsets(song.motifs[which]):
            bar, within = pair + step // song.steps, step % song.steps
            place = home + contour[step]
            if within % STEPS_PER_BEAT == 0:
                place -= (place - song.chord(bar)) % 7 % 2  # thirds apart from the root: 0, 2, 4 and 6
            length = min(length, 2 * STEPS_PER_BEAT)
            yield Note(song.time(bar, within), 0.9 * length * song.step, song.pitch(place), 0.8)


# --- the sound ---------------------------------------------------------------------------------------------------


def play(notes: Iterator[Note], patch: Patch, rng: np.random.Generator, length: int, sample_rate: int) -> Samples:
    """Notes on one instrument, `[length]`; each pitch is synthesised once and then copied."""
    score = [note for note in notes if note.start * sample_rate < length]
    longest = min(LONGEST_NOTE, max((note.length for note in score), default=0.0)) + RELEASE
    voice = Voice(patch, longest, sample_rate)
    fade = np.linspace(1, 0, ceil(RELEASE * sample_rate), dtype=np.float32)
    wobble = rng.uniform((0.0, 0.75), (0.008, 1.0), (len(score), 2))
    out = np.zeros(length + len(voice.clock), np.float32)
    for note, (late, strength) in zip(score, wobble, strict=True):
        begin = min(int((note.start + late) * sample_rate), length)
        held = min(int(note.length * sample_rate), len(voice.clock) - len(fade))
        tone, gain = voice.tone(note.pitch), np.float32(note.strength * strength)
        out[begin : begin + held] += gain * tone[:held]
        out[begin + held : begin + held + len(fade)] += gain * fade * tone[held : held + len(fade)]
    soft_clip(out, patch.drive)
    return out[:length]


class Voice:
    """The tones of a patch, made when first asked for."""

    def __init__(self, patch: Patch, seconds: float, sample_rate: int) -> None:
        self.patch, self.sample_rate = patch, sample_rate
        self.tones: dict[int, Samples] = {}
        time = np.arange(ceil(seconds * sample_rate)) / sample_rate
        depth = (2 ** (patch.vibrato / 1200) - 1) / (2 * np.pi * 5.5)  # of the phase, for one of the frequency
        self.clock = time + depth * np.minimum(time / 0.3, 1) * np.sin(2 * np.pi * 5.5 * time)
        attack = np.minimum(time / patch.attack, 1).astype(np.float32)
        self.body = attack * np.exp(-time / patch.decay, dtype=np.float32)
        self.edge = attack * np.exp(-time / patch.edge, dtype=np.float32)

    def tone(self, pitch: int) -> Samples:
        """The tone of a MIDI pitch at full length."""
        if pitch not in self.tones:
            frequency = 440.0 * 2 ** ((pitch - 69) / 12)
            low, high = wavetables(self.patch, frequency, self.sample_rate)
            sharp = frequency * 2 ** (self.patch.stretch / 1200)
            self.tones[pitch] = self.body * look_up(low, self.clock, frequency)
            self.tones[pitch] += self.edge * look_up(high, self.clock, sharp)
        return self.tones[pitch]


def wavetables(patch: Patch, frequency: float, sample_rate: int) -> tuple[Samples, Samples]:
    """One cycle of the lowest three partials and one of the rest up to 0.45 of the rate, each `[TABLE]`."""
    count = int(min(40, max(1, 0.45 * sample_rate / frequency)))
    k = np.arange(1, count + 1)
    amplitude = k**-patch.rolloff * np.where(k % 2, 1.0, patch.even)
    amplitude *= 0.4 + 1.6 * np.exp(-2 * np.log2(k * frequency / patch.formant) ** 2)
    amplitude /= np.sqrt(np.sum(amplitude**2))
    spectrum = np.zeros((2, TABLE // 2 + 1), complex)
    spectrum[0, 1 : count + 1] = np.where(k <= 3, amplitude, 0) * np.exp(1j * k**2)  # phases spread, for a low peak
    spectrum[1, 1 : count + 1] = np.where(k > 3, amplitude, 0) * np.exp(1j * k**2)
    low, high = np.fft.irfft(spectrum, TABLE).astype(np.float32) * (TABLE / 2)
    return low, high


def look_up(table: Samples, clock: NDArray[np.float64], frequency: float) -> Samples:
    """A wavetable read at `frequency` Hz along a clock in seconds."""
    return table.take((clock * (frequency * TABLE)).astype(np.int32) & (TABLE - 1))


def soft_clip(signal: Samples, drive: float) -> None:
    """Clip in place at about the loudness that came in; a drive of 0 changes nothing."""
    if drive >= 0.05:
        signal *= np.float32(drive)
        np.tanh(signal, out=signal)
        signal /= np.float32(min(1.0, drive))


def play_drums(song: Song, band: Band, rng: np.random.Generator, length: int, sample_rate: int) -> Samples:
    """The groove, bar by bar with ghost and missing notes, and a roll at the end of every fourth bar, `[length]`."""
    shots = drum_shots(band.kit, rng, sample_rate)
    out = np.zeros(length + max(map(len, shots.values())), np.float32)
    for bar in bars(song, length / sample_rate):
        for drum, pattern in song.groove.items():
            fill = bar % 4 == 3 and drum in ("snare", "clap") and rng.random() < 0.7
            line = pattern[: song.steps - 4] + "oxox" if fill else pattern[: song.steps]
            for step, _, symbol in onsets(line):
                begin = int((song.time(bar, step) + rng.uniform(0, 0.006)) * sample_rate)
                if begin < length and rng.random() > 0.03:
                    strength = np.float32((0.45 if symbol == "o" else 1.0) * rng.uniform(0.8, 1.0))
                    out[begin : begin + len(shots[drum])] += strength * shots[drum]
    return out[:length]


def drum_shots(kit: Kit, rng: np.random.Generator, sample_rate: int) -> dict[str, Samples]:
    """One hit of every drum."""
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
    hands = np.where(time < 0.027, 1 - time / np.float32(0.009) % 1, fall(kit.clap))  # three, then the room
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
    """The part of a signal between two frequencies in Hz, at the loudness of the whole."""
    from scipy.signal import butter, lfilter

    nyquist = sample_rate / 2
    numerator, denominator = butter(2, (min(low / nyquist, 0.5), min(high / nyquist, 0.95)), "bandpass")
    kept = lfilter(numerator, denominator, noise).astype(np.float32)
    return np.asarray(kept * (rms(noise) / rms(kept)))


def mix(parts: list[Samples], band: Band, song: Song, rng: np.random.Generator, sample_rate: int) -> Samples:
    """Drums, bass, accompaniment and melody as one recording, `[length]` in [-1, 1]. The parts are used up."""
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
    hiss = rng.random(len(total), np.float32)  # flat rather than normal: it sounds the same and is drawn faster
    hiss -= np.float32(0.5)
    hiss *= np.float32(band.noise * 12**0.5 * rms(total))
    total += hiss
    tilt(total, band.tilt, sample_rate)
    total *= np.float32(song.loudness / rms(total))
    return np.asarray(np.tanh(total, out=total))  # a limiter: only peaks near full scale are bent


def tilt(signal: Samples, gain: float, sample_rate: int) -> None:
    """Change what lies above 1 kHz by a linear gain, in place."""
    from scipy.signal import lfilter

    pole = np.exp(-2 * np.pi * 1000 / sample_rate)
    low = lfilter(np.array([1 - pole], np.float32), np.array([1, -pole], np.float32), signal)
    signal -= low
    signal *= np.float32(gain)
    signal += low


def rms(signal: Samples) -> float:
    """Root mean square, never 0."""
    return float(np.sqrt(np.dot(signal, signal) / len(signal) + 1e-12))
