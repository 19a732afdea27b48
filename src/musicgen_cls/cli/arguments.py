"""The arguments of fit, validate, test, predict and prepare: their parser, and the parts that are read before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NoReturn

import yaml
from jsonargparse import set_dumper
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser

from musicgen_cls.callbacks.resuming import LastingStop
from musicgen_cls.cli.help import class_help
from musicgen_cls.cli.messages import explain, spelled
from musicgen_cls.cli.registry import BY_OPTION, CLASSES
from musicgen_cls.errors import UsageError
from musicgen_cls.metrics.threshold import THRESHOLD
from musicgen_cls.plots import FigureFormat
from musicgen_cls.sources.base import Source
from musicgen_cls.specs import DOTTED, arguments_of, current_path, resolve

_OWN = {
    "config",
    "ckpt_path",
    "out",
    "soundfont",
    "threshold",
    "calibrate",
    "test_after_fit",
    "seed_everything",
}
CALLBACKS = {"checkpoint": ModelCheckpoint, "early_stopping": LastingStop}
"""The callbacks of this package, by the options that set them; `trainer.callbacks` stays the user's."""
_TAGGING = {"playlists", "write_tags", "restore_tags", "yes"}
_OWN_FLAGS = {
    *_TAGGING,
    "overwrite",
    "calibrate",
    "test_after_fit",
    "verify",
    "verbose",
    "weights_only",
    "return_predictions",
}
_BOOL = ("bool", "bool | None", bool, bool | None)


def _yaml(config: Any) -> str:
    """A config as jsonargparse writes it, but by libyaml where there is one, which takes a fifth of the time."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(config, Dumper=dumper, default_flow_style=False, allow_unicode=True, sort_keys=False))


set_dumper("yaml", _yaml)


class MusicParser(LightningArgumentParser):
    """Reports an error in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `UsageError` instead of printing the usage and leaving the process."""
        raise UsageError(explain(message, option_names(), CLASSES)) from ex

    def parse_args(self, args: Any = None, *others: Any, **options: Any) -> Any:
        """Parse a command line."""
        with spelled(args or ()):
            return super().parse_args(args, *others, **options)

    def dump(self, *config: Any, **options: Any) -> str:
        """A config as text, without the check of every value that parsing has made."""
        text: str = super().dump(*config, **options | {"skip_validation": True})
        return text

    def save(self, *config: Any, **options: Any) -> None:
        """Write a config to a file, without the check of every value that parsing has made."""
        super().save(*config, **options | {"skip_validation": True})


def _classes() -> tuple[type, ...]:
    return (*CLASSES.values(), Trainer, *CALLBACKS.values())


def option_names() -> set[str]:
    """All arguments of the trainer, of the classes and of the CLI: suggestions for a misspelt name."""
    return _OWN.union(_TAGGING, CALLBACKS, *(arguments_of(cls) for cls in _classes()))


@cache
def flag_names() -> frozenset[str]:
    """The boolean arguments; a name that is boolean in one class only is left out."""
    kinds: dict[str, set[bool]] = {}
    for cls in _classes():
        for name, parameter in arguments_of(cls).items():
            kinds.setdefault(name, set()).add(parameter.annotation in _BOOL)
    return frozenset(_OWN_FLAGS | {name for name, is_bool in kinds.items() if is_bool == {True}})


def _own_class(path: str, option: str) -> type:
    """A class that the command line names by its path."""
    try:
        found = resolve(path)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{option} {path}: no such class ({error})") from error
    if not isinstance(found, type):
        raise UsageError(f"{option} {path}: not a class; name one")
    return found


def asked_class(args: Sequence[str]) -> str | None:
    """The help for `--data.help CLASS` and similar options; None if the command line has no such option."""
    for arg, after in zip(args, (*args[1:], ""), strict=False):
        name, equals, value = arg.partition("=")
        place = name.removeprefix("--").removesuffix(".help")
        if name == f"--{place}.help" and place in BY_OPTION:
            known = {cls.__name__: cls for cls in BY_OPTION[place]}
            wanted = current_path(value if equals else after)
            if DOTTED.fullmatch(wanted):
                return class_help(_own_class(wanted, f"--{place}.help"), f"--{place}")
            if wanted in known:
                return class_help(known[wanted], f"--{place}")
            return f"--{place}.help CLASS explains one of: {', '.join(known)}\n"
    return None


def add_our_arguments(parser: LightningArgumentParser) -> None:
    """Add the options that are neither of the model, nor of the data or the trainer."""
    for name, callback in CALLBACKS.items():
        parser.add_lightning_class_args(callback, name)
    parser.set_defaults(
        {
            "checkpoint.filename": "best",
            "checkpoint.monitor": "val_loss",
            "checkpoint.enable_version_counter": False,
            "checkpoint.save_on_train_epoch_end": True,
            "early_stopping.monitor": "val_loss",
            "early_stopping.patience": 10,
        }
    )
    parser.add_argument("--out", type=str | None, help="Folder for the report of test or what predict writes.")
    parser.add_argument(
        "--threshold", type=float, default=THRESHOLD, help="A less probable genre is unsure; 0 turns it off."
    )
    parser.add_argument("--genres", type=str | list[str] | None, help="Only these, as rock,jazz; without a checkpoint.")
    parser.add_argument("--genre_tags", type=str | None, help="YAML: tags of your genres; without a checkpoint.")
    parser.add_argument("--overwrite", type=bool, default=False, help="Let predict overwrite generated audio.")
    parser.add_argument("--playlists", type=bool, default=False, help="Let predict write one M3U8 a genre.")
    parser.add_argument(
        "--write_tags",
        type=bool,
        default=False,
        help="Let predict write genre tags into the files, after a question.",
    )
    parser.add_argument("--soundfont", type=str | None, help="A file .sf2 whose instruments play predicted scores.")
    parser.add_argument("--restore_tags", type=bool, default=False, help="Undo write_tags; predict nothing.")
    parser.add_argument("--yes", type=bool, default=False, help="Write tags without a question.")
    parser.add_argument(
        "--beside",
        type=Source | None,
        default=None,
        help="Test these tracks too, as real music beside generated music.",
    )
    parser.add_argument(
        "--figure_format", type=FigureFormat, default="png", help="Format of figures in files: png, svg or pdf."
    )
    parser.add_argument("--figures_every_n_epochs", type=PositiveInt, default=5, help="For TensorBoard.")
    parser.add_argument("--calibrate", type=bool, default=True, help="Calibrate the best checkpoint after fit.")
    parser.add_argument("--test_after_fit", type=bool, default=True, help="Test the best checkpoint after fit.")
