"""What a pretrained generator continues: recordings, or nothing, so that a genre alone says what to play."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from musicgen_cls.audio.io import Waveform
from musicgen_cls.datamodules.waveform import WaveformWindows


class TextPrompts(WaveformWindows):
    """Prompts for `MusicGen`, whose genres are texts. Without files and source, each genre begins from nothing.

    Arguments are those of `WaveformWindows`. The length of the prompt is free.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("sample_rate",)

    @property
    def continues(self) -> bool:
        """Whether there is something to continue."""
        return self.files is not None or self.source is not None

    def prepare_data(self) -> None:
        """Fetch and decode the collection, if there is one."""
        if self.continues:
            super().prepare_data()

    def setup(self, stage: str) -> None:
        """Open the collection, if there is one."""
        if self.continues:
            super().setup(stage)

    def _candidates(self) -> Iterator[tuple[Path | None, str, str, Callable[[], Waveform]]]:
        if self.continues:
            yield from super()._candidates()
            return
        for genre in self.genres:
            if self.genre in (None, genre):
                yield None, "", genre, _nothing


def _nothing() -> Waveform:
    return np.zeros(0, np.float32)
