"""The LightningCLI: which arguments there are, what they are linked to, and how mistakes in them are told."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from typing import Any

from jsonargparse.typing import PositiveInt
from lightning.fabric.plugins.io import CheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from musicgen_cls.callbacks.continuations import ContinuationWriter
from musicgen_cls.callbacks.figures import ContinuationFigures, TensorBoardFigures
from musicgen_cls.callbacks.predictions import PredictionWriter
from musicgen_cls.callbacks.progress import Progress
from musicgen_cls.callbacks.report import LossReport, TestReport, write_pair
from musicgen_cls.callbacks.resuming import LastingStop
from musicgen_cls.callbacks.seeding import SeedEachEpoch
from musicgen_cls.checkpoints import Checkpoint, WholeCheckpoints, read_checkpoint
from musicgen_cls.cli import configs
from musicgen_cls.cli.arguments import (
    MusicParser,
    asked_class,
    check_text,
    is_help,
    option,
    scored_checkpoint,
    take_files,
)
from musicgen_cls.cli.checks import check_agreement, check_changes, check_network, check_seed
from musicgen_cls.cli.finders import FOUND_BY, Found, FoundFigures, search
from musicgen_cls.cli.logs import LIGHTNING, quieten
from musicgen_cls.cli.runs import (
    LAST,
    check_folders,
    figures_first,
    hyper_parameters,
    last_checkpoint,
    resume_last,
    saved_last,
    settings_of,
)
from musicgen_cls.collection.collection import describe_problems, write_tables
from musicgen_cls.collection.store import distrust
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import CheckpointError, UsageError, counted, one_line
from musicgen_cls.memory import keep_memory
from musicgen_cls.plots import FigureFormat
from musicgen_cls.sources.base import Source
from musicgen_cls.specs import init_arguments, resolve
from musicgen_cls.tasks.generation import GenreGenerator

SCORED_WITH_CHECKPOINT = ("validate", "test", "predict")


class MusicTrainer(Trainer):
    """Lightning's trainer, with the commands that need no training."""

    def prepare(
        self,
        model: Any,
        datamodule: Any,
        ckpt_path: str | None = None,
        weights_only: bool = True,
        verify: bool = False,
    ) -> None:
        """Fetch, check and decode the collection, and say what is in it.

        Args:
            model: not used.
            datamodule: of the collection.
            ckpt_path: not used; there so that the config that a run left is taken.
            weights_only: not used; there for the same reason.
            verify: compare the samples of all decoded tracks with their hashes, and decode damaged tracks again.
        """
        collection = datamodule.open_collection()
        if verify and collection.folder is not None:
            distrust(collection.folder)
            collection = datamodule.open_collection()
            print(f"Verified:    the samples of {counted(len(collection.tracks), 'track')} have the right hashes")
        if collection.folder is None:
            print(f"{counted(collection.whole_tracks, 'track')}; nothing to decode: {datamodule.location}")
            print_grouped(datamodule, collection)
            if collection.problems:
                print(describe_problems(collection.problems))
            return
        tables = write_tables(collection)
        hours = float(collection.lengths.sum()) / collection.rate / 3600
        tracks = counted(collection.whole_tracks, "track")
        print(f"{tracks}, {hours:.2f} hours, at {collection.rate} Hz: {collection.folder}")
        print_grouped(datamodule, collection)
        if collection.problems:
            print(describe_problems(collection.problems))
        print(f"Tables:      {tables[0]}\n             {tables[1]}")


def print_grouped(datamodule: GenreDataModule, collection: Any) -> None:
    """Say which tracks are tied together, and why; of those that sound the same, each."""
    for line in datamodule.grouped(collection):
        print(f"{line[:1].upper()}{line[1:]}")
    for ids in collection.near:
        print(f"  same sound: {', '.join(ids)}")


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
    trust: Collection[str] = ()
    files: Sequence[str] = ()
    found: tuple[Found, ...] = ()

    def __init__(self, more_callbacks: Sequence[Callback] = (), **options: Any) -> None:
        self.more_callbacks = more_callbacks
        self.began = time.time()
        try:
            super().__init__(**options)
        except (KeyboardInterrupt, SystemExit) as leaving:
            if getattr(self, "subcommand", None) == "fit":
                leaving.add_note(self._how_to_resume())
            raise

    def _how_to_resume(self) -> str:
        """What a training that was stopped has left, and the command that takes it up."""
        last = saved_last(getattr(self, "trainer", None))
        of_before = last is not None and self.checkpoint is None and last.stat().st_mtime < self.began
        if last is None or of_before:
            return "nothing is saved yet, since no epoch has ended; the same command starts from the beginning"
        return f"the same command with --ckpt_path {last} resumes it"

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
        parser.add_argument(
            "--figure_format", type=FigureFormat, default="png", help="Of figures in files: png, svg or pdf."
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
        command = args[0]
        rest, self.files = take_files(args[1:])
        check_text(rest)
        rest, settings = configs.checked(rest)
        self.trust = trust = configs.named_modules(rest, settings)
        if command in SCORED_WITH_CHECKPOINT and not is_help(rest):
            self.checkpoint = read_checkpoint(scored_checkpoint(command, rest, settings), trust=trust)
            rest = ["--config", configs.dumped(settings_of(self.checkpoint)), *rest]
        elif not (settings or is_help(rest) or option(rest, "model") or option(rest, "data")):
            raise UsageError(
                f"{command} has no model and data: name a config, as --config configs/quickstart.yaml, or the classes, "
                "as --model GenreClassifier --data MelSlices"
            )
        self.config = parser.parse_args([command, *rest])
        config = self.config[command]
        check_seed(config.seed_everything)
        if self.checkpoint is not None:  # a run's own config.yaml has null for these
            config.ckpt_path = str(self.checkpoint.path)
            config.data.init_args.genres = self.checkpoint.genres
        elif command == "fit" and config.ckpt_path not in (None, LAST):
            self.checkpoint = read_checkpoint(config.ckpt_path, trust=trust)

    def _parse_ckpt_path(self) -> None:
        """Done in `parse_arguments`: Lightning's way lets the checkpoint override the command line in silence."""

    def before_instantiate_classes(self) -> None:
        """Settle what depends on the command: logger, resuming, what is to be found first, callbacks."""
        config = self.config[self.subcommand]
        if config.trainer.barebones:  # measures the bare loop: Lightning refuses everything beside it
            config.trainer.logger = config.trainer.enable_checkpointing = config.trainer.enable_progress_bar = False
        finders = take_finders(config.trainer)
        recipe = config.clone()
        if self.subcommand == "fit":
            check_folders(config)
            if config.ckpt_path == LAST:
                recipe.ckpt_path = None
                self.checkpoint = resume_last(config, self.trust)
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
        loud = [logging.getLogger(name) for name in ("musicgen_cls", *LIGHTNING)]
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
        return [*_progress(config.trainer), *self._writers(config, recipe)]

    def _writers(self, config: Any, recipe: Any) -> list[Any]:
        generates = issubclass(resolve(config.model.class_path), GenreGenerator)
        if self.subcommand == "predict":
            if generates:
                return [
                    ContinuationWriter(
                        config.out or "generated", config.overwrite, self.checkpoint, config.figure_format
                    )
                ]
            return [PredictionWriter(config.out or "predictions")]
        callbacks: list[Any] = [LossReport(config.out) if generates else TestReport(config.out, config.figure_format)]
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
        try:
            return super()._instantiate_trainer({**config, "plugins": plugins}, callbacks)
        except (ValueError, TypeError) as error:  # options that do not go together
            raise UsageError(f"{one_line(error)}; check the --trainer options") from error

    def after_instantiate_classes(self) -> None:
        """Say what was resolved; refuse a checkpoint of other genres, and pictures too small for the network."""
        if self.files:  # past the parser, for which a name of a file need not be text
            self.datamodule.files = self.files
        if self.checkpoint is not None:
            datamodule = self.datamodule
            if isinstance(datamodule, GenreDataModule) and datamodule.genres != self.checkpoint.genres:
                raise CheckpointError(
                    f"{self.checkpoint.path}: trained on the genres {', '.join(self.checkpoint.genres)}, the data has "
                    f"{', '.join(datamodule.genres)}; leave out --ckpt_path to train afresh"
                )
            network = self.checkpoint.model["init_args"]["network"]["class_path"].rpartition(".")[2]
            rank_zero_only(print)(
                f"Checkpoint:  {self.checkpoint.path} ({network}, "
                f"{counted(len(self.checkpoint.genres), 'genre')}, {self.checkpoint.training})"
            )
        if self.subcommand != "prepare":
            check_network(self.model, self.datamodule)
        if self.subcommand == "fit":
            check_changes(self.datamodule)
            network = getattr(self.model, "network", self.model)
            count = sum(parameter.numel() for parameter in network.parameters())
            rank_zero_only(print)(f"Network:     {type(network).__name__}, {count:,} parameters")

    def before_fit(self) -> None:
        """Prepare before the run has a folder and other processes are started, so that a mistake leaves nothing."""
        ours = isinstance(self.datamodule, GenreDataModule)
        rank_zero_only(self.datamodule.prepare_fit if ours else self.datamodule.prepare_data)()

    def before_test(self) -> None:
        """Prepare before other processes are started, so that a mistake is told once, by this one."""
        rank_zero_only(self.datamodule.prepare_data)()

    before_validate = before_test

    def before_predict(self) -> None:
        """Find the files before other processes are started; what a stopped run has answered is not read again."""
        rank_zero_only(self.datamodule.prepare_predict)()
        for writer in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(writer, PredictionWriter) and self.checkpoint is not None:
                writer.resume(self.datamodule, self.checkpoint.path)

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
            write_pair(folder / f"beside.{report.figure_format}", pair, datamodule.genres)

    def after_fit(self) -> None:
        """Test the best checkpoint and say where things are."""
        trainer, logger = self.trainer, self.trainer.logger
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if not best and (last := saved_last(trainer)) is not None:
            rank_zero_only(print)(
                "No validation ran (see --trainer.limit_val_batches, max_steps, check_val_every_n_epoch): there is no "
                "best checkpoint, and the last one takes its place"
            )
            best = str(last)
        if not best:
            if not (trainer.global_step or self.config["fit"].trainer.fast_dev_run):
                rank_zero_only(print)(
                    "Nothing was trained (see --trainer.max_epochs, max_steps and limit_train_batches)"
                )
            return
        if self.config["fit"].test_after_fit:
            trainer.test(self.model, datamodule=self.datamodule, ckpt_path=best, weights_only=True, verbose=False)
        if not trainer.is_global_zero:
            return
        print(f"Checkpoint:  {best}")
        if isinstance(logger, TensorBoardLogger):
            figures = {name: float(value) for name, value in trainer.callback_metrics.items() if "_step" not in name}
            logger.log_hyperparams(hyper_parameters(self.model, self.datamodule), figures_first(figures))
            logger.save()
            print(f"TensorBoard: tensorboard --logdir {logger.save_dir}")


def _progress(trainer: Any) -> list[Any]:
    """Our progress bar, where the user wants one and names none."""
    callbacks = trainer.callbacks or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    named = any(issubclass(resolve(described.class_path), ProgressBar) for described in callbacks)
    return [] if named or trainer.enable_progress_bar is False or trainer.barebones else [Progress()]


def take_finders(trainer: Any) -> list[Any]:
    """Take Lightning's finders out of a trainer's config: they are not for the run, but for what comes before it."""
    callbacks = trainer.callbacks or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    finders = [described for described in callbacks if issubclass(resolve(described.class_path), tuple(FOUND_BY))]
    if finders:
        trainer.callbacks = [described for described in callbacks if described not in finders] or None
    return finders


def start(args: Sequence[str], cli: type[MusicCLI] = MusicCLI, more_callbacks: Sequence[Callback] = ()) -> MusicCLI:
    """Run a command of the trainer's, with callbacks beside its own; raises what goes wrong."""
    keep_memory()
    quieten()
    args = ["--help" if arg == "--help-all" else arg for arg in args]
    if (text := asked_class(args)) is not None:
        print(text, end="")
        raise SystemExit(0)
    return cli(
        more_callbacks,
        trainer_class=MusicTrainer,
        trainer_defaults={
            "logger": {
                "class_path": "TensorBoardLogger",
                "init_args": {"save_dir": "lightning_logs", "default_hp_metric": False},
            },
            "enable_model_summary": False,  # one line of ours says how large the network is
        },
        seed_everything_default=0,
        save_config_callback=None,
        parser_class=MusicParser,
        auto_configure_optimizers=False,
        args=list(args),
    )
