"""`musiccli export`: write a trained classifier as one file that runs without this package, with a model card."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.commands.export.card import as_strings, card, facts
from musicgen_cls.commands.export.module import Exported
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import CheckpointError, MusicClsError, UsageError, one_line
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.recogniser import load_classifier
from musicgen_cls.specs import resolve
from musicgen_cls.tasks.classification import GenreClassifier

Format = Literal["onnx", "torch_export"]
Runner = Callable[[Tensor], Tensor]

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch_export": ".pt2"}
TOLERANCE = 1e-4
"""The largest allowed difference of a probability from the checkpoint's."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export(checkpoint: str, format: Format = "onnx", out: str | None = None, overwrite: bool = False) -> Path:
    """Write a classifier as one file, from waveforms to probabilities, and a model card beside it.

    The command runs the file and compares it with the checkpoint before the file gets its name.

    Args:
        checkpoint: a .ckpt file that fit wrote.
        format: `onnx`, for onnxruntime; or `torch_export`, for torch.
        out: the file, .onnx or .pt2; the card has the same name with .md appended. Beside the checkpoint if not set.
        overwrite: replace an existing file and its card.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or of a generator, or the file differs from it.
        UsageError: the file exists or cannot be written, or a package is missing.
    """
    trained = read_checkpoint(checkpoint, "CHECKPOINT")
    path = trained.path
    if not issubclass(resolve(trained.model["class_path"]), GenreClassifier):
        raise CheckpointError(
            f"{path}: a generator; generators cannot be exported, since they generate audio in a loop around the "
            "network; use musiccli predict"
        )
    place = as_path(out, "--out") if out else path.with_suffix(SUFFIXES[format])
    check_place(place, format, overwrite)
    if format == "onnx" and (missing := [name for name in _PACKAGES if find_spec(name) is None]):
        raise UsageError(f"--format onnx: needs {', '.join(missing)}; run python -m pip install 'musicgen_cls[export]'")
    task, data = load_classifier(trained, torch.device("cpu"))
    whole = Exported(data, task).eval()
    items = whole.input.trials()
    want = wanted(task, data, items, path)
    about = facts(trained, task, data, whole.input.facts)
    with writing(place) as temporary:
        with _quiet(), _one_recurrent_step(), _errors_of(path, type(task.network).__name__):
            _WRITERS[format](whole, whole.input.from_items(items[:2]), about, temporary)
            run = _RUNNERS[format](temporary)
        difference = check_equal(run, whole.input.from_items(items), want, path)
        with writing(card_of(place)) as card_file:
            card_file.write_text(card(about, whole.input.name, place, difference), encoding="utf-8")
    print(f"Exported:    {place} ({place.stat().st_size / 1e6:.1f} MB)")
    print(f"Checked:     the probabilities differ from the checkpoint's by at most {difference:.1e}")
    print(f"Card:        {card_of(place)}")
    return place


def card_of(place: Path) -> Path:
    """The path of the card of a file; files of both formats have their own cards."""
    return place.with_name(f"{place.name}.md")


def check_place(place: Path, format: Format, overwrite: bool) -> None:
    """Raise `UsageError` if a file of this format and its card cannot be written there."""
    if place.suffix != SUFFIXES[format]:
        raise UsageError(
            f"--out {place}: --format {format} writes {SUFFIXES[format]} files; change the suffix, or --format"
        )
    for there in (place, card_of(place)):
        if there.is_dir():
            raise UsageError(f"{there}: a folder; name another file with --out")
        if there.exists() and not overwrite:
            raise UsageError(f"{there}: exists; name another file with --out, or set --overwrite true")
    check_writable(place.parent, "--out FILE")


def wanted(task: GenreClassifier, data: GenreDataModule, items: Tensor, path: Path) -> Tensor:
    """The checkpoint's probabilities `[windows, genres]`.

    Raises:
        CheckpointError: they are not finite.
    """
    with torch.inference_mode():
        want = task.probabilities(data.network_input(items))
    if not want.isfinite().all():
        raise CheckpointError(
            f"{path}: the probabilities are not finite, since training diverged; use another checkpoint"
        )
    return want


def check_equal(run: Runner, given: Tensor, want: Tensor, path: Path) -> float:
    """The largest difference of a probability from the checkpoint's, for windows in one batch and one by one.

    Args:
        run: the file.
        given: its input, `[windows, ...]`.
        want: the checkpoint's probabilities, `[windows, genres]`.
        path: the checkpoint.

    Raises:
        CheckpointError: the difference exceeds `TOLERANCE`.
    """
    with torch.inference_mode():
        alone = torch.cat([run(row[None]) for row in given])
        difference = float(torch.stack([run(given) - want, alone - want]).abs().max())
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"{path}: not exported: a probability differs from the checkpoint's by {difference:.1e}, but {TOLERANCE:g} "
            "is the limit; try the other --format"
        )
    return difference


def _write_onnx(whole: Exported, example: Tensor, about: dict[str, Any], path: Path) -> None:
    import onnx

    whole.without_fast_transform()
    program = torch.onnx.export(
        _traced(whole, example),
        (example,),
        input_names=[whole.input.name],
        output_names=["probabilities"],
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    _strip(model)
    onnx.helper.set_model_props(model, as_strings(about))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _strip(model: Any) -> None:
    """Name the batch axis, and remove paths of this machine."""
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param == batch:
                axis.dim_param = "batch"


def _run_onnx(path: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def _write_torch(whole: Exported, example: Tensor, about: dict[str, Any], path: Path) -> None:
    torch.export.save(_traced(whole, example), path, extra_files={"metadata.json": json.dumps(about, indent=2)})


def _run_torch(path: Path) -> Runner:
    module = torch.export.load(path).module()
    return lambda x: module(x)


def _traced(whole: Exported, example: Tensor) -> torch.export.ExportedProgram:
    """The module as a graph for any number of windows."""
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        program = torch.export.export(whole, (example.contiguous(),), dynamic_shapes=({0: batch},))
    program.example_inputs = None  # else they are saved in the file
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


_WRITERS: dict[Format, Callable[[Exported, Tensor, dict[str, Any], Path], None]] = {
    "onnx": _write_onnx,
    "torch_export": _write_torch,
}
_RUNNERS: dict[Format, Callable[[Path], Runner]] = {"onnx": _run_onnx, "torch_export": _run_torch}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log messages and warnings of the exporters."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _one_recurrent_step() -> Iterator[None]:
    """Trace only one step of recurrent layers: tracing needs their shapes only, and 173 steps take minutes.

    The graph has the complete layers. If a new version of torch changes that, `check_equal` refuses the file.
    """
    from torch._decomp import decompositions

    steps = {name: getattr(decompositions, name) for name in ("one_layer_rnn", "one_layer_lstm")}

    def one_step(name: str) -> Callable[..., Any]:
        def layer(x: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Any]:
            states, last = steps[name](x[:1], *args, **options)
            return states.expand(x.shape[0], -1, -1), last

        return layer

    try:
        for name in steps:
            setattr(decompositions, name, one_step(name))
        yield
    finally:
        for name, whole in steps.items():
            setattr(decompositions, name, whole)


@contextmanager
def _errors_of(path: Path, network: str) -> Iterator[None]:
    """Report errors of an exporter, which can be of any kind, in one line."""
    try:
        yield
    except (MusicClsError, OSError):
        raise
    except Exception as error:
        reason = one_line(error)[:200]
        raise CheckpointError(
            f"{path}: {network} cannot be exported ({type(error).__name__}: {reason}); try the other --format"
        ) from error
