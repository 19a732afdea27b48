"""Windows of stored notes, their tokens, and changes of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from musicgen_cls.datamodules.dataset import Batch, WindowDataset
from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.score import NOTE


class NoteDataset(WindowDataset):
    """Windows of stored notes; a window that goes beyond its piece is filled up with zeros."""

    def __getitems__(self, keys: Sequence[tuple[int, float] | int]) -> Batch:
        """A batch: `x` uint8 `[batch, notes, 12]`; `y`, `track`, `index` int64 and `start_s` float32, all `[batch]`."""
        pairs = [(key, 0.0) if isinstance(key, int) else key for key in keys]
        rows = np.array([row for row, _ in pairs])
        shift = (np.array([place for _, place in pairs]) * (self.windows.slack[rows] + 1)).astype(np.int64)
        tracks = self.windows.track[rows]
        ends = self.collection.offset[tracks] + self.collection.lengths[tracks]
        x = np.zeros((len(rows), self.length, NOTE.itemsize), np.uint8)
        for row, (start, end) in enumerate(zip(self.windows.start[rows] + shift, ends, strict=True)):
            own = self.collection.items[start : min(start + self.length, end)]
            x[row, : len(own)] = own
        return {
            "x": torch.from_numpy(x),
            "y": torch.from_numpy(self.windows.genre[rows]),
            "track": torch.from_numpy(self.collection.whole[tracks]),
            "start_s": torch.from_numpy(self.windows.start_s[rows]),
            "index": torch.from_numpy(rows),
        }


def unpacked(stored: Tensor) -> Tensor:
    """Stored notes, uint8 `[batch, notes, 12]`, as int64 `[batch, notes, 9]`: onsets from the first bar of the window.

    The order of the columns is that of `NOTE`: onset in four bytes, and eight fields of one byte. Notes that fill up a
    window have the onset of the last note.
    """
    wide = stored.long()
    onset = wide[..., 0] + (wide[..., 1] << 8) + (wide[..., 2] << 16) + (wide[..., 3] << 24)
    onset = onset - (onset[:, :1] - wide[:, :1, 5])
    onset = onset.clamp(min=0).cummax(1).values
    return torch.cat([onset[..., None], wide[..., 4:]], dim=-1)


class ToC(nn.Module):
    """Moves pieces to C, by at most six semitones if all pitches then are from 0 to 127; drums stay."""

    def forward(self, notes: Tensor) -> Tensor:
        """Tokens `[batch, notes, 9]` of any key, and of the key C."""
        tonic = notes[:, :1, 5] % 12
        return moved(notes, torch.where(tonic <= 6, -tonic, 12 - tonic))


class Transposed(nn.Module):
    """Moves windows by -5 to 6 semitones at random."""

    def forward(self, notes: Tensor) -> Tensor:
        """Tokens `[batch, notes, 9]`."""
        return moved(notes, torch.randint(-5, 7, (len(notes), 1), device=notes.device))


class Louder(nn.Module):
    """Changes the velocity of windows by up to a fifth at random."""

    def forward(self, notes: Tensor) -> Tensor:
        """Tokens `[batch, notes, 9]`."""
        changed = notes.clone()
        factor = 0.8 + 0.4 * torch.rand(len(notes), 1, device=notes.device)
        louder = (notes[..., 8] * factor).long().clamp(1, 127)
        changed[..., 8] = torch.where(notes[..., 8] > 0, louder, 0)
        return changed


def moved(notes: Tensor, semitones: Tensor) -> Tensor:
    """Tokens moved by semitones `[batch, 1]`; only real notes with a pitch move.

    A window that would leave the pitches 0 to 127 moves by an octave less; one that then leaves them too stays.
    """
    real = notes[..., 8] > 0
    pitch, pitched = notes[..., 7], real & (notes[..., 6] != DRUMS)
    low = torch.where(pitched, pitch, 127).amin(1, keepdim=True)
    high = torch.where(pitched, pitch, 0).amax(1, keepdim=True)
    by = torch.where(low + semitones < 0, semitones + 12, semitones)
    by = torch.where(high + semitones > 127, semitones - 12, by)
    by = torch.where((low + by >= 0) & (high + by <= 127), by, 0)
    changed = notes.clone()
    changed[..., 7] = torch.where(pitched, pitch + by, pitch)
    changed[..., 5] = torch.where(real, notes[..., 5] // 12 * 12 + (notes[..., 5] + by) % 12, notes[..., 5])
    return changed
