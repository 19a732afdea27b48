"""Steps of mel bands from frame to frame, in music and in samples of `MelFlow`.

Run `python benchmarks/steps.py CHECKPOINT DIR`. DIR has held-out tracks in a folder for each genre
(`benchmarks/divide.py` makes one). The network continues each track by one window. The script prints four measures:

- the root mean square of the steps in dB, for each position in a patch (a seam between patches would differ);
- the correlation of a step with the next one;
- the kurtosis of the steps: 3 for a normal distribution, more for music, whose notes have onsets;
- the root mean square of the steps in shorter frames of the generated waveform. It is larger than in music if the
  sampled frames are not consistent, and the waveform is then rough.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from musicgen_cls.audio.io import read
from musicgen_cls.audio.mel import LogMel
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.models.generators.continuation import Sampling
from musicgen_cls.models.generators.mel_flow import MelFlow
from musicgen_cls.recogniser import load_parts


def steps(decibels: torch.Tensor, patch: int) -> str:
    """Root mean squares by place in a patch, correlation and kurtosis, of the steps of `[batch, n_mels, frames]`."""
    moved = decibels.diff(dim=2)
    going_on = float((moved[:, :, 1:] * moved[:, :, :-1]).mean() / moved.square().mean())
    whole = moved[:, :, : moved.shape[2] // patch * patch].square().mean(dim=(0, 1)).reshape(-1, patch).mean(dim=0)
    kurtosis = float(moved.pow(4).mean() / moved.square().mean() ** 2)
    return f"{' '.join(f'{value:4.1f}' for value in whole.sqrt())}   next {going_on:+.2f}   kurtosis {kurtosis:4.1f}"


@torch.inference_mode()
def main() -> None:
    """Print the measures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("music", type=Path)
    options = parser.parse_args()
    checkpoint = read_checkpoint(options.checkpoint)
    task, _ = load_parts(checkpoint, torch.device("cpu"))
    network, data = task.network, checkpoint.data["init_args"]
    assert isinstance(network, MelFlow)
    rate = data["sample_rate"]
    context, length = to_samples(data["context_seconds"], rate), to_samples(20.0, rate)
    log_mel = LogMel(rate, network.log_mel.n_fft // 2, network.log_mel.hop_length, network.log_mel.n_mels // 2)
    for label, genre in enumerate(checkpoint.genres):
        sounds = [torch.from_numpy(read(path, rate)) for path in sorted((options.music / genre).glob("*"))]
        music = torch.stack([sound[:length] for sound in sounds if len(sound) >= length])
        labels = torch.full((len(music),), label)
        mean, spread = network.statistics(labels)
        cepstra = network._cepstra(music)
        prompt = (cepstra[:, :, : network._known_frames(music[:, :context])] - mean) / spread
        sampling = Sampling([torch.Generator().manual_seed(seed) for seed in range(len(music))])
        drawn = network._sample(prompt, network.new_frames, None, labels, sampling)
        both = torch.cat([prompt[:, :, -1:], drawn], dim=2)  # the step into the first patch is at a seam
        made = 10 * torch.log10(network._power(both * spread + mean))
        real = 10 * torch.log10(network._power(cepstra))
        power = torch.cat([network._power(cepstra[:, :, : prompt.shape[2]]), 10 ** (made[:, :, 1:] / 10)], dim=2)
        sound = network.vocoder(power, music[:, :0])[:, prompt.shape[2] * network.log_mel.hop_length :]
        for name, decibels, waveform in (("real", real, music), ("drawn", made, sound)):
            rough = float(log_mel(waveform).diff(dim=2).square().mean().sqrt())
            print(f"{genre:<12}{name:<7}{steps(decibels, network.patch)}   sound {rough:4.1f}", flush=True)


if __name__ == "__main__":
    main()
