"""Figures of whole runs are made, and saved empty: drawing takes more time than training, and other tests look at them.

What fixtures of a session or of a module run is drawn in full.
"""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter


@pytest.fixture(autouse=True)
def empty_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    save = Figure.savefig

    def saved(figure: Figure, place: Any, **options: Any) -> None:
        save(Figure(figsize=(0.1, 0.1)), place, format=options.get("format"))

    monkeypatch.setattr(Figure, "savefig", saved)
    monkeypatch.setattr(SummaryWriter, "add_figure", lambda *args, **options: None)
