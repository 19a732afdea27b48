"""Estimates the time to prepare FMA small from 400 mp3s: `python benchmarks/fma.py`.

The script renders twenty clips of 30 s and writes each 20 times as mp3 (44.1 kHz, stereo) into folders like those of
FMA. `FMA` and the store decode them to 22050 Hz on all cores. The time for 8000 files is scaled by their number.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

from musicgen_cls.collection.collection import collect
from musicgen_cls.sources.fma import FMA
from musicgen_cls.sources.gtzan import GENRES
from musicgen_cls.synth.render import render

WHOLE, COPIES = 8000, 20
HEAD = ",artist,set,set,track\n,id,split,subset,genre_top\ntrack_id,,,,\n"


def write(root: Path, clips: int) -> None:
    """Write the folders with metadata and mp3s."""
    (root / "fma_metadata").mkdir()
    rows = []
    for n in range(clips):
        waveform = soxr.resample(render(GENRES[n % 10], n, seconds=30.0, sample_rate=22050), 22050, 44100)
        first = root / "fma_small" / "000" / f"{n:06d}.mp3"
        first.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(first, np.stack([waveform, 0.5 * waveform], axis=1), 44100, format="MP3")
        for copy in range(COPIES):
            number = 1000 * copy + n
            rows.append(f"{number},{n},training,small,{GENRES[n % 10]}")
            path = root / "fma_small" / f"{number:06d}"[:3] / f"{number:06d}.mp3"
            if copy:
                path.parent.mkdir(exist_ok=True)
                shutil.copy(first, path)
    (root / "fma_metadata" / "tracks.csv").write_text(HEAD + "\n".join(rows) + "\n")


def main() -> None:
    """Write, decode, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=20, help="number of rendered clips; each is written 20 times")
    clips = parser.parse_args().clips
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "fma")
        root.mkdir()
        write(root, clips)
        begin = time.perf_counter()
        collection = collect(FMA(str(root)), 22050, cache_dir=str(Path(folder, "cache")), duplicates="keep")
        seconds = time.perf_counter() - begin
    count = len(collection.tracks)
    minutes = seconds * WHOLE / count / 60
    speed = f"{seconds:.1f} s, {30 * count / seconds:.0f} s/s"
    print(f"{count} mp3s of 30 s in {speed}; {WHOLE}, scaled: {minutes:.1f} minutes")


if __name__ == "__main__":
    main()
