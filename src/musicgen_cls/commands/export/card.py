"""The facts about an exported file, and its model card in Markdown."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import shlex
from glob import escape
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from musicgen_cls import __version__
from musicgen_cls.checkpoints import Checkpoint
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import CheckpointError, counted
from musicgen_cls.formats.records import read
from musicgen_cls.formats.reports import FullReport
from musicgen_cls.metrics.intervals import Interval
from musicgen_cls.sources.splits import LEAK_WARNING, LEAKY
from musicgen_cls.specs import resolve
from musicgen_cls.tasks.classification import GenreClassifier

FORMAT_VERSION = 2
"""Version of the facts; it grows when a name or a meaning changes."""

LICENCE = (
    "musicgen_cls is under Apache-2.0. This file has no information about the rights to the music that the network was "
    "trained on."
)

_FIGURES = ("track_accuracy", "segment_accuracy", "macro_f1", "calibration_error")
_REPORTED = (
    "source",
    "split",
    "fold",
    "split_seed",
    "tracks",
    "windows",
    "majority_baseline",
    *_FIGURES,
    "interval",
    "per_genre",
)
_STUDY = re.compile(r'^After (.+?, ".+?")', re.MULTILINE | re.DOTALL)
_LEVEL_DB = 6.0  # as in the report of a test


def facts(
    checkpoint: Checkpoint, task: GenreClassifier, data: GenreDataModule, of_input: dict[str, Any]
) -> dict[str, Any]:
    """All facts in an exported file, as plain values.

    Args:
        checkpoint: the exported checkpoint.
        task: its classifier.
        data: its datamodule.
        of_input: facts about its input.

    Raises:
        CheckpointError: a report beside the checkpoint is of another checkpoint.
        RecordError: a report is damaged.
    """
    trained: dict[str, Any] = {
        "source": data.source_name,
        "split": data.split_name,
        "fold": data.fold,
        "split_seed": data.split_seed,
    }
    shared = data.split in ("track", "artist", "segment") and not data.fold
    trained["fractions"] = list(data.fractions) if shared else None
    return {
        "format_version": FORMAT_VERSION,
        "musicgen_cls_version": __version__,
        **of_input,
        "output": "probabilities: float32 [batch, labels], rows sum to 1",
        "labels": checkpoint.genres,
        "network": checkpoint.model["init_args"]["network"],
        "calibration": task.calibration.facts(),
        "pretrained": [*data.pretrained, *task.pretrained],
        "trained_on": trained,
        "leaks": bool(checkpoint.leaks) or data.split in LEAKY,
        "leak_warning": "; ".join(checkpoint.leaks) or LEAK_WARNING,
        "epoch": checkpoint.epoch,
        "checkpoint": checkpoint.path.name,
        "checkpoint_sha256": hashlib.sha256(checkpoint.path.read_bytes()).hexdigest(),
        "reports": reports_beside(checkpoint),
        "licence": LICENCE,
    }


def reports_beside(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The figures of every test with a report beside a checkpoint, ordered by the names of the folders."""
    path = checkpoint.path
    return [_report(file, checkpoint) for file in sorted(path.parent.glob(f"{escape(path.stem)}-test-*/report.json"))]


def as_strings(about: dict[str, Any]) -> dict[str, str]:
    """Facts as strings, since ONNX metadata has only strings; other values become JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in about.items()}


def card(about: dict[str, Any], name: str, file: Path, difference: float) -> str:
    """The model card, in Markdown.

    Args:
        about: the result of `facts`.
        name: name of the input.
        file: the exported file.
        difference: largest difference between a probability of the file and of the checkpoint.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("musicgen_cls", "data"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": _percent, "cell": lambda text: str(text).replace("|", "\\|")}
    environment.filters |= {"span": _span, "literal": json.dumps}
    network = about["network"]
    return environment.get_template("model_card.md").render(
        **about,
        about=about,
        name=name,
        file=file.name,
        quoted=shlex.quote(about["checkpoint"]),
        onnx=file.suffix == ".onnx",
        difference=difference,
        network_name=network["class_path"].rpartition(".")[2],
        arguments=", ".join(f"{key}={value}" for key, value in network["init_args"].items()),
        study=_study(network["class_path"]),
    )


def _report(file: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """The figures and warnings of one report."""
    remedy = f"delete it, or write it again with musiccli test {checkpoint.path}"
    report = read(file, FullReport, remedy)
    values = to_builtins(report)
    seen, offset = report.tracks_seen_in_training or 0, report.level_offset_db or 0.0
    if report.genres != checkpoint.genres:
        raise CheckpointError(f"{file}: has other genres than {checkpoint.path}; {remedy}")
    warnings = []
    if seen:
        warnings.append(
            f"the checkpoint was trained or selected on {counted(seen, 'track')} of this test; these figures leak"
        )
    elif report.can_leak:
        warnings += report.leaks or [LEAK_WARNING]
    if abs(offset) > _LEVEL_DB:
        louder = f"{abs(offset):.0f} dB {'louder' if offset > 0 else 'quieter'}"
        warnings.append(f"these windows were {louder} than the training windows, which can change the predictions")
    if file.stat().st_mtime < checkpoint.path.stat().st_mtime:
        warnings.append("this report is older than the checkpoint's file, and can be of earlier weights")
    kept = {name: values[name] for name in _REPORTED}
    return {**kept, "leaks": report.can_leak, "tracks_seen_in_training": seen, "warnings": warnings}


def _study(class_path: str) -> str | None:
    """The study that the docstring of a network names; None if it names none."""
    found = _STUDY.search(inspect.getdoc(resolve(class_path)) or "")
    return " ".join(found[1].split()) if found else None


def _span(text: str) -> str:
    """A name as Markdown code, so that its characters are no markup."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _percent(interval: dict[str, float] | None) -> str:
    return "-" if interval is None else str(Interval(**interval))
