"""Config files: those that come with the package, and those of a command line, checked before the parser reads them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from musicgen_cls.errors import UsageError
from musicgen_cls.files import as_path, check_regular
from musicgen_cls.specs import DOTTED, current
from musicgen_cls.trust import check_trusted as check_class_trusted

_BYTES, _DEPTH, _VALUES = 1_000_000, 60, 100_000
"""The most that a config may hold: bytes, levels, and values once its aliases are written out."""

SHIPPED = Path(__file__).parents[1] / "configs"
"""The folder of the configs that come with the package."""

_NAMES = ("--config", "-c")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def shipped() -> dict[str, Path]:
    """The configs that come with the package, by the names that `--config` takes, as `vgg` and `sweeps/vgg`."""
    files = sorted(SHIPPED.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
    return {file.relative_to(SHIPPED).with_suffix("").as_posix(): file for file in files}


def find_config(name: str, option: str = "--config") -> Path:
    """The file of that name, or the config that comes with the package where there is no such file.

    Raises:
        UsageError: there is neither.
    """
    path, known = as_path(name, option), shipped()
    if path.exists():
        return path
    stem = name.replace("\\", "/").removeprefix("configs/").removesuffix(".yaml")
    if name in known:
        return known[name]
    near = [stem] if stem in known else get_close_matches(stem, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "name a YAML file, or one of those that musiccli configs lists"
    raise UsageError(f"{option} {name}: no such file or config; {hint}")


def hint(word: str) -> str:
    """The part of a message that suggests `--config` for a word that is the name of a config."""
    return f"; did you mean --config {word}?" if word in shipped() or word.endswith((".yaml", ".yml")) else ""


def checked(args: Sequence[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """A command line with the paths of valid configs, and the settings in each.

    The settings themselves take the place of `-`, which stands for standard input, and of a config of an older version,
    whose classes have other paths now.

    Raises:
        UsageError: a config cannot be read, is not YAML, holds no settings, or is too large once its aliases are
            written out. The error does not show its content.
    """
    found, settings, following = [], [], False
    for arg in args:
        name, equals, value = arg.partition("=")
        if following or (equals and name in _NAMES):
            text, content = _checked(arg if following else value)
            found.append(text if following else f"{name}={text}")
            settings.append(content)
        else:
            found.append(arg)
        following = not following and arg in _NAMES
    return found, settings


_CLASS_KEYS = {
    *("class_path", "model", "data", "network", "source", "augment", "mask", "beside"),
    *("callbacks", "logger", "strategy", "plugins", "profiler", "accelerator"),
}
"""Settings whose value can be the path of a class."""
_WITH_LIGHTNING = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning", "torch.optim")


def check_trusted(args: Sequence[str], settings: Sequence[dict[str, Any]], checkpoint: Path) -> set[str]:
    """The modules that a user trusts when a command reads a checkpoint: those that the command line names.

    So do configs, but for those that lie beside the checkpoint, in its folder or the one above: they may have come with
    it, and are no more trusted than the checkpoint itself.

    Raises:
        UsageError: a config beside the checkpoint names a class of a module that is not trusted.
    """
    folder = checkpoint.absolute().parent
    beside = {folder, folder.parent}
    named = [value for arg, after in zip(args, (*args[1:], ""), strict=False) for value in _config_option(arg, after)]
    foreign = [beside.isdisjoint(Path(name).absolute().parents) for name in named]
    trust = named_modules(args, [part for part, theirs in zip(settings, foreign, strict=True) if theirs])
    for name, part in zip(named, settings, strict=True):
        for path in _class_paths(part):
            try:
                check_class_trusted(path, {*trust, *_WITH_LIGHTNING})
            except UsageError as error:
                raise UsageError(f"--config {name}: {error}") from None
    return trust


def _config_option(arg: str, after: str) -> list[str]:
    """The value of an option that names a config."""
    name, equals, value = arg.partition("=")
    return [value if equals else after] if name in _NAMES else []


def _class_paths(value: Any, key: str = "") -> Iterator[str]:
    """The dotted paths in settings where a class can be named."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _class_paths(part, str(name).rpartition(".")[2])
    elif isinstance(value, list):
        for part in value:
            yield from _class_paths(part, key)
    elif key in _CLASS_KEYS and isinstance(value, str) and DOTTED.fullmatch(value):
        yield value


def named_modules(args: Sequence[str], settings: Sequence[Any]) -> set[str]:
    """The modules of the classes that a user names, in configs and as values of `--model` and `--data` options."""
    given = [value for arg, after in zip(args, (*args[1:], ""), strict=False) for value in _class_option(arg, after)]
    paths = [path for part in (*settings, given) for path in _texts(part) if DOTTED.fullmatch(path)]
    return {path.rpartition(".")[0] for path in paths}


def _class_option(arg: str, after: str) -> list[str]:
    """The value of an option that can name a class."""
    name, equals, value = arg.partition("=")
    if not name.startswith(("--model", "--data", "--beside")) or name == "--data.files":
        return []
    return [value if equals else after]


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


def _checked(config: str) -> tuple[str, dict[str, Any]]:
    """What to hand to the parser for one config, and the settings in it."""
    if config == "-":
        settings = _settings(_standard_input(), "standard input")
        return dumped(settings), settings
    if config.lstrip().startswith("{") and not as_path(config, "--config").exists():  # settings, not a file's name
        return config, _settings(config, config)
    path = find_config(config)
    check_regular(path, "--config", _BYTES)
    try:
        settings = _settings(path.read_text(encoding="utf-8-sig"), config)
    except UnicodeDecodeError:
        raise UsageError(f"--config {config}: not text in UTF-8; save it as UTF-8, or name another") from None
    except OSError as error:
        raise UsageError(f"--config {config}: cannot be read ({error.strerror}); name another") from error
    now: dict[str, Any] = current(settings)
    return (str(path) if now == settings else dumped(now)), now


def _standard_input() -> str:
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("--config -: there is no standard input; name a file")
    if sys.stdin.isatty():
        print("Reading the config from standard input; Ctrl-D ends it", file=sys.stderr)
    return sys.stdin.read(_BYTES)


def _settings(text: str, name: str) -> dict[str, Any]:
    """The settings in a text, which do not grow beyond reason."""
    try:
        _check_growth(text, name)
        settings = yaml.load(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"--config {name}: not YAML{line}: {error.problem}; fix it, or name another") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--config {name}: not YAML: {reason}; fix it, or name another") from None
    if not isinstance(settings, dict):
        raise UsageError(f"--config {name}: holds no settings, as model: and data:; fix it, or name another")
    return settings


def _check_growth(text: str, name: str) -> None:
    """Raise `UsageError` for settings that nest too deeply, or grow too large when their aliases are written out.

    An alias counts as all values below its anchor. One pass over the parser's events finds the size of every anchor
    before anything is built.
    """
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = [(None, 0)]  # anchor and size of each collection that is not closed yet
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, 1))
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_.pop()
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_):
                raise UsageError(f"--config {name}: '{event.anchor}' holds itself; write it without that alias")
            anchor, size = None, sizes.get(event.anchor or "", 1)
        else:
            continue
        if anchor:
            sizes[anchor] = size
        above, total = open_.pop()
        open_.append((above, total + size))
        if total + size > _VALUES or len(open_) > _DEPTH:
            raise UsageError(
                f"--config {name}: over {_VALUES} values or {_DEPTH} levels, its aliases written out; make it smaller"
            )
