"""Tracks that sound the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def near_keys(folder: Path, audio_file: Path, entries: Sequence[Any], rate: int) -> list[str | None]:
    """A key."""
    return [None] * len(entries)
