"""The task of networks on notes: costs by genre and piece."""

from __future__ import annotations

import pytest
import torch

from musicgen_cls.errors import UsageError
from musicgen_cls.tasks.notes import NoteGenerator, costs_of


def cost(bits: float, notes: int) -> torch.Tensor:
    """Costs of a piece: all bits in the field of time, and the number of notes."""
    return torch.tensor([bits, 0, 0, 0, 0, notes])


def test_costs_of_several_processes_are_those_of_one() -> None:
    first = {0: (0, 7, cost(30.0, 10)), 1: (0, 7, cost(50.0, 10))}
    second = {1: (0, 7, cost(50.0, 10)), 2: (0, 8, cost(5.0, 5)), 3: (1, 9, cost(8.0, 4))}  # the sampler repeats one
    total = costs_of(first | second)
    assert torch.equal(total[0][7], cost(80.0, 20))
    task = NoteGenerator(num_classes=2)
    task.costs = total
    assert {label: float(bits.sum()) for label, bits in task.by_genre().items()} == pytest.approx({0: 85 / 25, 1: 2.0})
    assert sorted(task.piece_bits) == pytest.approx([1.0, 2.0, 4.0])


def test_it_needs_the_number_of_genres() -> None:
    with pytest.raises(UsageError, match="NoteWindows"):
        NoteGenerator()
