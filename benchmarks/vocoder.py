"""What the way back from mel spectrograms does to a judge's opinion: `python benchmarks/vocoder.py JUDGE DIR`.

DIR has tracks, a folder a genre; ten seconds of the first ten of each are made into mel spectrograms and back into
sound by `GriffinLim`, with frames and bands of several sizes. Printed are the judge's accuracy on what comes out; how
far its probabilities have moved (half the sum of differences, 0 to 1); how far bands move from frame to frame, dB,
beside the same in the music; and the seconds it took. For choosing, so on tracks that were trained on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from musicgen_cls.audio.griffin_lim import GriffinLim
from musicgen_cls.audio.io import read
from musicgen_cls.audio.mel import LogMel
from musicgen_cls.recogniser import GenreRecogniser

SIZES = ((1024, 256, 96), (1024, 256, 128), (512, 256, 64), (512, 256, 96), (512, 128, 96))
FROM, UNTIL = 5, 15  # s


@torch.inference_mode()
def main() -> None:
    """Go there and back, ask, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("judge", help="checkpoint of a classifier")
    parser.add_argument("music", type=Path)
    options = parser.parse_args()
    judge = GenreRecogniser(options.judge)
    rate, genres = judge.sample_rate, judge.genres
    paths = [
        (label, path) for label, genre in enumerate(genres) for path in sorted((options.music / genre).glob("*"))[:10]
    ]
    labels = np.array([label for label, _ in paths])
    music = [torch.from_numpy(read(path, rate)[FROM * rate : UNTIL * rate]) for _, path in paths]
    ear = LogMel(rate, 512, 256, 64)

    def heard(sounds: list[torch.Tensor]) -> tuple[np.ndarray, float]:
        """Probabilities `[sounds, genres]`, and the mean step of bands, dB."""
        told = np.array([list(judge(sound).values()) for sound in sounds])
        return told, float(np.mean([float(ear(sound[None]).diff(dim=2).abs().mean()) for sound in sounds]))

    before, moves = heard(music)
    print(f"{'music':<32}accuracy {(before.argmax(1) == labels).mean():.3f}   moved 0.000   steps {moves:.2f}")
    for n_fft, hop_length, n_mels in SIZES:
        log_mel = LogMel(rate, n_fft, hop_length, n_mels)
        vocoder = GriffinLim(log_mel)
        begin = time.perf_counter()
        sounds = [vocoder(log_mel.power(sound[None]), torch.zeros(1, 0))[0] for sound in music]
        seconds = time.perf_counter() - begin
        after, moves = heard(sounds)
        name = f"n_fft {n_fft}, hop {hop_length}, {n_mels} bands"
        moved = np.abs(after - before).sum(axis=1).mean() / 2
        right = (after.argmax(1) == labels).mean()
        print(f"{name:<32}accuracy {right:.3f}   moved {moved:.3f}   steps {moves:.2f}   {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
