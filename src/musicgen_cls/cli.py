"""The LightningCLI: which arguments there are, what they are linked to, and how mistakes in them are told."""

from __future__ import annotations

import inspect
import json
import logging
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import _typehints
from jsonargparse.typing import PositiveInt
from lightning.fabric.plugins.io import CheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from musicgen_cls.audio.augment import AddNoise, NoiseAndPitch, ShiftPitch
from musicgen_cls.callbacks.continuations import ContinuationWriter
from musicgen_cls.callbacks.figures import ContinuationFigures, TensorBoardFigures
from musicgen_cls.callbacks.finders import FOUND_BY, Found, FoundFigures, search
from musicgen_cls.callbacks.report import LossReport, TestReport, write_pair
from musicgen_cls.callbacks.seeding import SeedEachEpoch
from musicgen_cls.callbacks.stopping import LastingStop
from musicgen_cls.callbacks.writers import PredictionWriter
from musicgen_cls.checkpoints import Checkpoint, WholeCheckpoints, read_checkpoint
from musicgen_cls.checks import check_agreement, check_changes, check_network, check_seed
from musicgen_cls.collection import describe_problems, write_tables
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.features import FeatureTable
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.spectrograms import Spectrograms
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.errors import CheckpointError, UsageError
from musicgen_cls.mistakes import explain, readable_configs
from musicgen_cls.models.cnn import CNN
from musicgen_cls.models.cnn5 import CNN5
from musicgen_cls.models.conv_lstm import ConvLSTM
from musicgen_cls.models.feature_lstm import FeatureLSTM
from musicgen_cls.models.feature_mlp import FeatureMLP
from musicgen_cls.models.mel_flow import MelFlow
from musicgen_cls.models.recurrent import Recurrent
from musicgen_cls.models.sample_rnn import SampleRNN
from musicgen_cls.models.temporal_pooling import TemporalPooling
from musicgen_cls.models.vgg import VGG
from musicgen_cls.models.waveform_rnn import WaveformRNN
from musicgen_cls.plain import class_path, init_arguments, resolve
from musicgen_cls.sources.known import SOURCES
from musicgen_cls.sources.track import Source
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator

log = logging.getLogger("musicgen_cls")

TASKS = (GenreClassifier, GenreGenerator)
DATAMODULES = (MelSlices, Spectrograms, FeatureTable, WaveformWindows)
NETWORKS = (
    VGG,
    CNN5,
    CNN,
    Recurrent,
    ConvLSTM,
    TemporalPooling,
    FeatureMLP,
    FeatureLSTM,
    WaveformRNN,
    SampleRNN,
    MelFlow,
)

AUGMENTATIONS = (AddNoise, ShiftPitch, NoiseAndPitch)

CLASSES = {cls.__name__: cls for cls in (*TASKS, *DATAMODULES, *SOURCES, *NETWORKS, *AUGMENTATIONS)}
"""What configs may name without a path."""

_class_path_by_name = _typehints.resolve_class_path_by_name


def _ours_first(cls: Any, name: str) -> str:
    """The path of a class by its short name: ours, whatever others of that name have been imported by then."""
    ours = CLASSES.get(name)
    fits = ours is not None and isinstance(cls, type) and issubclass(ours, cls)
    return class_path(CLASSES[name]) if fits else _class_path_by_name(cls, name)


# jsonargparse has no setting for this: it refuses a short name that classes of several packages have.
_typehints.resolve_class_path_by_name = _ours_first

SCORED_WITH_CHECKPOINT = ("validate", "test", "predict")

_LIGHTNING = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")


class MusicParser(LightningArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `UsageError` instead of printing the usage and leaving the process."""
        raise UsageError(explain(message, option_names(), CLASSES)) from ex


class MusicTrainer(Trainer):
    """Lightning's trainer, with the commands that need no training."""

    def prepare(self, model: Any, datamodule: Any, ckpt_path: str | None = None, weights_only: bool = True) -> None:
        """Fetch, check and decode the collection, and say what is in it.

        The last two arguments are there so that the config that a run left is taken; they are not used.
        """
        collection = datamodule.open_collection()
        if collection.folder is None:
            print(f"{len(collection.tracks)} tracks; nothing to decode: {datamodule.location}")
            if collection.problems:
                print(describe_problems(collection.problems))
            return
        tables = write_tables(collection)
        hours = float(collection.lengths.sum()) / collection.rate / 3600
        print(f"{len(collection.tracks)} tracks, {hours:.2f} hours, at {collection.rate} Hz: {collection.folder}")
        if collection.problems:
            print(describe_problems(collection.problems))
        print(f"Tables:      {tables[0]}\n             {tables[1]}")


class ConfigCallback(SaveConfigCallback):
    """Saves the resolved config of a run, and shows it as a text in TensorBoard."""

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Log the text."""
        if isinstance(trainer.logger, TensorBoardLogger):
            text = self.parser.dump(self.config, skip_none=False)
            trainer.logger.experiment.add_text("config", f"```yaml\n{text}\n```")


class MusicCLI(LightningCLI):
    """Arguments, links and what happens around Lightning's commands."""

    checkpoint: Checkpoint | None = None
    found: tuple[Found, ...] = ()

    def __init__(self, more_callbacks: Sequence[Callback] = (), **options: Any) -> None:
        self.more_callbacks = more_callbacks
        super().__init__(**options)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's commands and ours."""
        return {**LightningCLI.subcommands(), "prepare": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Callbacks with a name of their own, so that `trainer.callbacks` stays the user's."""
        for name in ("num_classes", "sample_rate", "target_samples"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(LastingStop, "early_stopping")
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
        parser.add_argument("--overwrite", type=bool, default=False, help="Let predict write over generated audio.")
        parser.add_argument(
            "--beside",
            type=Source | None,
            default=None,
            help="Test these tracks too, as real ones beside generated ones.",
        )
        parser.add_argument("--figures_every_n_epochs", type=PositiveInt, default=5, help="For TensorBoard.")
        parser.add_argument("--test_after_fit", type=bool, default=True, help="Test the best checkpoint after fit.")

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        ours = {"return_predictions": False, "weights_only": True, "verbose": subcommand == "validate"}
        added = self._subcommand_method_arguments[subcommand]
        parser.set_defaults({name: value for name, value in ours.items() if name in added})
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; a checkpoint's own settings come first, what the user says after them."""
        command, rest = args[0], gather_files(args[1:])
        if command in SCORED_WITH_CHECKPOINT and not is_help(rest):
            self.checkpoint = read_checkpoint(self._scored_checkpoint(parser, command, rest))
            rest = ["--config", json.dumps(settings_of(self.checkpoint)), *rest]
        self.config = self._parse(parser, command, rest)
        config = self.config[command]
        check_seed(config.seed_everything)
        if self.checkpoint is not None:  # a run's own config.yaml has null for these
            config.ckpt_path = str(self.checkpoint.path)
            config.data.init_args.genres = self.checkpoint.genres
        elif command == "fit" and config.ckpt_path not in (None, "last"):
            self.checkpoint = read_checkpoint(config.ckpt_path)

    def _scored_checkpoint(self, parser: LightningArgumentParser, command: str, rest: list[str]) -> str:
        """The checkpoint named on the command line, else in a config."""
        path = option(rest, "ckpt_path")
        if path is None and (option(rest, "config") or option(rest, "c")):
            path = self._parse(parser, command, rest)[command].ckpt_path
        if path is None:
            raise UsageError(
                f"{command} needs --ckpt_path FILE, a checkpoint; without one it would score random weights"
            )
        return path

    @staticmethod
    def _parse(parser: LightningArgumentParser, command: str, rest: list[str]) -> Any:
        with readable_configs(rest):
            return parser.parse_args([command, *rest])

    def _parse_ckpt_path(self) -> None:
        """Done in `parse_arguments`: Lightning's way lets the checkpoint override the command line in silence."""

    def before_instantiate_classes(self) -> None:
        """Settle what depends on the command: logger, resuming, what is to be found first, callbacks."""
        config = self.config[self.subcommand]
        finders = take_finders(config.trainer)
        recipe = config.clone()
        if self.subcommand == "fit":
            if config.ckpt_path == "last":
                recipe.ckpt_path = None
                resume_last(config)
                self.checkpoint = read_checkpoint(config.ckpt_path)
        else:
            config.trainer.logger = False
            config.trainer.enable_checkpointing = bool(config.trainer.callbacks)
        if self.checkpoint is not None:
            check_agreement(self.checkpoint, config)
        if self.subcommand == "fit" and not config.trainer.fast_dev_run:
            self._find(finders, config, recipe)
        self.trainer_defaults["callbacks"] = self._callbacks(config, recipe)

    def _find(self, finders: list[Any], config: Any, recipe: Any) -> None:
        """Settle what finders find, before anything is made: the run is as if its config had said it.

        A run that goes on takes what was found for it.
        """
        for finder in finders:
            part, name = next(where for cls, where in FOUND_BY.items() if issubclass(resolve(finder.class_path), cls))
            if self.checkpoint is not None:
                value = getattr(self.checkpoint, part)["init_args"][name]
            else:
                found = self._search(finder)
                self.found += (found,)
                value = found.value
                rank_zero_only(print)(found.line)
            for settled in (config, recipe):
                settled[part].init_args[name] = value
        if self.found:
            self._set_seed()

    def _search(self, finder: Any) -> Found:
        """Let one finder search, on a model and data of its own."""
        trial = self.config.clone()
        trainer = trial[self.subcommand].trainer
        trainer.callbacks, trainer.logger = [finder], False
        loud = [logging.getLogger(name) for name in ("musicgen_cls", *_LIGHTNING)]
        levels = [logger.level for logger in loud]
        for logger in loud:  # the run itself says it all again
            logger.setLevel(logging.ERROR)
        try:
            made = self.parser.instantiate_classes(trial)[self.subcommand]
            check_network(made.model, made.data)
            return search(made.trainer.callbacks[0], made.model, made.data, made.trainer.as_dict())
        finally:
            for logger, level in zip(loud, levels, strict=True):
                logger.setLevel(level)
            vars(self).pop("config_dump", None)  # the arguments as they were before

    def _callbacks(self, config: Any, recipe: Any) -> list[Any]:
        generates = issubclass(resolve(config.model.class_path), GenreGenerator)
        if self.subcommand == "predict":
            if generates:
                return [ContinuationWriter(config.out or "generated", config.overwrite)]
            return [PredictionWriter(config.out or "predictions")]
        callbacks: list[Any] = [LossReport(config.out) if generates else TestReport(config.out)]
        if self.subcommand == "fit":
            callbacks += [SeedEachEpoch(), *self.more_callbacks]
            if config.trainer.enable_checkpointing is not False:
                callbacks += [last_checkpoint(config.checkpoint.dirpath)]
            if config.trainer.logger is not False and not config.trainer.fast_dev_run:
                figures = ContinuationFigures if generates else TensorBoardFigures
                saved = ConfigCallback(self._parser("fit"), recipe, overwrite=True)
                callbacks += [saved, figures(config.figures_every_n_epochs), LearningRateMonitor()]
                callbacks += [FoundFigures(self.found)] if self.found else []
        return callbacks

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> Trainer:
        """Stopping and saving are for training: elsewhere these callbacks only warn."""
        if self.subcommand != "fit":
            callbacks = []
        elif config["enable_checkpointing"] is False:
            callbacks = [callback for callback in callbacks if not isinstance(callback, ModelCheckpoint)]
        plugins = config["plugins"] or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, WholeCheckpoints()]
        return super()._instantiate_trainer({**config, "plugins": plugins}, callbacks)

    def after_instantiate_classes(self) -> None:
        """Say what was resolved; refuse a checkpoint of other genres, and pictures too small for the network."""
        if self.checkpoint is not None:
            datamodule = self.datamodule
            if isinstance(datamodule, GenreDataModule) and datamodule.genres != self.checkpoint.genres:
                raise CheckpointError(
                    f"{self.checkpoint.path}: trained on the genres {', '.join(self.checkpoint.genres)}, the data has "
                    f"{', '.join(datamodule.genres)}; leave out --ckpt_path to train afresh"
                )
            network = self.checkpoint.model["init_args"]["network"]["class_path"].rpartition(".")[2]
            rank_zero_only(print)(
                f"Checkpoint:  {self.checkpoint.path} ({network}, {len(self.checkpoint.genres)} genres, "
                f"epoch {self.checkpoint.epoch})"
            )
        if self.subcommand != "prepare":
            check_network(self.model, self.datamodule)
        if self.subcommand == "fit":
            check_changes(self.datamodule)

    def before_fit(self) -> None:
        """Prepare before the run has a folder and other processes are started, so that a mistake leaves nothing."""
        ours = isinstance(self.datamodule, GenreDataModule)
        rank_zero_only(self.datamodule.prepare_fit if ours else self.datamodule.prepare_data)()

    def before_test(self) -> None:
        """Prepare before other processes are started, so that a mistake is told once, by this one."""
        rank_zero_only(self.datamodule.prepare_data)()

    before_validate = before_test

    def before_predict(self) -> None:
        """Find the files before other processes are started."""
        rank_zero_only(self.datamodule.prepare_predict)()

    def after_test(self) -> None:
        """Test what is to stand beside it, in the same way, and draw both."""
        source = self._get(self.config_init, "beside")
        if source is None:
            return
        trainer, first = self.trainer, self.model.results["test"]
        report = next(c for c in trainer.callbacks if isinstance(c, TestReport))  # type: ignore[attr-defined]
        folder = report.folder
        arguments = {
            name: value for name, value in init_arguments(self.datamodule).items() if name not in ("augment", "mask")
        }
        datamodule = type(self.datamodule)(**{**arguments, "source": source})
        report.out = str(folder / "beside")
        trainer.test(self.model, datamodule=datamodule, ckpt_path=trainer.ckpt_path, weights_only=True, verbose=False)
        if trainer.is_global_zero:
            names = [str(part.source.location) for part in (self.datamodule, datamodule)]
            pair = list(zip(names, (first, self.model.results["test"]), strict=True))
            write_pair(folder / "beside.png", pair, datamodule.genres)

    def after_fit(self) -> None:
        """Test the best checkpoint and say where things are."""
        trainer, logger = self.trainer, self.trainer.logger
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if not best:  # as in --trainer.fast_dev_run
            return
        if self.config["fit"].test_after_fit:
            trainer.test(self.model, datamodule=self.datamodule, ckpt_path=best, weights_only=True, verbose=False)
        if not trainer.is_global_zero:
            return
        print(f"Checkpoint:  {best}")
        if isinstance(logger, TensorBoardLogger):
            figures = {name: float(value) for name, value in trainer.callback_metrics.items() if "_step" not in name}
            logger.log_hyperparams(hyper_parameters(self.model, self.datamodule), figures)
            logger.save()
            print(f"TensorBoard: tensorboard --logdir {logger.save_dir}")


def take_finders(trainer: Any) -> list[Any]:
    """Take Lightning's finders out of a trainer's config: they are not for the run, but for what comes before it."""
    callbacks = trainer.callbacks or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    finders = [described for described in callbacks if issubclass(resolve(described.class_path), tuple(FOUND_BY))]
    if finders:
        trainer.callbacks = [described for described in callbacks if described not in finders] or None
    return finders


def hyper_parameters(model: Any, datamodule: Any) -> dict[str, Any]:
    """The arguments of model and data as one flat table, for TensorBoard."""
    return {
        f"{part}.{name}": value
        for part, module in (("model", model), ("data", datamodule))
        for name, value in module.hparams.items()
        if not name.startswith("_")
    }


def option(args: Sequence[str], name: str) -> str | None:
    """The value that a command line gives to `--name`; the last if there are several."""
    found = None
    for i, arg in enumerate(args):
        if arg == f"--{name}" and i + 1 < len(args):
            found = args[i + 1]
        elif arg.startswith(f"--{name}="):
            found = arg.partition("=")[2]
    return found


def option_names() -> set[str]:
    """Every argument of trainer and classes, and ours, to find the one that a misspelt name stands for."""
    own = {"config", "ckpt_path", "out", "test_after_fit", "seed_everything", "checkpoint", "early_stopping"}
    classes = (*CLASSES.values(), Trainer, ModelCheckpoint, LastingStop)
    return own.union(*(inspect.signature(cls.__init__).parameters for cls in classes)) - {"self"}


def is_help(args: Sequence[str]) -> bool:
    """Whether a command line asks for help or for the config instead of a run."""
    names = [arg.partition("=")[0] for arg in args]
    return any(name in ("-h", "--help", "--print_config") or name.endswith(".help") for name in names)


def gather_files(args: Sequence[str]) -> list[str]:
    """Every `--data.files a b c`, as shells write patterns out, becomes one list at the end."""
    others: list[str] = []
    files: list[str] = []
    listing = False
    for arg in args:
        if arg == "--data.files" or arg.startswith("--data.files="):
            listing = True
            files += _listed(arg.partition("=")[2])
        elif arg.startswith("-"):
            listing = False
            others.append(arg)
        elif listing:
            files += _listed(arg)
        else:
            others.append(arg)
    return [*others, "--data.files", json.dumps(files)] if files else others


def _listed(text: str) -> list[str]:
    """A name, or the names in a list written as YAML."""
    return [str(name) for name in yaml.safe_load(text)] if text.startswith("[") else [text] if text else []


def settings_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The config that rebuilds a checkpoint's model and data; what is linked between them is left out."""
    model, data = checkpoint.model, checkpoint.data
    arguments = {name: value for name, value in model["init_args"].items() if name != "num_classes"}
    return {"model": {**model, "init_args": arguments}, "data": data}


def last_checkpoint(dirpath: str | None) -> ModelCheckpoint:
    """Writes last.ckpt every epoch; `ModelCheckpoint(save_last=True)` does so only when the best one changes."""
    return ModelCheckpoint(dirpath, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)


def resume_last(config: Any) -> None:
    """Point `ckpt_path` and the logger's version at the newest run of this name that has gone through an epoch.

    Where a version is set it is that one.
    """
    arguments = config.trainer.logger.init_args if hasattr(config.trainer.logger, "init_args") else None
    if arguments is None or "save_dir" not in arguments:
        raise UsageError("--ckpt_path last needs a logger with folders; give the checkpoint's path instead")
    runs = Path(arguments.save_dir) / (arguments.name or "")
    numbers = [int(match[1]) for path in runs.glob("version_*") if (match := re.fullmatch(r"version_(\d+)", path.name))]
    begun = [number for number in numbers if (runs / f"version_{number}" / "checkpoints" / "last.ckpt").is_file()]
    version = arguments.version if arguments.version is not None else max(begun or numbers, default=0)
    run = runs / (f"version_{version}" if isinstance(version, int) else version)
    last = Path(config.checkpoint.dirpath or run / "checkpoints") / "last.ckpt"
    if not last.is_file():
        others = sorted(str(path) for path in runs.glob("*/checkpoints/last.ckpt"))
        hint = f", or resume another run: --ckpt_path {others[-1]}" if others else ""
        raise CheckpointError(f"{last}: no run to resume there; leave out --ckpt_path to start afresh{hint}")
    config.ckpt_path = str(last)
    arguments.version = version


def start(args: Sequence[str], cli: type[MusicCLI] = MusicCLI, more_callbacks: Sequence[Callback] = ()) -> MusicCLI:
    """Run a command of the trainer's, with callbacks beside its own; raises what goes wrong."""
    quieten()
    return cli(
        more_callbacks,
        trainer_class=MusicTrainer,
        trainer_defaults={
            "logger": {
                "class_path": "TensorBoardLogger",
                "init_args": {"save_dir": "lightning_logs", "default_hp_metric": False},
            },
        },
        seed_everything_default=0,
        save_config_callback=None,
        parser_class=MusicParser,
        auto_configure_optimizers=False,
        args=list(args),
    )


def quieten() -> None:
    """Silence what users can do nothing about; see to it that our own notes are seen."""
    for message in (
        ".*does not have many workers.*",  # slices of a memory map need none
        ".*Using `DistributedSampler` with the dataloaders.*",  # windows that it repeats are counted once
        ".*The number of training batches.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*predict returned None.*",  # for files that cannot be read
        ".*callbacks used to create the checkpoint need.*",  # to test, nothing need be stopped or saved
        ".*treespec, LeafSpec.*",  # Lightning's own business with torch
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_tips)
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
    for name in ("musicgen_cls", "lightning", "lightning.pytorch", "lightning.fabric"):
        for handler in logging.getLogger(name).handlers:
            if type(handler) is logging.StreamHandler:  # not one that writes to a file
                handler.stream = sys.stderr  # the one of today, where one process runs several commands


def _no_tips(record: logging.LogRecord) -> bool:
    return "Tip:" not in record.getMessage()
