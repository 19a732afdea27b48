"""What is trained in every trial: the config of fit, and the arguments that trials share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from musicgen_cls.cli.configs import find_config
from musicgen_cls.cli.lightning import start
from musicgen_cls.cli.messages import user_error
from musicgen_cls.cli.patches import patched
from musicgen_cls.commands.fit_genres import Settings
from musicgen_cls.commands.sweep.space import Dimension, label
from musicgen_cls.errors import UsageError, one_line
from musicgen_cls.files import as_path

_OF_NO_MATTER = (
    *("trainer.logger", "trainer.enable_", "trainer.accelerator", "trainer.devices", "data.num_workers"),
    *("data.cache_dir", "figures_every_n_epochs", "test_after_fit", "out", "overwrite", "beside"),
)


class FitSettings:
    """The arguments of fit that all trials share, and what comes of them with those of a trial.

    Args:
        options: of the command.
        space: what is searched.

    Raises:
        UsageError: fit would not take them.
    """

    def __init__(self, options: Any, space: Sequence[Dimension]) -> None:
        self.space = space
        self._texts: dict[tuple[str, ...], str] = {}
        self.shared = _shared(options, space)
        self._check_space()
        self.config = self.given(self.firsts)
        """Of a trial that nobody drew."""
        self._check_devices()

    @property
    def logs(self) -> Path:
        """The folder of all runs."""
        logger = self.config["trainer"]["logger"]
        if not isinstance(logger, dict) or "version" not in logger.get("init_args", {}):
            raise UsageError("--trainer.logger: a sweep needs one with folders, such as TensorBoardLogger")
        return Path(logger["init_args"]["save_dir"])

    @property
    def firsts(self) -> list[str]:
        """The arguments of a trial that nobody drew."""
        return self._arguments({d.name: d.ends[0] for d in self.space})

    def given(self, params: Sequence[str]) -> dict[str, Any]:
        """The config of fit, complete and plain, with some arguments besides."""
        config: dict[str, Any] = yaml.safe_load(self.text(params))
        return config

    def text(self, params: Sequence[str]) -> str:
        """The same as YAML."""
        key = tuple(params)
        if key not in self._texts:  # parsing takes a quarter of a second
            with patched():
                config = self._cli.parser.parse_args(["fit", *self.shared, *params])["fit"]
            self._texts[key] = self._cli._parser("fit").dump(config, skip_none=False)
        return self._texts[key]

    @cached_property
    def _cli(self) -> Settings:
        cli = start(["fit", *self.shared, *self.firsts], Settings)
        assert isinstance(cli, Settings)
        return cli

    @staticmethod
    def _arguments(values: dict[str, Any]) -> list[str]:
        return [argument(name, value) for name, value in values.items()]

    def _check_space(self) -> None:
        """Find out, before the first trial, whether fit takes every argument of the space, and its values."""
        for row in range(max(len(dimension.ends) for dimension in self.space)):
            values = {d.name: d.ends[min(row, len(d.ends) - 1)] for d in self.space}
            try:
                self.given(self._arguments(values))
            except Exception as error:
                cause = user_error(error)
                if cause is None:
                    raise
                said = ", ".join(f"{name} {label(value)}" for name, value in values.items())
                raise UsageError(f"fit with {said}: {one_line(cause)}") from None

    def _check_devices(self) -> None:
        trainer = self.config["trainer"]
        devices = trainer["devices"]
        one = len(devices) == 1 if isinstance(devices, list) else str(devices) in ("1", "auto")
        if not one or trainer["num_nodes"] > 1:
            raise UsageError(
                f"--trainer.devices {devices}: a trial runs on one device; start the same command several times instead"
            )
        self.shared += ["--trainer.devices=1"] if devices == "auto" else []

    def that_matter(self) -> dict[str, Any]:
        """Those that all trials share, flat, less those that do not change what comes out."""
        searched = tuple(dimension.name for dimension in self.space)
        return {
            name: value
            for name, value in _flat(self.config).items()
            if not name.startswith(_OF_NO_MATTER) and not any(name == s or name.startswith(f"{s}.") for s in searched)
        }

    def own(self) -> dict[str, Any] | None:
        """What the config itself says of what is searched, if all of that lies in the space."""
        try:
            config = _flat(self.given([]))
        except Exception as error:
            if user_error(error) is None:
                raise
            return None  # complete only with what is searched
        own = {}
        for dimension in self.space:
            name = dimension.name
            value = config.get(name, config.get(f"{name}.class_path", "").rpartition(".")[2])  # a class is named short
            if not dimension.holds(value):
                return None
            own[name] = label(value)
        return own


def argument(name: str, value: Any) -> str:
    """As on the command line."""
    return f"--{name}={value if isinstance(value, str) else json.dumps(value)}"


def _shared(options: Any, space: Sequence[Dimension]) -> list[str]:
    """The arguments of fit that all trials share, as on its command line."""
    said = {arg[2:].partition("=")[0] for arg in options.passed} | set(options.arguments or {})
    if twice := next((d.name for d in space if d.name in said), None):
        raise UsageError(f"{twice}: searched in space, and given as an argument; take one away")
    found = []
    for file in [options.fit] if isinstance(options.fit, str) else options.fit:
        beside = Path(options.home) / as_path(file, "--fit")
        found += ["--config", str(beside if beside.is_file() else find_config(file, "--fit"))]
    return [*found, *(argument(name, value) for name, value in (options.arguments or {}).items()), *options.passed]


def _flat(config: Any, name: str = "") -> dict[str, Any]:
    """A nested config by dotted names, as the command line has them."""
    if not isinstance(config, dict):
        return {name: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, name if key == "init_args" else f"{name}.{key}".lstrip("."))
    return flat
