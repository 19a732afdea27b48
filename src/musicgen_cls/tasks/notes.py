"""Generation of scores as a LightningModule: a network that predicts the next note, and its loss in bits a note."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from musicgen_cls.errors import UsageError, check_positive
from musicgen_cls.models.notes.base import Conditions, NoteNetwork, conditions_of
from musicgen_cls.models.notes.fields import SIZES
from musicgen_cls.models.notes.sample import Settings, Wanted, generate
from musicgen_cls.models.notes.transformer import NoteTransformer
from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.score import Notes, onset_seconds, step_seconds
from musicgen_cls.tasks.base import Schedule, Task

LEFT_OUT = (0.1, 0.2, 0.2, 0.2, 0.3, 0.3)
"""How often genre, tempo, metre, mode, instruments and density are left out in training, so that they can be later."""


Windows = dict[int, tuple[int, int, Tensor]]
"""For each window by its index: its genre, its piece and its costs."""

Costs = dict[int, dict[int, Tensor]]
"""For each genre and piece the sum of bits by field, and the number of notes, `[6]`."""


class NoteGenerator(Task):
    """Trains a network to predict the next note, and generates pieces.

    The loss is the cost of a note, bits: the sum over time, family, pitch, duration and velocity.

    Args:
        network: a network class, or a partial of one, called with the number of genres.
        lr: Adam's learning rate.
        weight_decay: Adam's L2 penalty.
        schedule: of the learning rate: `constant`, `cosine`, `linear`.
        warmup: share of the steps in which the learning rate rises.
        seconds: length of the pieces that `predict` writes, the prompt included, s.
        bars: the same in bars, instead of `seconds`.
        temperature: below 1 for more probable notes, above 1 for less probable ones.
        top_p: draw each field only from the most probable classes whose probabilities add up to `top_p`.
        guidance: weight of genre, tempo, metre, instruments and density; 1 as trained, more to make them clearer.
        tempo: beats per minute, 20 to 255; that of the prompt, or of a training piece of the genre, if not set.
        instruments: families that play, such as `[piano, bass, drums]`; those of the prompt, or of a training piece of
            the genre, if not set.
        density: notes a beat; those of the prompt, or of a training piece of the genre, if not set.
        num_classes: number of genres; on the command line it comes from the datamodule.
    """

    sample_rate: ClassVar[int] = 22050
    """Sample rate of the recordings that the pieces are rendered to, Hz."""

    def __init__(
        self,
        network: Callable[[int], NoteNetwork] = NoteTransformer,
        lr: float = 0.002,
        weight_decay: float = 0.0,
        schedule: Schedule = "cosine",
        warmup: float = 0.05,
        seconds: float = 30.0,
        bars: int | None = None,
        temperature: float = 0.9,
        top_p: float = 0.9,
        guidance: float = 1.0,
        tempo: int | None = None,
        instruments: list[str] | str | None = None,
        density: float | None = None,
        num_classes: int | None = None,
    ) -> None:
        if num_classes is None:
            raise UsageError("num_classes is not set: a generator of notes needs NoteWindows")
        settings = dict(locals())
        super().__init__({name: settings[name] for name in settings if name not in ("self", "__class__")})
        check_positive("--model.", seconds=seconds, temperature=temperature, bars=1 if bars is None else bars)
        check_positive("--model.", density=1 if density is None else density)
        if not 0 < top_p <= 1:
            raise UsageError(f"--model.top_p {top_p}: must be more than 0 and at most 1")
        if tempo is not None and not 20 <= tempo <= 255:
            raise UsageError(f"--model.tempo {tempo}: must be from 20 to 255 beats per minute")
        named = [instruments] if isinstance(instruments, str) else instruments or []
        for name in named:
            if name not in FAMILIES:
                raise UsageError(f"--model.instruments {name}: no such family; use {', '.join(FAMILIES)}")
        self.seconds, self.bars, self.tempo = seconds, bars, tempo
        self.instruments, self.density = instruments, density
        self.families = tuple(FAMILIES.index(name) for name in named)
        self.sampling = Settings(temperature, top_p, guidance)
        self.network: NoteNetwork = network(num_classes)
        self.costs: Costs = {}
        """Those of the last validation or test."""
        self._windows: Windows = {}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The mean cost of a note of a batch, with some conditions left out, bits."""
        conditions = conditions_of(batch["tokens"], batch["genre"])
        left_out = torch.tensor(LEFT_OUT, device=self.device)
        drop = torch.rand(len(batch["genre"]), len(LEFT_OUT), device=self.device) < left_out
        bits, notes = self._cost(batch, conditions.without(drop))
        loss = bits.sum() / notes
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=notes, sync_dist=True)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The cost of a note with all conditions, bits."""
        self._evaluate("val", batch)

    def on_validation_epoch_start(self) -> None:
        """Forget the costs of the last validation."""
        self.costs, self._windows = {}, {}

    on_test_epoch_start = on_validation_epoch_start

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The cost of a note with all conditions, bits."""
        self._evaluate("test", batch)

    def on_validation_epoch_end(self) -> None:
        """Log the mean over genres of the cost of a note."""
        self._summarise("val")

    def on_test_epoch_end(self) -> None:
        """Log the mean over genres of the cost of a note."""
        self._summarise("test")

    def by_genre(self) -> dict[int, Tensor]:
        """For each genre of the last validation or test the cost of a note by field, bits, `[5]`."""
        summed = {label: torch.stack(list(pieces.values())).sum(0) for label, pieces in sorted(self.costs.items())}
        return {label: total[:-1] / total[-1].clamp(min=1) for label, total in summed.items()}

    @property
    def piece_bits(self) -> list[float]:
        """The cost of a note of each piece of the last validation or test, bits."""
        pieces = [cost for own in self.costs.values() for cost in own.values()]
        return [float(cost[:-1].sum() / cost[-1].clamp(min=1)) for cost in pieces]

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """The batch. A callback generates the pieces and writes them, since it knows which are there already."""
        return batch

    def pieces(
        self,
        wanted: Sequence[Wanted],
        positions: Sequence[int],
        progress: Callable[[float], object] = lambda share: None,
        seconds: float | None = None,
    ) -> list[Notes]:
        """Generate pieces, all at once.

        Args:
            wanted: what each piece shall be; the prompts are all empty, or of equal length.
            positions: number of each piece; with the seed of the run it gives the piece's own random numbers.
            progress: called with the share that is done, 0 to 1.
            seconds: length of the pieces, s; that of the task if None.
        """
        tempo = [self.tempo or one.tempo for one in wanted]
        families = torch.zeros(len(wanted), len(FAMILIES))
        for row, one in enumerate(wanted):
            families[row, list(self.families or one.families)] = 1.0
        conditions = Conditions(
            torch.tensor([one.genre for one in wanted]),
            torch.tensor(tempo),
            torch.tensor([one.bar for one in wanted]),
            torch.tensor([int(one.minor) for one in wanted]),
            families,
            torch.tensor([self.density or one.density for one in wanted]),
        )
        ends = [
            self._end(one, self.seconds if seconds is None else seconds, None if seconds else self.bars)
            for one in wanted
        ]
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) * 1_000_003
        training = self.network.training
        self.network.eval()
        found = generate(self.network, [one.prompt for one in wanted], conditions, ends,
                         [seed + position for position in positions], self.sampling, progress)  # fmt: skip
        self.network.train(training)
        return found

    def check_prompts(self, wanted: Sequence[Wanted]) -> None:
        """Raise `UsageError` if prompts are as long as the pieces that shall continue them."""
        for one in wanted:
            if len(one.prompt) and int(one.prompt["onset"][-1]) >= self._end(one, self.seconds, self.bars):
                seconds = float(onset_seconds(one.prompt)[-1])
                option = f"--model.bars {self.bars}" if self.bars else f"--model.seconds {self.seconds:g}"
                raise UsageError(
                    f"{option}: the prompt alone has {seconds:.1f} s; increase it, or lower --data.prompt_bars"
                )

    def _end(self, wanted: Wanted, seconds: float, bars: int | None) -> int:
        """The step before which the notes of a piece begin."""
        return bars * wanted.bar if bars else math.ceil(seconds / float(step_seconds(self.tempo or wanted.tempo)))

    def dry_run(self, batch: dict[str, Any]) -> None:
        """Run the network on a batch."""
        training = self.network.training
        self.network.eval()
        self._cost(batch, conditions_of(batch["tokens"], batch["genre"]))
        self.network.train(training)

    def _cost(self, batch: dict[str, Any], conditions: Conditions) -> tuple[Tensor, int]:
        """Bits of each field, `[batch, notes, 5]`, and the number of notes."""
        bits = self.network.bits(batch["tokens"], conditions)
        return bits, max(1, int((batch["tokens"][..., 8] > 0).sum()))

    def _evaluate(self, stage: str, batch: dict[str, Any]) -> None:
        bits, _ = self._cost(batch, conditions_of(batch["tokens"], batch["genre"]))
        real = (batch["tokens"][..., 8] > 0).sum(1)
        totals = torch.cat([bits.sum(1), real[:, None]], dim=1).cpu()
        rows = zip(batch["genre"].tolist(), batch["track"].tolist(), totals, strict=True)
        self._windows |= dict(zip(batch["index"].tolist(), rows, strict=True))

    def _summarise(self, stage: str) -> None:
        """Gather the costs from all processes, and log the mean over genres."""
        gathered: list[Any] = [self._windows]
        if self.trainer.world_size > 1:
            gathered = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, self._windows)
        windows: Windows = {index: window for own in gathered for index, window in own.items()}
        self.costs = costs_of(windows)
        of_genre = self.by_genre()
        if not of_genre:
            return
        mean = torch.stack(list(of_genre.values())).mean(0)
        self.log(f"{stage}_loss", mean.sum(), prog_bar=stage == "val", sync_dist=True)
        for number, field in enumerate(SIZES):
            self.log(f"{stage}_bits/{field}", mean[number], sync_dist=True)


def costs_of(windows: Windows) -> Costs:
    """The costs of pieces from those of their windows. A window of two processes counts once."""
    total: Costs = {}
    for _, (label, track, cost) in sorted(windows.items()):
        own = total.setdefault(label, {})
        own[track] = own.get(track, torch.zeros(len(cost))) + cost
    return total
