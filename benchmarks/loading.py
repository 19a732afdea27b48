"""From files to log-mel spectrograms, beside the usual pipelines: `OMP_NUM_THREADS=1 python benchmarks/loading.py`.

Composed music of 30 s in stereo at 44.1 kHz becomes spectrograms of 64 bands at 22.05 kHz, file by file. The figures
are seconds of audio for each second of processor time, medians of turns in which the pipelines run one after another on
the same files.

- ours: `musicgen_cls.audio.io.read`, which decodes, mixes and resamples with soxr, and the front end of `MelSlices`.
- torchaudio: `torchaudio.load`, `Resample`, `MelSpectrogram`, `AmplitudeToDB`. Needs torchcodec and FFmpeg.
- datasets: rows of a data set with `Audio(sampling_rate=22050)`, and the same two transforms. Needs torchcodec too.
- librosa: `librosa.load`, `melspectrogram`, `power_to_db`.

The resamplers differ: torchaudio's default filter is shorter, and lets more through above the new Nyquist frequency.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from musicgen_cls.audio.io import read
from musicgen_cls.datamodules.front_end import MelFrontEnd
from musicgen_cls.synth.render import render
from musicgen_cls.synth.styles import GENRES
from musicgen_cls.tables import as_markdown
from results import Row, add_option, machine, row, spread, write

FROM_HZ, RATE, N_FFT, HOP, N_MELS, SECONDS = 44_100, 22_050, 2048, 512, 64, 30.0
FORMATS = ("wav", "flac", "ogg", "mp3")
Pipeline = Callable[[list[Path]], object]


def ours() -> Pipeline:
    """The package."""
    front_end = MelFrontEnd(RATE, N_FFT, HOP, N_MELS)
    return lambda files: [front_end.represent(torch.from_numpy(read(file, RATE))[None]) for file in files]


def transforms() -> Any:
    """The mel spectrogram of torchaudio, in decibels."""
    from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

    return torch.nn.Sequential(MelSpectrogram(RATE, N_FFT, hop_length=HOP, n_mels=N_MELS), AmplitudeToDB())


def with_torchaudio() -> Pipeline:
    """The usual pipeline of torchaudio."""
    import torchaudio

    resample, mel = torchaudio.transforms.Resample(FROM_HZ, RATE), transforms()
    return lambda files: [mel(resample(torchaudio.load(file)[0].mean(0))) for file in files]


def with_datasets() -> Pipeline:
    """A column of audio of the Hugging Face library."""
    from datasets import Audio, Dataset

    mel = transforms()

    def run(files: list[Path]) -> object:
        rows = Dataset.from_dict({"audio": list(map(str, files))}).cast_column("audio", Audio(sampling_rate=RATE))
        return [mel(item["audio"].get_all_samples().data.mean(0)) for item in rows]

    return run


def with_librosa() -> Pipeline:
    """The usual pipeline of librosa."""
    import librosa

    def one(file: Path) -> object:
        y, _ = librosa.load(file, sr=RATE)
        return librosa.power_to_db(
            librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS)
        )

    return lambda files: [one(file) for file in files]


def paces(pipelines: dict[str, Pipeline], files: list[Path], turns: int) -> dict[str, list[float]]:
    """Seconds of audio for each second of processor time, of each pipeline in each turn."""
    found: dict[str, list[float]] = {name: [] for name in pipelines}
    for turn in range(turns + 1):  # the first does not count
        for name, pipeline in pipelines.items():
            begin = time.process_time()
            pipeline(files)
            if turn:
                found[name].append(SECONDS * len(files) / (time.process_time() - begin))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--turns", type=int, default=5)
    add_option(parser)
    options = parser.parse_args()
    pipelines = {
        "ours": ours(),
        "torchaudio": with_torchaudio(),
        "datasets": with_datasets(),
        "librosa": with_librosa(),
    }
    table: list[dict[str, str]] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="loading-") as place:
        music = [render(GENRES[n % len(GENRES)], n, seconds=SECONDS, sample_rate=FROM_HZ) for n in range(options.files)]
        for suffix in FORMATS:
            files = [Path(place) / f"{n}.{suffix}" for n in range(options.files)]
            for file, mono in zip(files, music, strict=True):
                soundfile.write(file, np.stack([mono, 0.9 * mono], axis=1), FROM_HZ)
            found = paces(pipelines, files, options.turns)
            for name, own in list(found.items())[1:]:
                ratios = [a / b for a, b in zip(found["ours"], own, strict=True)]
                cells = {"ours": spread(found["ours"], 0), "baseline": spread(own, 0), "ratio": spread(ratios, 2)}
                table.append({"format": suffix, "beside": name} | cells)
                rows.append(row(f"{suffix} beside {name}", "s/s", found["ours"], own))
    print(as_markdown(table))
    print(f"\n{machine()}; {torch.get_num_threads()} torch threads")
    write(options.json, "loading", rows, torch.get_num_threads())


if __name__ == "__main__":
    main()
