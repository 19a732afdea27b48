"""The settings of fit in every trial: the config, and the arguments that all trials share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from musicgen_cls.cli.configs import LOADER, find_config
from musicgen_cls.cli.lightning import start
from musicgen_cls.cli.messages import user_error
from musicgen_cls.commands.fit_genres import Settings
from musicgen_cls.commands.sweep.space import Dimension, label
from musicgen_cls.errors import UsageError, one_line
from musicgen_cls.files import as_path

_WITHOUT_EFFECT = (
    *("trainer.logger", "trainer.enable_", "trainer.accelerator", "trainer.devices", "data.num_workers"),
    *(
        "data.cache_dir",
        "figures_every_n_epochs",
        "test_after_fit",
        "out",
        "overwrite",
        "beside",
        "threshold",
        "calibrate",
    ),
    *("playlists", "write_tags", "restore_tags", "yes"),
)


class FitSettings:
    """The arguments of fit that all trials share, and the configs of trials.

    Args:
        options: options of the command.
        space: the searched arguments.

    Raises:
        UsageError: fit does not accept them.
    """

    def __init__(self, options: Any, space: Sequence[Dimension]) -> None:
        self.space = space
        self._texts: dict[tuple[str, ...], str] = {}
        self.shared = _shared(options, space)
        self._check_space()
        self.config = self.config_with(self.first_params)
        """The config of a trial with the first value of each searched argument."""
        self._check_devices()

    @property
    def logs(self) -> Path:
        """The folder of all runs."""
        logger = self.config["trainer"]["logger"]
        if not isinstance(logger, dict) or "version" not in logger.get("init_args", {}):
            raise UsageError("--trainer.logger: a sweep needs a logger with folders; use TensorBoardLogger")
        return Path(logger["init_args"]["save_dir"])

    @property
    def first_params(self) -> list[str]:
        """The arguments of a trial with the first value of each searched argument."""
        return self._arguments({d.name: d.ends[0] for d in self.space})

    def config_with(self, params: Sequence[str]) -> dict[str, Any]:
        """The complete config of fit with some more arguments, in plain form."""
        config: dict[str, Any] = yaml.load(self.text(params), Loader=LOADER)
        return config

    def checkpoint(self, params: Sequence[str]) -> dict[str, Any]:
        """The settings of the best checkpoint of a trial with these arguments."""
        searched = any(dimension.name.startswith("checkpoint") for dimension in self.space)  # else parsing is a waste
        found: dict[str, Any] = (self.config_with(params) if searched else self.config)["checkpoint"]
        return found

    def text(self, params: Sequence[str]) -> str:
        """The complete config of fit with some more arguments, as YAML."""
        key = tuple(params)
        if key not in self._texts:  # parsing takes 0.1 s
            cli = start(["fit", *self.shared, *params], Settings)
            self._texts[key] = cli._parser("fit").dump(cli.config["fit"], skip_none=False)
        return self._texts[key]

    @staticmethod
    def _arguments(values: dict[str, Any]) -> list[str]:
        return [argument(name, value) for name, value in values.items()]

    def _check_space(self) -> None:
        """Check, before the first trial, that fit accepts every argument of the space and its values."""
        for row in range(max(len(dimension.ends) for dimension in self.space)):
            values = {d.name: d.ends[min(row, len(d.ends) - 1)] for d in self.space}
            try:
                self.config_with(self._arguments(values))
            except Exception as error:
                cause = user_error(error)
                if cause is None:
                    raise
                settings = ", ".join(f"{name} {label(value)}" for name, value in values.items())
                raise UsageError(f"fit with {settings}: {one_line(cause)}") from None

    def _check_devices(self) -> None:
        trainer = self.config["trainer"]
        devices = trainer["devices"]
        one = len(devices) == 1 if isinstance(devices, list) else str(devices) in ("1", "auto")
        if not one or trainer["num_nodes"] > 1:
            raise UsageError(
                f"--trainer.devices {devices}: a trial uses one device; leave it out, and run the same command several "
                "times"
            )
        self.shared += ["--trainer.devices=1"] if devices == "auto" else []

    def relevant(self) -> dict[str, Any]:
        """The shared arguments as a flat table, without those that do not change the results."""
        searched = tuple(dimension.name for dimension in self.space)
        return {
            name: value
            for name, value in _flat(self.config).items()
            if not name.startswith(_WITHOUT_EFFECT) and not any(name == s or name.startswith(f"{s}.") for s in searched)
        }

    def config_values(self) -> dict[str, Any] | None:
        """The config's own values of the searched arguments; None if any of them is not in the space."""
        try:
            config = _flat(self.config_with([]))
        except Exception as error:
            if user_error(error) is None:
                raise
            return None  # the config is not complete without the searched arguments
        values = {}
        for dimension in self.space:
            name = dimension.name
            value = config.get(name, config.get(f"{name}.class_path", "").rpartition(".")[2])  # the class's short name
            if not dimension.holds(value):
                return None
            values[name] = label(value)
        return values


def argument(name: str, value: Any) -> str:
    """An argument as the command line has it."""
    return f"--{name}={value if isinstance(value, str) else json.dumps(value)}"


def _shared(options: Any, space: Sequence[Dimension]) -> list[str]:
    """The arguments of fit that all trials share, as the command line has them."""
    names = {arg[2:].partition("=")[0] for arg in options.passed} | set(options.arguments or {})
    if twice := next((d.name for d in space if d.name in names), None):
        raise UsageError(f"{twice}: is in space, and also an argument; remove one of the two")
    found = []
    for file in [options.fit] if isinstance(options.fit, str) else options.fit:
        beside = Path(options.home) / as_path(file, "--fit")
        found += ["--config", str(beside if beside.is_file() else find_config(file, "--fit"))]
    return [*found, *(argument(name, value) for name, value in (options.arguments or {}).items()), *options.passed]


def _flat(config: Any, name: str = "") -> dict[str, Any]:
    """A nested config as a flat table with the dotted names of the command line."""
    if not isinstance(config, dict):
        return {name: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, name if key == "init_args" else f"{name}.{key}".lstrip("."))
    return flat
