"""Writes the recordings of `predict` with a generator of waveforms: a wav, two figures and a line of JSON for each."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from musicgen_cls import plots
from musicgen_cls.audio.io import to_pcm
from musicgen_cls.callbacks.generations import GenerationWriter
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.errors import counted
from musicgen_cls.files import writing
from musicgen_cls.tasks.generation import GenreGenerator

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} s [{elapsed}<{remaining}]"


class ContinuationWriter(GenerationWriter):
    """Writes continuations while they are generated; the memory does not grow with their length.

    The figures are the mel spectrogram and the waveform, with a red box around the generated part.
    """

    def settings(self, datamodule: WaveformWindows, task: GenreGenerator) -> dict[str, Any]:
        """What the recordings depend on."""
        return {
            "source": None if datamodule.source is None else str(datamodule.source.location),
            "split": datamodule.split,
            "files": datamodule.files,
            "genre": datamodule.genre,
            "samples_per_prompt": datamodule.samples_per_prompt,
            "seconds": task.seconds,
            "temperature": task.temperature,
            "top_p": task.top_p,
            "guidance": task.guidance,
        }

    def genre_labels(self, batch: dict[str, Any]) -> list[int]:
        """The label of each recording of a batch."""
        labels: list[int] = batch["genre"].tolist()
        return labels

    def write(
        self, outputs: Iterator[Tensor], batch: dict[str, Any], places: list[Path], task: GenreGenerator
    ) -> list[dict[str, Any]]:
        """Generate the pieces of a batch, and append each to its file."""
        from tqdm import tqdm

        with ExitStack() as stack:
            files = [stack.enter_context(_wav(self.out / place, task.sample_rate)) for place in places]
            bar = stack.enter_context(
                tqdm(total=task.seconds, desc=counted(len(places), "recording"), unit="s", bar_format=_BAR, leave=False)
            )
            for piece in outputs:
                for file, pcm in zip(files, to_pcm(piece.float().cpu().numpy()), strict=True):
                    file.writeframes(pcm.tobytes())
                bar.update(piece.shape[1] / task.sample_rate)
        context = batch["context"].shape[1] / task.sample_rate
        pairs = zip(batch["file"], batch["id"], strict=True)
        return [{"prompt": file, "prompt_id": name, "context_seconds": context} for file, name in pairs]

    def draw(self, path: Path, waveform: npt.NDArray[np.float32], rate: int, prompt_s: float, title: str) -> None:
        """Write both figures."""
        figure = plots.waveform(waveform, rate, prompt_s, title)
        plots.save(figure, path.with_suffix(f".waveform.{self.figure_format}"))
        super().draw(path, waveform, rate, prompt_s, title)


@contextmanager
def _wav(path: Path, sample_rate: int) -> Iterator[wave.Wave_write]:
    """A 16-bit mono file to append samples to; it gets its name when it is complete."""
    with writing(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        yield file
