"""The ten genres. A `Style` has the ranges and choices from which tracks are drawn at random.

The ranges overlap, so that no single measure (tempo, loudness, brightness) separates the genres. Groove, harmony and
instruments together separate them.

Time is a grid of four steps per beat. A pattern is a string with one character for each step of a 4/4 bar; in 3/4 its
end is not used. "." is silence, a digit n is the n-th scale note above the root of the chord, "x" is the whole chord or
a drum hit, and "o" is the same at half strength.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "harmonic": (0, 2, 3, 5, 7, 8, 11),
}
TRIAD, SEVENTH, POWER, OPEN = (0, 2, 4), (0, 2, 4, 6), (0, 4, 7), (0, 4, 9)


@dataclass(frozen=True)
class Style:
    """Ranges (pairs of bounds) and choices (other tuples) from which the tracks of a genre are drawn."""

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
    gate: Range = (0.8, 1.0)  # fraction of an accompaniment note that sounds
    density: Range = (0.2, 0.5)  # probability of a melody note on a half beat
    register: Range = (70, 82)  # mean MIDI pitch of the melody
    drums_db: Range = (-4.0, 1.0)
    bass_db: Range = (-4.0, 2.0)
    comp_db: Range = (-4.0, 1.0)
    lead_db: Range = (-9.0, -2.0)
    noise_db: Range = (-66.0, -38.0)  # relative to the music
    tilt_db: Range = (-7.0, 7.0)  # gain above 1 kHz
    echo: Range = (0.0, 0.25)
    loudness_db: Range = (-25.0, -13.0)  # RMS relative to full scale


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
