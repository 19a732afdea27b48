"""What `predict` prints and writes: a row a file."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import AudioError, UsageError
from musicgen_cls.paths import check_writable, writing


class PredictionWriter(Callback):
    """Gathers the windows of each file, prints a table, and writes `predictions.csv` and `predictions.json`.

    Args:
        out: folder to write into, made if need be.
    """

    def __init__(self, out: str = "predictions") -> None:
        self.out = Path(out)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh, and find out now whether the results can be written."""
        self._windows: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        self._files: list[tuple[int, dict[str, Any]]] = []
        check_writable(self.out, "--out DIR")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | None,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's probabilities; after a file's last batch, its row."""
        file = batch["file"]
        if outputs is not None:
            self._windows[file].append((batch["start_s"].cpu(), outputs.cpu()))
        if batch["last"]:
            windows = self._windows.pop(file, [])
            self._files.append(
                (batch["position"], {"file": file, "error": batch["error"]})
                if "error" in batch
                else (
                    batch["position"],
                    {"file": file, "seconds": batch["seconds"], **summary(windows, _genres(trainer))},
                )
            )

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the rows of all processes together; print and write on one."""
        gathered = [self._files]
        if trainer.world_size > 1:
            gathered = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(gathered, self._files)
        rows = [row for _, row in sorted((row for part in gathered for row in part), key=lambda item: item[0])]
        if not trainer.is_global_zero:
            return
        good = [row for row in rows if "error" not in row]
        bad = [row for row in rows if "error" in row]
        if not good:
            more = f" ({len(bad)} files, none of them usable)" if len(bad) > 1 else ""
            raise AudioError(bad[0]["error"] + more)
        print(format_predictions(good))
        for row in bad:
            print(f"left out: {row['error']}")
        try:
            self._write(rows, good, _genres(trainer))
        except OSError as error:
            raise self._unwritable(error) from error
        print(f"Written:     {self.out / 'predictions.csv'} and predictions.json (with the timeline of each file)")

    def _write(self, rows: list[dict[str, Any]], good: list[dict[str, Any]], genres: list[str]) -> None:
        import pandas as pd

        columns = ["file", "genre", "probability", "seconds", *genres]
        table = pd.DataFrame([{**row, **row["probabilities"]} for row in good])[columns]
        with writing(self.out / "predictions.csv") as temporary:
            table.to_csv(temporary, index=False)
        with writing(self.out / "predictions.json") as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(f"{self.out}: cannot write there ({error.strerror}); give another folder with --out DIR")


def summary(windows: list[tuple[Tensor, Tensor]], genres: list[str]) -> dict[str, Any]:
    """What is said of a file: mean probability of each genre over its windows, the top genre, and every window's say.

    Args:
        windows: pairs of start times `[batch]`, s, and probabilities `[batch, num_classes]`.
        genres: names of the classes.
    """
    starts = torch.cat([start for start, _ in windows])
    probabilities = torch.cat([p for _, p in windows]).double()
    mean = probabilities.mean(dim=0)
    top = int(mean.argmax())
    return {
        "genre": genres[top],
        "probability": float(mean[top]),
        "probabilities": dict(zip(genres, mean.tolist(), strict=True)),
        "timeline": [
            {
                "start_s": round(float(start), 3),
                "genre": genres[int(p.argmax())],
                "probabilities": [round(value, 4) for value in p.tolist()],
            }
            for start, p in zip(starts, probabilities, strict=True)
        ],
    }


def format_predictions(rows: list[dict[str, Any]]) -> str:
    """A table for a terminal: file, length, and its three likeliest genres."""
    names = _shortened([row["file"] for row in rows])
    width = max(len(name) for name in names)
    lines = ["", f"  {'file':<{width}}  {'length':>8}   likeliest genres"]
    for name, row in zip(names, rows, strict=True):
        top = sorted(row["probabilities"].items(), key=lambda item: -item[1])[:3]
        genres = "   ".join(f"{genre} {100 * p:.0f} %" for genre, p in top)
        minutes, seconds = divmod(round(row["seconds"]), 60)
        lines.append(f"  {name:<{width}}  {minutes:>5}:{seconds:02d}   {genres}")
    return "\n".join([*lines, ""])


def _shortened(files: list[str], width: int = 60) -> list[str]:
    return [file if len(file) <= width else "..." + file[3 - width :] for file in files]


def _genres(trainer: Trainer) -> list[str]:
    datamodule = getattr(trainer, "datamodule", None)
    assert isinstance(datamodule, GenreDataModule)
    return datamodule.genres
