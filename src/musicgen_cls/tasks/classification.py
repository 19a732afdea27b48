"""Genre classification as a LightningModule: network, loss, metrics, optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from musicgen_cls.errors import UsageError, check_not_negative
from musicgen_cls.metrics.named import metric_values, named_metrics
from musicgen_cls.metrics.scores import Scores, TrackScores
from musicgen_cls.models.classifiers.blocks import apply_memory_format
from musicgen_cls.tasks.base import Schedule, Task
from musicgen_cls.tasks.calibration import Calibration
from musicgen_cls.tasks.predicting import NOT_FINITE, Predicting


class SeveralClassifiers(Protocol):
    """A network that is several classifiers, such as `LinearProbe`. After each epoch the best one is chosen."""

    candidate_count: int

    def candidates(self, x: Tensor) -> Tensor:
        """Network input to logits of each classifier, `[batch, candidates, num_classes]`."""

    def choose(self, number: int) -> None:
        """Choose a classifier, whose logits `forward` returns."""

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the chosen classifier, and the loss of all."""


class GenreClassifier(Predicting, Task):
    """Trains and tests a network from `[batch, ...]` to logits `[batch, num_classes]` with cross-entropy and Adam.

    Args:
        network: a network class, or a partial of one, called with the number of classes.
        lr: Adam's learning rate.
        weight_decay: Adam's L2 penalty.
        mixup: alpha of mixup (Zhang et al. 2018, https://arxiv.org/abs/1710.09412), which mixes pairs of training
            inputs and their labels; 0 for no mixup. A larger alpha gives mixtures nearer to one half of each.
        schedule: of the learning rate: `constant`; or `cosine` or `linear`, which fall to 0 at the end.
        warmup: share of the training in which the learning rate rises from 0.
        metrics: further metrics of tracks by name, each a torchmetrics class (or a partial of one) that is called with
            the number of classes. They are logged as `val_NAME` and `test_NAME`, and stand in reports.
        num_classes: number of genres; on the command line it comes from the datamodule.
    """

    def __init__(
        self,
        network: Callable[[int], nn.Module],
        lr: float = 0.001,
        weight_decay: float = 0.0,
        mixup: float = 0.0,
        schedule: Schedule = "constant",
        warmup: float = 0.0,
        metrics: dict[str, Callable[[int], Metric]] | None = None,
        num_classes: int | None = None,
    ) -> None:
        if num_classes is None:
            raise UsageError("num_classes is not set: give the number of genres")
        check_not_negative("--model.", mixup=mixup)
        hyperparameters = {"lr": lr, "weight_decay": weight_decay, "mixup": mixup, "num_classes": num_classes}
        super().__init__(
            {"network": network, "metrics": metrics, "schedule": schedule, "warmup": warmup, **hyperparameters}
        )
        self.mixup = mixup
        self.network = apply_memory_format(network(num_classes))
        for name in getattr(self.network, "FILLED_IN", ()):
            self.hparams["network"]["init_args"][name] = getattr(self.network, name)
        self.calibration = Calibration(num_classes)
        self.train_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.scores = nn.ModuleDict({stage: TrackScores() for stage in ("val", "test")})
        self.candidates = nn.ModuleList(TrackScores() for _ in range(getattr(self.network, "candidate_count", 0)))
        """The validation scores of each classifier, for a network that is several ones."""
        self.metrics = named_metrics(metrics or {}, num_classes)
        self.results: dict[str, Scores] = {}

    @property
    def pretrained(self) -> list[dict[str, str]]:
        """Facts about pretrained parts of the network, for reports and cards."""
        found: list[dict[str, str]] = getattr(self.network, "pretrained", [])
        return found

    def on_fit_start(self) -> None:
        """Train and validate without the calibration of a checkpoint that is trained further."""
        self.calibration.reset()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Cross-entropy of a batch, with mixup if it is on."""
        if self.mixup:
            logits, loss = self._mixed(batch["x"], batch["y"])
        elif self.candidates:
            logits, loss = cast(SeveralClassifiers, self.network).loss(batch["x"].to(self.dtype), batch["y"])
        else:
            logits = self(batch["x"])
            loss = functional.cross_entropy(logits.float(), batch["y"])
        self.train_accuracy(logits, batch["y"])
        size = len(batch["y"])
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=size, sync_dist=True)
        self.log("train_accuracy", self.train_accuracy, on_step=False, on_epoch=True, batch_size=size)
        return loss

    def _mixed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of mixtures of two inputs of the batch, and the cross-entropy with both labels, weighted."""
        share = float(torch.distributions.Beta(self.mixup, self.mixup).sample())
        other = torch.randperm(len(x), device=x.device)
        logits = self(torch.lerp(x[other], x, share))
        losses = [functional.cross_entropy(logits.float(), label) for label in (y, y[other])]
        return logits, share * losses[0] + (1 - share) * losses[1]

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Collect the predictions of a batch."""
        if not self.candidates:
            return self._collect("val", batch)
        logits = cast(SeveralClassifiers, self.network).candidates(batch["x"].to(self.dtype))
        for metric, log_probs in zip(self.candidates, self.calibration(logits).unbind(1), strict=True):
            _add(metric, batch, log_probs)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Collect the predictions of a batch."""
        self._collect("test", batch)

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor | None:
        """Probabilities `[batch, num_classes]` of the windows of a file; None for a file that cannot be read."""
        return self.probabilities(batch["x"]) if "x" in batch else None

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over all windows; a window that a sampler repeated counts once.

        Of a network that is several networks, such as `LinearProbe`, the best one is chosen before.
        """
        if self.candidates:
            losses = [float(cast(TrackScores, metric).compute().loss) for metric in self.candidates]
            best = min(range(len(losses)), key=losses.__getitem__)
            cast(SeveralClassifiers, self.network).choose(best)
            self.scores["val"] = self.candidates[best]
        self._log_scores("val")
        for metric in self.candidates:
            cast(TrackScores, metric).reset()

    def on_test_epoch_end(self) -> None:
        """Log the metrics over all windows; a window that a sampler repeated counts once."""
        self._log_scores("test")

    def dry_run(self, batch: dict[str, Any]) -> None:
        """Run the network on a batch; raises `RuntimeError` if the batch does not fit, or the output is not logits."""
        logits = self(batch["x"])
        if logits.ndim != 2:
            raise RuntimeError(f"its output has the shape {list(logits.shape)}, not [windows, classes]")

    def _collect(self, stage: str, batch: dict[str, Any]) -> None:
        log_probs = self.calibration(self(batch["x"]))
        if stage == "test" and not torch.isfinite(log_probs).all():
            raise UsageError(NOT_FINITE)
        _add(self.scores[stage], batch, log_probs)

    def _metric(self, stage: str) -> TrackScores:
        metric = self.scores[stage]
        assert isinstance(metric, TrackScores)
        return metric

    def _log_scores(self, stage: str) -> None:
        metric = self._metric(stage)
        self.results[stage] = scores = metric.compute()
        metric.reset()
        if self.trainer.sanity_checking:  # a few windows only, whose scores Lightning does not log
            return
        figures = {
            f"{stage}_loss": scores.loss,
            f"{stage}_accuracy": scores.segment_accuracy,
            f"{stage}_track_accuracy": scores.track_accuracy,
            **{f"{stage}_{name}": value for name, value in metric_values(self.metrics, scores).items()},
        }
        self.log_dict(figures, prog_bar=stage == "val", sync_dist=True)  # equal on all processes already


def _add(metric: nn.Module, batch: dict[str, Any], log_probs: Tensor) -> None:
    """Add the predictions for a batch to scores."""
    cast(TrackScores, metric).update(batch["index"], batch["track"], batch["start_s"], batch["y"], log_probs)
