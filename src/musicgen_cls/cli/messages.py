"""Errors of parsers and libraries, as one line that names the argument, the value and the remedy.

jsonargparse reports an invalid value with a text of several lines, and offers no other form. The patterns below read
the texts of the version that pyproject.toml pins; tests/cli/test_pinned.py makes each text with the real parser.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from re import Match

from musicgen_cls.errors import MusicClsError, UsageError, nearest, one_line

NOT_WRITABLE = {errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS}

_KEY = re.compile(r'Parser key "([^"]+)"')
_OPTION = re.compile(
    r"Option '([^']+)' is not accepted|does not accept option '([^']+)'|recognized arguments: (\S+)"
    r"|Key '([^']+)' is not expected"
)
_IN_GROUP = re.compile(r"Group '([^']+)' does not accept option '([^']+)'")
_NO_VALUE = re.compile(r"argument (?:-\w/)?(--\S+): expected one argument")
_REQUIRED = re.compile(r"following arguments are required: (.*)|option \"(.*)\" is required|Key \"(.*)\" is required")
_NO_MODEL = re.compile(r"arguments are required: (?:.*, )?model(?:,|$)")
_IMPORT = re.compile(r"expects a function or a callable class: (.*?)\.? Got value: (\S+)", re.DOTALL)
_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_LITERAL = re.compile(r"Literal\[(.*?)\].*?Got value: (\S*)", re.DOTALL)
_UNION = re.compile(r"Union subtypes\s+Subtypes: \[(.*)\]\s+Errors:.*Given value: (.*)", re.DOTALL)
_BEFORE = re.compile(r"NestedArg\(key='([^']+)'")
_PRINT = re.compile(r'Invalid option "(.*)" for --print_config')
_ABSTRACT = re.compile(r"Expected an instantiatable class, but \S+ is abstract")
_TYPE = re.compile(r"Expected an? <class '([\w.]+)'>.*?Got value: (\S*)", re.DOTALL)

_MONITOR = re.compile(r"ModelCheckpoint\(monitor='(.*?)'\).*returned metrics: \[(.*?)\]", re.DOTALL)
_PEER = re.compile(r"gloo|NCCL|Connection (?:closed|reset) by peer|connectFullMesh", re.IGNORECASE)
_NO_MEMORY = re.compile(r"can't allocate memory|out of memory|integer multiplication overflow|Storage size calc", re.I)


def explain(message: str, options: Collection[str] = (), classes: Iterable[str] = ()) -> str:
    """A parser's message as one line that names the argument, the value and the remedy.

    Args:
        message: the text of jsonargparse.
        options: names of the arguments of all classes, to suggest the nearest to a misspelt one.
        classes: names of classes, for the same purpose.
    """
    keys = _KEY.findall(message)
    key = f"{keys[-1]}: " if keys else ""
    if found := _IN_GROUP.search(message):
        return _unknown(f"{found[1]}.{found[2]}", options)
    if found := _OPTION.search(message):
        return _unknown(_group(found), options)
    if found := _NO_VALUE.search(message):
        return f"{found[1]}: has no value; give one, as {found[1]} VALUE"
    if found := _PRINT.search(message):
        return f"--print_config: '{found[1]}' is not skip_default; write --print_config alone for the whole config"
    if found := _BEFORE.search(message):
        name = keys[-1] if keys else "data"
        return f"name the class before its arguments, --{name} before --{name}.{found[1]}"
    if _ABSTRACT.search(message):
        name = keys[-1] if keys else "data"
        return f"name the class before its arguments: --{name} CLASS before --{name}.ARGUMENT"
    if _NO_MODEL.search(message):
        return "no model and data: name a config, as --config quickstart"
    if found := _REQUIRED.search(message):
        where = f" of --{keys[-1]}" if keys else ""
        return f"missing: {_group(found)}{where}; musiccli COMMAND --help explains it"
    if found := _IMPORT.search(message):
        return f"{key}no class '{found[2]}' ({found[1]})"
    if found := _CLASS.search(message):
        return f"{key}no class '{found[1]}'{nearest(found[1], classes)}"
    if found := _LITERAL.search(message):
        choices = re.findall(r"'([^']*)'", found[1])
        return f"{key}'{found[2]}' is not one of {', '.join(choices)}{nearest(found[2], choices)}"
    if found := _UNION.search(message):
        kinds = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", found[1]).replace("typing.", "").replace("NoneType", "null")
        near = nearest(found[2].strip(), re.findall(r"'([^']*)'", kinds))
        return f"{key}'{found[2].strip()}' is none of {one_line(kinds)}{near}"
    if found := _TYPE.search(message):
        return f"{key}'{found[2]}' is not {_KINDS.get(found[1], f'of type {found[1]}')}"
    return one_line(message.removeprefix("Parser key ").replace('"config": ', "--config: "))


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}


@contextmanager
def spelled(words: Sequence[str]) -> Iterator[None]:
    """Name an argument in a parser's error as the command line does: `--data.seconds` for `seconds`.

    Args:
        words: the command line. A name that it does not have, or has twice, stays as it is.
    """
    try:
        yield
    except UsageError as error:
        reason = str(user_error(error))
        found = _SUBJECT.match(reason)
        names = {word.partition("=")[0].removeprefix("--") for word in words if word.startswith("--")}
        named = [name for name in names if found and f".{name}".endswith(f".{found[2]}")]
        if found is None or len(named) != 1:
            raise
        raise UsageError(f"{found[1]}--{named[0]}{reason[found.end() :]}") from None


_SUBJECT = re.compile(r"(no option '|)(?:--)?([a-z][\w.]*)(?=[':])")


def _group(found: Match[str]) -> str:
    return next(group for group in found.groups() if group)


def _unknown(name: str, options: Collection[str]) -> str:
    last = name.lstrip("-").split("=")[0].rpartition(".")[2]
    if last in options:
        return f"no option '{name}' here: the class or command does not take it"
    return f"no option '{name}'{nearest(_USUAL.get(last, last), options)}"


_USUAL = {"epochs": "max_epochs", "epoch": "max_epochs", "learning_rate": "lr"}
"""Common names of options in other programs, with the names here."""


def user_error(error: BaseException) -> MusicClsError | None:
    """The error in a chain of exceptions that a user can fix; None if it is a fault of this package.

    It is the last of our own errors in the chain. Without one it is a value that a class refused, too little memory, a
    setting that Lightning refuses, or a folder that cannot be written.
    """
    chain = _chain(error)
    for link in reversed(chain):
        if isinstance(link, MusicClsError):
            return link
    if any(isinstance(link, MemoryError) or _NO_MEMORY.search(str(link)) for link in chain):
        return UsageError(
            "not enough memory; use a smaller network (--model.network.width), --data.batch_size or window"
        )
    made = any("Union subtypes" in str(link) for link in chain)
    if made and isinstance(chain[-1], ValueError | RuntimeError | ImportError):
        return UsageError(one_line(chain[-1]))  # an argument that a class refused in its __init__
    if made and isinstance(chain[-1], TypeError) and "NoneType" in str(chain[-1]):
        return UsageError(f"a setting of the model or the data has no value (null): {one_line(chain[-1])}; give it one")
    return next((known for link in reversed(chain) if (known := _foreign(link))), None)


def _chain(error: BaseException) -> list[BaseException]:
    """An exception, its cause, and so on."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain


def _foreign(error: BaseException) -> MusicClsError | None:
    """An error of a library that a user can fix."""
    of_group = type(error).__name__.startswith("Dist")  # DistNetworkError and others of torch.distributed
    if isinstance(error, RuntimeError) and (of_group or _PEER.search(str(error))):
        return UsageError(
            "another process of this run ended, so that this one stops; saved checkpoints stay, and fit resumes from "
            "them with --ckpt_path last"
        )
    if found := _MONITOR.search(str(error)):
        return UsageError(f"--checkpoint.monitor {found[1]}: no such metric; use one of {found[2]}")
    if isinstance(error, ModuleNotFoundError) and "not met" in str(error):  # an optional package of Lightning's
        return UsageError(one_line(error))
    if type(error).__name__ == "MisconfigurationException":
        return UsageError(f"{str(error).rstrip('.!')}; check the --trainer options, as --trainer.accelerator")
    if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
        where = f"{error.filename}: " if error.filename else ""
        return UsageError(f"{where}cannot be written ({error.strerror}); free space there or choose another folder")
    return None
