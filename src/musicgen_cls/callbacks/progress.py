"""The progress bar."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class Progress(TQDMProgressBar):
    """Lightning's progress bars, closed before a report is printed, since this callback comes first.

    `predict` does not use them: the writer of the results has a bar that counts files.
    """

    def init_predict_tqdm(self) -> Any:
        """A disabled bar."""
        return Tqdm(disable=True)
