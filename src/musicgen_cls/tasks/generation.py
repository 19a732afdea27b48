"""Generation as a LightningModule: a network that continues audio, its loss, its continuations."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from musicgen_cls.errors import UsageError, check_positive
from musicgen_cls.models.generators.continuation import Continuation, Sampling
from musicgen_cls.models.generators.mel_flow import MelFlow
from musicgen_cls.tasks.base import Task


class GenreGenerator(Task):
    """Trains a network to continue audio, with Adam, and generates continuations of recordings.

    Args:
        network: a network class, or a partial of one, called with the number of genres, the sample rate in Hz and the
            length of the target in samples.
        lr: Adam's learning rate.
        weight_decay: Adam's L2 penalty.
        seconds: length of the audio that `predict` writes, the prompt included, s.
        temperature: sampling temperature: below 1 for more probable values, above 1 for less probable ones.
        top_p: sample only from the most probable values whose probabilities add up to `top_p`.
        guidance: weight of the genre: 1 as trained, more to make it clearer.
        num_classes: number of genres; on the command line it comes from the datamodule, as the next two do.
        sample_rate: Hz.
        target_samples: length of the target after a context in training, samples.
    """

    def __init__(
        self,
        network: Callable[[int, int, int], Continuation] = MelFlow,
        lr: float = 0.002,
        weight_decay: float = 0.0,
        seconds: float = 5.0,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float = 1.0,
        num_classes: int | None = None,
        sample_rate: int | None = None,
        target_samples: int | None = None,
    ) -> None:
        if num_classes is None or sample_rate is None or target_samples is None:
            raise UsageError("num_classes, sample_rate or target_samples is not set: a generator needs WaveformWindows")
        super().__init__(
            {
                "network": network,
                "lr": lr,
                "weight_decay": weight_decay,
                "seconds": seconds,
                "temperature": temperature,
                "top_p": top_p,
                "guidance": guidance,
                "num_classes": num_classes,
                "sample_rate": sample_rate,
                "target_samples": target_samples,
            }
        )
        check_positive("--model.", seconds=seconds, temperature=temperature, guidance=guidance)
        if not 0 < top_p <= 1:
            raise UsageError(f"--model.top_p {top_p}: must be more than 0 and at most 1")
        self.seconds, self.temperature, self.top_p, self.guidance = seconds, temperature, top_p, guidance
        self.sample_rate, self.target_samples = sample_rate, target_samples
        self.network: Continuation = network(num_classes, sample_rate, target_samples)
        for name, value in (("temperature", temperature), ("top_p", top_p), ("guidance", guidance)):
            if value != 1.0 and name not in self.network.SAMPLING_OPTIONS:
                raise UsageError(f"--model.{name} {value}: {type(self.network).__name__} does not use it; remove it")
        self._losses: list[tuple[int, float, int]] = []
        self.track_losses: list[float] = []

    def setup(self, stage: str) -> None:
        """Refuse to train or test a network that only predicts."""
        if stage != "predict" and not self.network.CAN_TRAIN:
            raise UsageError(f"{type(self.network).__name__}: is pretrained and has no loss here; use it with predict")
        super().setup(stage)

    def on_fit_start(self) -> None:
        """Refuse weights that are not float32: the tables and transforms of generators are float32."""
        if self.dtype != torch.float32:
            raise UsageError(
                f"--trainer.precision: a generator's weights are float32, not {self.dtype}; use 32-true, bf16-mixed "
                "or 16-mixed"
            )

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The network's loss on a batch."""
        loss = self._loss(batch)
        self._log_loss("train", loss, batch)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The network's loss, with the same random numbers in every epoch."""
        with torch.random.fork_rng(self._devices()):
            torch.manual_seed(batch_idx)
            self._log_loss("val", self._loss(batch), batch)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The network's loss, for each track and for the batch."""
        with torch.random.fork_rng(self._devices()):
            torch.manual_seed(batch_idx)
            for track in batch["track"].unique():
                rows = batch["track"] == track
                loss = self._loss({name: batch[name][rows] for name in ("context", "target", "genre")})
                self._losses += [(int(track), float(loss), index) for index in batch["index"][rows].tolist()]
            self._log_loss("test", self._loss(batch), batch)

    def on_test_epoch_end(self) -> None:
        """Gather the mean loss of each test track from all processes."""
        gathered: list[Any] = [self._losses]
        if self.trainer.world_size > 1:
            gathered = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, self._losses)
        of_track: dict[int, dict[int, float]] = defaultdict(dict)
        for track, loss, window in (row for part in gathered for row in part):
            of_track[track].setdefault(window, loss)  # a window that two processes have counts once
        self.track_losses = [float(np.mean(list(own.values()))) for own in of_track.values()]
        self._losses = []

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> Iterator[Tensor]:
        """The continuations of a batch; see `continuations`."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        seeds = [seed * 1_000_003 + int(position) for position in batch["position"]]
        return self.continuations(batch["context"], batch["genre"], seeds)

    @torch.inference_mode()  # as a decorator: inside the generator it would stay on for the caller
    def continuations(self, context: Tensor, genre: Tensor, seeds: list[int]) -> Iterator[Tensor]:
        """Contexts and their continuations, `seconds` in all, one piece after the other, in constant memory.

        Args:
            context: waveforms, full scale 1, `[batch, context_samples]`.
            genre: labels, `[batch]`.
            seeds: random seed of each recording, `[batch]`.

        Yields:
            float32 `[batch, samples]`, within full scale.

        Raises:
            UsageError: the context is as long as `seconds`, or the generated audio is not finite.
        """
        left = round(self.seconds * self.sample_rate) - context.shape[1]
        if left <= 0:
            prompt = context.shape[1] / self.sample_rate
            raise UsageError(f"--model.seconds {self.seconds:g}: the prompt alone has {prompt:g} s; increase it")
        yield context
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        sampling = Sampling(generators, self.temperature, self.top_p, self.guidance)
        for piece in self.network.stream(context, genre, sampling):
            if not torch.isfinite(piece).all():
                raise UsageError(
                    "the generated audio is not finite, since the network's training diverged; use another checkpoint"
                )
            yield piece[:, :left].clamp(-1.0, 1.0)
            left -= piece.shape[1]
            if left <= 0:
                return

    def dry_run(self, batch: dict[str, Any]) -> None:
        """Run the network on a batch; not one that only predicts, whose weights are not there yet."""
        if self.network.CAN_TRAIN:
            self._loss(batch)

    def _devices(self) -> list[torch.device]:
        """The devices beside the CPU whose random numbers the network draws."""
        return [] if self.device.type == "cpu" else [self.device]

    def _loss(self, batch: dict[str, Any]) -> Tensor:
        return self.network.loss(batch["context"], batch["target"], batch["genre"])

    def _log_loss(self, stage: str, loss: Tensor, batch: dict[str, Any]) -> None:
        step, bar = stage == "train", stage != "test"
        size = len(batch["genre"])
        self.log(f"{stage}_loss", loss, prog_bar=bar, on_step=step, on_epoch=True, batch_size=size, sync_dist=True)
