"""The LightningCLI of fit, validate, test, predict and prepare: its arguments, links and hooks."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.plugins.io import CheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from musicgen_cls import untrained
from musicgen_cls.callbacks.predictions import PredictionWriter
from musicgen_cls.callbacks.saving import WholeCheckpoints
from musicgen_cls.checkpoints import Checkpoint, read_checkpoint
from musicgen_cls.cli import checks, configs, ready
from musicgen_cls.cli.after import close_fit, test_beside
from musicgen_cls.cli.arguments import MusicParser, add_our_arguments, asked_class, flag_names
from musicgen_cls.cli.attached import prediction_writer, progress_bar, test_report, training_callbacks
from musicgen_cls.cli.chosen import checkpoint_of, made_checkpoint
from musicgen_cls.cli.command_line import check_text, is_help, option, split, take_files
from musicgen_cls.cli.finders import Found, settings_found, take_finders
from musicgen_cls.cli.logs import configure_logs
from musicgen_cls.cli.messages import NOT_WRITABLE
from musicgen_cls.cli.patches import patched
from musicgen_cls.cli.precision import is_mixed
from musicgen_cls.cli.processes import in_first_process
from musicgen_cls.cli.runs import LAST, how_to_resume, prepare_folders, resume_last, settings_of
from musicgen_cls.cli.tags import check_options, use_predictions
from musicgen_cls.cli.trainer import MusicTrainer
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.stream import named_files
from musicgen_cls.errors import UsageError, check_seed, one_line
from musicgen_cls.files import as_path
from musicgen_cls.memory import keep_memory
from musicgen_cls.metrics.threshold import check_threshold
from musicgen_cls.trust import trust_also, trusting

WITH_CHECKPOINT = ("validate", "test", "predict")

_BUILT: dict[tuple[type, str], dict[str, Any]] = {}
"""What `setup_parser` has set, by the class of the CLI and the command."""


class MusicCLI(LightningCLI):
    """Arguments, links, and what happens before and after Lightning's commands."""

    checkpoint: Checkpoint | None = None
    named = ""
    """The checkpoint, as the command line names it."""
    trainer: Any = None
    trust: Collection[str] = ()
    files: Sequence[str] = ()
    found: tuple[Found, ...] = ()

    def __init__(self, more_callbacks: Sequence[Callback] = (), **options: Any) -> None:
        self.more_callbacks = more_callbacks
        self.args: list[str] = options["args"]
        self.command = self.args[0]
        self.began = time.time()
        try:
            with patched():
                super().__init__(**options)
        except (KeyboardInterrupt, SystemExit) as leaving:
            if getattr(self, "subcommand", None) == "fit":
                leaving.add_note(how_to_resume(self.trainer, self.checkpoint is not None, self.began))
            raise
        except OSError as error:
            if error.errno in NOT_WRITABLE and error.filename is None:  # a write to a file of TensorBoard
                error.filename = getattr(self.trainer, "log_dir", None)
            raise

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's commands and ours."""
        return {**LightningCLI.subcommands(), "prepare": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Links, and our own arguments."""
        for name in ("num_classes", "sample_rate", "target_samples"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        add_our_arguments(parser)

    def setup_parser(self, *options: Any) -> None:
        """Build the parser, once in a process for each command: it takes 0.1 s, and each trial of a sweep needs it."""
        key = type(self), self.command
        if key not in _BUILT:
            before = {*vars(self)}
            super().setup_parser(*options)
            _BUILT[key] = {name: value for name, value in vars(self).items() if name not in before}
        vars(self).update(_BUILT[key])

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        if subcommand != self.command:  # its arguments would take 0.2 s and are not asked for
            return self.init_parser(**kwargs)
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        ours = {"return_predictions": False, "weights_only": True, "verbose": subcommand == "validate"}
        added = self._subcommand_method_arguments[subcommand]
        parser.set_defaults({name: value for name, value in ours.items() if name in added})
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse. The settings of a checkpoint come first; configs and options override them."""
        command = args[0]
        rest, files = take_files(args[1:])
        rest, alone = split(rest, flag_names())
        check_text(rest)
        rest, given = configs.checked(rest)
        checks.check_groups(given)
        self.trust = configs.trusted_modules(rest, given)
        if command in WITH_CHECKPOINT and not is_help(rest):
            path = checkpoint_of(command, rest, alone, [config.settings for config in given])
            if untrained.is_meant(path) and command == "predict" and not (files or alone or option(rest, "data.files")):
                named_files(None)
            self.named, path = path, made_checkpoint(path, rest)
            self.trust = configs.trusted_modules(rest, given, as_path(path, "--ckpt_path"))
            self.checkpoint = read_checkpoint(path, trust=self.trust)
            rest = ["--config", configs.dumped(settings_of(self.checkpoint)), *rest]
        elif not (given or alone or is_help(rest) or option(rest, "model") or option(rest, "data")):
            raise UsageError(
                f"{command} has no model and data: name a config, as --config quickstart, or the classes, as --model "
                "GenreClassifier --model.network VGG --data MelSlices"
            )
        self.files = [*files, *alone] if command == "predict" else files
        if alone and command != "predict":
            raise UsageError(
                f"'{alone[0]}': {command} takes no such argument{configs.hint(alone[0])}; see musiccli {command} --help"
            )
        trust_also(self.trust)  # for classes and models that are named within values, such as backbones
        if is_help(rest):  # only the parser of all commands prints; it checks every value twice, which takes time
            config = parser.parse_args([command, *rest])[command]
        else:
            config = self._parser(command).parse_args(rest)
        self.config = Namespace({"subcommand": command, command: config})  # type: ignore[no-untyped-call]
        check_seed(config.seed_everything, "--seed_everything")
        check_threshold(config.threshold)
        if self.checkpoint is not None:  # a run's own config.yaml has null for these
            config.ckpt_path = str(self.checkpoint.path)
            config.data.init_args.genres = self.checkpoint.genres
        elif command == "fit" and config.ckpt_path not in (None, LAST):
            self.checkpoint = read_checkpoint(config.ckpt_path, trust=self.trust)

    def _parse_ckpt_path(self) -> None:
        """Nothing, since `parse_arguments` does it: Lightning lets the checkpoint override the command line."""

    def before_instantiate_classes(self) -> None:
        """Settle what depends on the command: logger, resuming, finders, callbacks."""
        config = self.config[self.subcommand]
        if config.trainer.barebones:  # Lightning refuses everything beside the bare loop
            config.trainer.logger = config.trainer.enable_checkpointing = config.trainer.enable_progress_bar = False
        finders = take_finders(config.trainer)
        recipe = config.clone()
        if self.subcommand == "fit":
            prepare_folders(config)
            if config.ckpt_path == LAST:
                recipe.ckpt_path = None
                self.checkpoint = resume_last(config, self.trust)
        else:
            config.trainer.logger = False
            config.trainer.enable_checkpointing = bool(config.trainer.callbacks)
            if is_mixed(config.trainer.precision) and not option(self.args, "trainer.precision"):
                config.trainer.precision = None  # a run's own config has the precision of its training
        if self.checkpoint is not None:
            checks.check_agreement(self.checkpoint, config)
        if self.subcommand == "fit" and not config.trainer.fast_dev_run:
            self._find(finders, recipe)
        self.trainer_defaults["callbacks"] = [*progress_bar(config.trainer), *self._callbacks(config, recipe)]

    def _find(self, finders: Sequence[Any], recipe: Any) -> None:
        """Run the finders before the objects of the run are made, as if its config held what they find."""
        for setting in settings_found(finders, self.parser, self.config, self.checkpoint):
            setting.write(recipe)
            if setting.found is not None:
                self.found += (setting.found,)
                rank_zero_only(print)(setting.found.line)
        if self.found:
            vars(self).pop("config_dump", None)  # Lightning's copy of the config, made before
            self._set_seed()

    def _callbacks(self, config: Any, recipe: Any) -> list[Any]:
        if self.subcommand == "predict":
            writer = prediction_writer(config, self.checkpoint)
            genres = self.checkpoint.genres if self.checkpoint else ()
            check_options(config, not isinstance(writer, PredictionWriter), genres)
            return [writer]
        if self.subcommand != "fit":
            return [test_report(config)]
        callbacks = training_callbacks(config, recipe, self._parser("fit"), self.found)
        return [test_report(config), *callbacks, *self.more_callbacks]

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> Trainer:
        """Leave out the callbacks of training elsewhere, where they only warn."""
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
        """Print what was resolved; refuse a checkpoint of other genres, and windows too small for the network."""
        if self.files:  # not through the parser, which takes text only
            self.datamodule.files = self.files
        if self.checkpoint is not None:
            checks.check_genres(self.checkpoint, self.datamodule)
            rank_zero_only(print)(self.checkpoint.line(self.named))
        if self.subcommand != "prepare":
            checks.check_network(self.model, self.datamodule)
        if self.subcommand == "fit":
            checks.check_changes(self.datamodule)
            network = getattr(self.model, "network", self.model)
            count = sum(parameter.numel() for parameter in network.parameters())
            rank_zero_only(print)(f"Network:     {type(network).__name__}, {count:,} parameters")

    def before_fit(self) -> None:
        """Prepare before the run has a folder and other processes, so that an error leaves nothing behind."""
        self.trainer.resumes = bool(self.config["fit"].ckpt_path)
        ours = isinstance(self.datamodule, GenreDataModule)
        in_first_process(self.datamodule.prepare_fit if ours else self.datamodule.prepare_data)

    def before_test(self) -> None:
        """Prepare before other processes start, so that an error is printed once."""
        in_first_process(self.datamodule.prepare_data)

    before_validate = before_test

    def before_predict(self) -> None:
        """Find the files before other processes start; those that a stopped run has predicted are skipped."""
        in_first_process(self.datamodule.prepare_predict)
        for writer in self.trainer.callbacks:
            if isinstance(writer, PredictionWriter) and self.checkpoint is not None:
                writer.resume(self.datamodule, self.checkpoint.path)

    def after_prepare(self) -> None:
        """Keep what was printed, for the same command while nothing has changed."""
        if (prepared := self.trainer.prepared) is not None:
            ready.keep(self.args[1:], self.datamodule, *prepared)

    def after_predict(self) -> None:
        """Write the playlists and tags that the options ask for, once all files are predicted."""
        for writer in self.trainer.callbacks:
            if isinstance(writer, PredictionWriter) and self.trainer.is_global_zero:
                use_predictions(self.config["predict"], writer.results.out, writer.rows, self.datamodule.genres)

    def after_test(self) -> None:
        """Test the tracks of `--beside` in the same way, and draw both."""
        source = self._get(self.config_init, "beside")
        if source is not None:
            test_beside(self.trainer, self.model, self.datamodule, source)

    def after_fit(self) -> None:
        """Calibrate and test the best checkpoint, and print where the results are."""
        close_fit(self.trainer, self.model, self.datamodule, self.config["fit"])


def start(args: Sequence[str], cli: type[MusicCLI] = MusicCLI, more_callbacks: Sequence[Callback] = ()) -> MusicCLI:
    """Run a command of the trainer, with more callbacks.

    Raises:
        MusicClsError: what a user can fix.
    """
    keep_memory()
    configure_logs()
    args = ["--help" if arg == "--help-all" else arg for arg in args]
    if (text := asked_class(args)) is not None:
        print(text, end="")
        raise SystemExit(0)
    with trusting():  # what the command line names is trusted until the end of the command
        return _run(args, cli, more_callbacks)


def _run(args: Sequence[str], cli: type[MusicCLI], more_callbacks: Sequence[Callback]) -> MusicCLI:
    """Run a command, with the defaults of this package."""
    return cli(
        more_callbacks,
        trainer_class=MusicTrainer,
        trainer_defaults={
            "logger": {
                "class_path": "TensorBoardLogger",
                "init_args": {"save_dir": "lightning_logs", "default_hp_metric": False},
            },
            "enable_model_summary": False,  # one line of ours gives the size of the network
        },
        seed_everything_default=0,
        save_config_callback=None,
        parser_class=MusicParser,
        auto_configure_optimizers=False,
        args=list(args),
    )
