"""Config files: those that come with the package, and those of a command line, checked before the parser reads them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from musicgen_cls.cli.command_line import names_in
from musicgen_cls.errors import UsageError, nearest
from musicgen_cls.files import as_path, check_regular
from musicgen_cls.specs import DOTTED, current
from musicgen_cls.trust import check_trusted

_BYTES, _DEPTH, _VALUES = 1_000_000, 60, 100_000
"""Limits of a config: bytes, levels, and values once its aliases are expanded."""

SHIPPED = Path(__file__).parents[1] / "configs"
"""The folder of the configs that come with the package."""

_NAMES = ("--config", "-c")
_OF_LIGHTNING = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning", "torch.optim")
"""Modules that the config of every run names."""
_OF_CLASS = ("class_path", "init_args", "dict_kwargs")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C where there is one: it takes a tenth of the time."""


def shipped() -> dict[str, Path]:
    """The configs that come with the package, by their names for `--config`, such as `vgg` and `sweeps/vgg`."""
    files = sorted(SHIPPED.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
    return {file.relative_to(SHIPPED).with_suffix("").as_posix(): file for file in files}


def find_config(name: str, option: str = "--config") -> Path:
    """The file of that name; without such a file, the config of the package.

    Raises:
        UsageError: there is neither.
    """
    path, known = as_path(name, option), shipped()
    if path.exists():
        return path
    stem = name.replace("\\", "/").removeprefix("configs/").removesuffix(".yaml")
    if name in known:
        return known[name]
    near = nearest(stem, known) or "; name a YAML file, or a config that musiccli configs lists"
    raise UsageError(f"{option} {name}: no such file or config{near}")


def hint(word: str) -> str:
    """The end of a message that suggests `--config`, if the word is the name of a config."""
    return f"; did you mean --config {word}?" if word in shipped() or word.endswith((".yaml", ".yml")) else ""


@dataclass(frozen=True)
class Config:
    """A config of a command line: its settings and its file; None for settings that are no file."""

    path: Path | None
    settings: dict[str, Any]


def checked(args: Sequence[str]) -> tuple[list[str], list[Config]]:
    """A command line with the paths of valid configs, and the configs.

    Settings replace two kinds of configs in the command line: `-`, which is standard input, and a config of an older
    version, whose classes have other paths now.

    Raises:
        UsageError: a config cannot be read, is not YAML, has no settings, or is too large once its aliases are
            expanded. The error does not show the content of the file.
    """
    found, configs, following = [], [], False
    for arg in args:
        name, equals, value = arg.partition("=")
        if following or (equals and name in _NAMES):
            text, config = _checked(arg if following else value)
            found.append(text if following else f"{name}={text}")
            configs.append(config)
        else:
            found.append(arg)
        following = not following and arg in _NAMES
    return found, configs


def trusted_modules(args: Sequence[str], configs: Sequence[Config], checkpoint: Path | None = None) -> set[str]:
    """The modules that a user trusts: those of the classes that the command line and the configs name.

    A config in the folder of the checkpoint, or in the folder above it, makes no module trusted: it may come from the
    same unknown person.

    Args:
        args: the command line.
        configs: of the command line.
        checkpoint: the file that a command reads; None for a command that only trains.

    Raises:
        UsageError: a config beside the checkpoint names a module that can be imported and is not trusted.
    """
    foreign = [config for config in configs if checkpoint is not None and _is_beside(config, checkpoint)]
    trust = named_modules(args, [config.settings for config in configs if config not in foreign])
    for config in foreign:
        for text in filter(DOTTED.fullmatch, _texts(config.settings)):
            if find_spec(text.partition(".")[0]) is not None:  # else it is no module: the name of a file, as a.csv
                try:
                    check_trusted(text, {*trust, *_OF_LIGHTNING})
                except UsageError as error:
                    raise UsageError(f"--config {config.path}: {error}") from None
    return trust


def _is_beside(config: Config, checkpoint: Path) -> bool:
    """Whether a config is in the folder of a checkpoint or in the folder above it, also through links."""
    if config.path is None:
        return False
    files = (checkpoint.absolute(), checkpoint.resolve())
    folders = {folder for file in files for folder in (file.parent, file.parent.parent)}
    return not folders.isdisjoint({*config.path.absolute().parents, *config.path.resolve().parents})


def named_modules(args: Sequence[str], settings: Sequence[Any]) -> set[str]:
    """The modules of the classes that a user names, in configs and as values of `--model` and `--data` options."""
    given = [value for arg, after in zip(args, (*args[1:], ""), strict=False) for value in _class_option(arg, after)]
    paths = [path for part in (*settings, given) for path in _texts(part) if DOTTED.fullmatch(path)]
    return {path.rpartition(".")[0] for path in paths}


def _class_option(arg: str, after: str) -> list[str]:
    """The value of an option that can name a class, or the values in a list."""
    name, equals, value = arg.partition("=")
    if not name.startswith(("--model", "--data", "--beside")) or name == "--data.files":
        return []
    return names_in(value if equals else after)


def _texts(value: Any) -> Iterator[str]:
    """Every text in settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def dumped(value: Any) -> str:
    """A value as one line of YAML in ASCII: JSON writes characters beyond U+FFFF in a way that YAML does not read."""
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=False, width=float("inf")).strip()


def _checked(config: str) -> tuple[str, Config]:
    """The text for the parser for one config, and the config."""
    if config == "-":
        settings = _settings(_standard_input(), "standard input")
        return dumped(settings), Config(None, settings)
    if config.lstrip().startswith("{") and not as_path(config, "--config").exists():  # settings, not a file's name
        return config, Config(None, _settings(config, config))
    path = find_config(config)
    check_regular(path, "--config", _BYTES)
    try:
        settings = _settings(path.read_text(encoding="utf-8-sig"), config)
    except UnicodeDecodeError:
        raise UsageError(f"--config {config}: not text in UTF-8; save it as UTF-8, or name another") from None
    except OSError as error:
        raise UsageError(f"--config {config}: cannot be read ({error.strerror}); name another") from error
    now: dict[str, Any] = current(settings)
    return (str(path) if now == settings else dumped(now)), Config(path, now)


def _standard_input() -> str:
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("--config -: there is no standard input; name a file")
    if sys.stdin.isatty():
        print("Reading the config from standard input; Ctrl-D ends it", file=sys.stderr)
    return sys.stdin.read(_BYTES)


def _settings(text: str, name: str) -> dict[str, Any]:
    """The settings in a text; raises `UsageError` if they are too large."""
    try:
        _check_growth(text, name)
        _check_keys(yaml.compose(text, Loader=LOADER), name, set())
        settings = yaml.load(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"--config {name}: not YAML{line}: {error.problem}; fix it, or name another") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--config {name}: not YAML: {reason}; fix it, or name another") from None
    if not isinstance(settings, dict):
        raise UsageError(f"--config {name}: has no settings, such as model: and data:; fix it, or name another")
    for key in (key for key in settings if not isinstance(key, str)):
        raise UsageError(f"--config {name}: the key {key} is not text; name a setting, such as model or data")
    _check_classes(settings, name)
    return settings


def _check_keys(node: yaml.Node | None, name: str, seen: set[int]) -> None:
    """Raise `UsageError` for a key that is twice in a mapping, since its first value would be lost.

    Args:
        node: of YAML, before the keys of `<<` are added.
        name: of the config, for the error.
        seen: the ids of the nodes that were checked before; aliases share nodes.
    """
    if node is None or id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[tuple[str, str]] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"):
            if (key.tag, key.value) in keys:
                line = key.start_mark.line + 1
                raise UsageError(f"--config {name}: line {line}: {key.value} is there twice; remove one")
            keys.add((key.tag, key.value))
    for part in node.value:
        for inner in part if isinstance(part, tuple) else (part,):
            _check_keys(inner, name, seen)


def _check_classes(value: Any, name: str, group: str = "") -> None:
    """Raise `UsageError` for an argument beside `class_path` instead of in `init_args`."""
    if isinstance(value, dict):
        odd = next((key for key in value if "class_path" in value and key not in _OF_CLASS), None)
        if odd is not None:
            raise UsageError(f"--config {name}: {group or 'it'} has {odd} beside class_path; move it into init_args")
        for key, inner in value.items():
            _check_classes(inner, name, f"{group}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            _check_classes(inner, name, group)


def _check_growth(text: str, name: str) -> None:
    """Raise `UsageError` for settings that nest too deeply, or grow too large when their aliases are expanded.

    An alias counts as all values below its anchor. One pass over the parser's events finds the size of every anchor
    before any value is made.
    """
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = [(None, 0)]  # anchor and size of each collection that is not closed yet
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, 1))
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_.pop()
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_):
                raise UsageError(f"--config {name}: '{event.anchor}' contains itself; write it without that alias")
            anchor, size = None, sizes.get(event.anchor or "", 1)
        else:
            continue
        if anchor:
            sizes[anchor] = size
        above, total = open_.pop()
        open_.append((above, total + size))
        if total + size > _VALUES or len(open_) > _DEPTH:
            raise UsageError(
                f"--config {name}: over {_VALUES} values or {_DEPTH} levels, with its aliases expanded; make it smaller"
            )
