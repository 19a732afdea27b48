"""The effect of synthesis from mel spectrograms on a judge's predictions: `python benchmarks/vocoder.py JUDGE DIR`.

DIR has tracks, a folder for each genre. Ten seconds of the first ten tracks of each genre are converted to mel
spectrograms and back to sound by `GriffinLim`, with several sizes of frames and numbers of bands. The script prints the
judge's accuracy on the result; the change of its probabilities (half the sum of absolute differences, 0 to 1); the mean
step of a band from one frame to the next, dB, also in the music; and the time. Use training tracks, since the script is
for choosing sizes.
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
    """Convert, predict, print."""
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
    mel = LogMel(rate, 512, 256, 64)

    def measured(sounds: list[torch.Tensor]) -> tuple[np.ndarray, float]:
        """Probabilities `[sounds, genres]`, and the mean step of bands, dB."""
        probabilities = np.array([list(judge(sound).values()) for sound in sounds])
        return probabilities, float(np.mean([float(mel(sound[None]).diff(dim=2).abs().mean()) for sound in sounds]))

    before, moves = measured(music)
    print(f"{'music':<32}accuracy {(before.argmax(1) == labels).mean():.3f}   moved 0.000   steps {moves:.2f}")
    for n_fft, hop_length, n_mels in SIZES:
        log_mel = LogMel(rate, n_fft, hop_length, n_mels)
        vocoder = GriffinLim(log_mel)
        begin = time.perf_counter()
        sounds = [vocoder(log_mel.power(sound[None]), torch.zeros(1, 0))[0] for sound in music]
        seconds = time.perf_counter() - begin
        after, moves = measured(sounds)
        name = f"n_fft {n_fft}, hop {hop_length}, {n_mels} bands"
        moved = np.abs(after - before).sum(axis=1).mean() / 2
        right = (after.argmax(1) == labels).mean()
        print(f"{name:<32}accuracy {right:.3f}   moved {moved:.3f}   steps {moves:.2f}   {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
