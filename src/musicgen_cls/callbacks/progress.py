"""Progress on the screen."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class Progress(TQDMProgressBar):
    """Lightning's bars, closed before a report is printed, since this callback comes first.

    `predict` has none of them: what writes the results counts files, whose number is known.
    """

    def init_predict_tqdm(self) -> Any:
        """A bar that shows nothing."""
        return Tqdm(disable=True)
