"""How well `--data.duplicates near` finds copies, and how often it finds false ones.

    python benchmarks/copies.py DIR [DIR ...]
    python benchmarks/copies.py DIR --against DIR

The script makes five copies of every track in the folders (a sub-folder for each genre): MP3 of 64 kbit/s, Ogg Vorbis,
another sample rate (16 kHz), 6 dB quieter, and without the first 2 s. For each kind it prints the share of copies whose
original is found, with the 95 % interval of Wilson, and the number of false pairs, which are pairs of different tracks.
It also prints the false pairs of all kinds together. Exact copies count once.

With `--against` the script makes no copies: files with the same name in the two folders count as copies.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import soxr

from musicgen_cls.audio.fingerprint import fingerprint, same_sound
from musicgen_cls.audio.io import Waveform, read
from musicgen_cls.metrics.intervals import wilson
from musicgen_cls.sources.folder import Folder

RATE = 22050


def encoded(waveform: Waveform, **options: object) -> Waveform:
    """A recording after encoding and decoding."""
    buffer = BytesIO()
    soundfile.write(buffer, waveform, RATE, **options)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


KINDS: dict[str, Callable[[Waveform], Waveform]] = {
    "MP3, 64 kbit/s": lambda x: encoded(x, format="MP3", bitrate_mode="CONSTANT", compression_level=0.63),
    "Ogg Vorbis": lambda x: encoded(x, format="OGG", subtype="VORBIS", compression_level=0.6),
    "16 kHz": lambda x: soxr.resample(soxr.resample(x, RATE, 16000), 16000, RATE),
    "6 dB quieter": lambda x: (x / 2).astype(np.float32),
    "first 2 s cut off": lambda x: x[2 * RATE :],
}


def compare(folder: str, other: str) -> None:
    """Look for the files of one folder in another, by sound and by name."""
    tracks = [track for root in (folder, other) for track in Folder(root).tracks()]
    count = len(Folder(folder).tracks())
    stems = [track.path.stem for track in tracks]
    pairs = same_sound([fingerprint(read(track.path, RATE), RATE) for track in tracks])
    common = set(stems[:count]) & set(stems[count:])
    across = [(stems[a], stems[b]) for a, b in pairs if a < count <= b]
    found = {a for a, b in across if a == b}
    print(f"{count} and {len(tracks) - count} tracks; {len(common)} names are in both, {len(found)} of these are found")
    print(f"false pairs: {sum(a != b for a, b in across)}; pairs in one folder: {len(pairs) - len(across)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="folders with a sub-folder for each genre")
    parser.add_argument("--against", help="a folder with other files of the same names")
    options = parser.parse_args()
    if options.against:
        compare(options.folders[0], options.against)
        return
    names, waveforms, seen = [], [], set()
    for folder in options.folders:
        for track in Folder(folder).tracks():
            waveform = read(track.path, RATE)
            digest = hashlib.sha1(waveform.tobytes(), usedforsecurity=False).hexdigest()
            if digest not in seen:
                names.append(f"{Path(folder).name}/{track.id}")
                waveforms.append(waveform)
            seen.add(digest)
    start_s = time.perf_counter()
    originals = [fingerprint(waveform, RATE) for waveform in waveforms]
    each_s = (time.perf_counter() - start_s) / len(originals)
    number = len(originals)
    alike = set(same_sound(originals))
    landmarks = np.mean([len(own) for own in originals])
    print(f"{number} tracks, {landmarks:.0f} landmarks and {1000 * each_s:.0f} ms each")
    print(f"false pairs among the originals: {len(alike)} of {number * (number - 1) // 2} pairs")
    for one, other in sorted(alike):
        print(f"  {names[one]} and {names[other]}")
    everything = list(originals)
    for kind, change in KINDS.items():
        copies = [fingerprint(change(waveform), RATE) for waveform in waveforms]
        everything += copies
        pairs = same_sound([*originals, *copies])
        found = sum(other - one == number for one, other in pairs)
        wrong = {(min(a % number, b % number), max(a % number, b % number)) for a, b in pairs if (b - a) % number}
        print(f"{kind:<20} found {found} of {number}: {wilson(found, number)}; more false pairs: {len(wrong - alike)}")
    start_s = time.perf_counter()
    pairs = same_sound(everything)
    wrong = {(min(a % number, b % number), max(a % number, b % number)) for a, b in pairs if (b - a) % number} - alike
    taken_s = time.perf_counter() - start_s
    print(f"all together: {len(everything)} tracks compared in {taken_s:.1f} s; more false pairs: {len(wrong)}")


if __name__ == "__main__":
    main()
