"""What went wrong, in one line: from the long messages of parsers to the words a user needs."""

from __future__ import annotations

import difflib
import errno
import inspect
import os
import re
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from musicgen_cls.cli.console import check_printed, consoles, say
from musicgen_cls.errors import MusicClsError, SourceError, UsageError, one_line

_NOT_WRITABLE = {errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS}

_OPTION = re.compile(r"Option '([^']+)' is not accepted|recognized arguments: (\S+)|Key '([^']+)' is not expected")
_REQUIRED = re.compile(r"following arguments are required: (.*)")
_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_LITERAL = re.compile(r"Literal\[(.*?)\].*?Got value: (\S*)", re.DOTALL)
_UNION = re.compile(r"Union subtypes\s+Subtypes: \[(.*)\]\s+Errors:.*Given value: (.*)", re.DOTALL)
_BEFORE = re.compile(r"NestedArg\(key='([^']+)'")
_MONITOR = re.compile(r"ModelCheckpoint\(monitor='(.*?)'\).*returned metrics: \[(.*?)\]", re.DOTALL)
_PEER = re.compile(r"gloo|NCCL|Connection (?:closed|reset) by peer|connectFullMesh", re.IGNORECASE)
_NO_MEMORY = re.compile(r"can't allocate memory|out of memory|integer multiplication overflow|Storage size calc", re.I)
_TYPE = re.compile(r"Expected an? <class '([\w.]+)'>.*?Got value: (\S*)", re.DOTALL)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does: with its processes, and nothing half-written."""


def told(command: Callable[[], object], stopped: str = "the same command resumes it") -> int:
    """Run a command; return the exit status: 0, 2 for a user's mistake, told in one line, 128 + N for signal N.

    Args:
        command: what to run.
        stopped: what to say where a signal ends it.
    """
    with consoles():
        return _status(command, stopped)


def _status(command: Callable[[], object], stopped: str) -> int:
    try:
        with _terminable():
            command()
            check_printed()
    except (KeyboardInterrupt, SystemExit) as leaving:
        number = _signal(leaving)
        if number is None:
            raise
        say(f"musiccli: stopped; {_advice(leaving) or stopped}")
        return 128 + number
    except Exception as error:
        if (number := _signal(error)) is not None:  # it struck where some library makes another error of it
            say(f"musiccli: stopped; {stopped}")
            return 128 + number
        cause = user_error(error)
        if cause is None:
            raise
        if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes one tells it
            say(f"musiccli: error: {one_line(cause)}")
        return 2
    return 0


@contextmanager
def _terminable() -> Iterator[None]:
    """Make an exception of SIGTERM."""

    def terminate(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """While modules are imported, leave the process on SIGTERM or Ctrl-C: libraries swallow exceptions there."""

    def leave(number: int, _: object) -> None:
        os.write(2, b"musiccli: stopped before it began\n")
        os._exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(leaving: BaseException) -> int | None:
    """The signal that a process is left for; Lightning makes exits of them."""
    link: BaseException | None = leaving
    while link is not None:
        if isinstance(link, KeyboardInterrupt):
            return signal.SIGTERM if isinstance(link, Terminated) else signal.SIGINT
        link = link.__cause__ or link.__context__
    return None


def _advice(leaving: BaseException) -> str:
    """How the command is taken up again, where the command has noted it."""
    return next(iter(getattr(leaving, "__notes__", ())), "")


def command_parser(
    command: Callable[..., object],
    as_positional: bool = False,
    classes: Iterable[type] = (),
    listed: str | None = None,
) -> Any:
    """A jsonargparse parser for the arguments of a function, the command of its name; mistakes are `UsageError`.

    Args:
        command: the function; its docstring is the help.
        as_positional: whether arguments without a default come without their names.
        classes: those that a name may stand for, to offer the nearest.
        listed: an argument that comes without its name, as any number of strings.
    """
    from jsonargparse import ArgumentParser

    from musicgen_cls.cli import configs
    from musicgen_cls.cli.help import EXAMPLES

    class Parser(ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            said = explain(message, options, names)
            if re.match("no option '(model|data|trainer)\\b", said):  # without dashes: in a file
                said = f"--config: a config of fit; {command.__name__} takes {', '.join(sorted(options))} only"
            raise UsageError(said) from ex

        def parse_args(self, args: Any = None, *more: Any, **named: Any) -> Any:
            found = super().parse_args(configs.checked(args)[0], *more, **named)
            if empty := next((name for name in options if found.get(name) == ""), None):
                raise UsageError(f"--{empty}: nothing is said behind it; say something, or leave it out")
            return found

    options, names = set(inspect.signature(command).parameters), [cls.__name__ for cls in classes]
    description = (command.__doc__ or "").splitlines()[0]
    name = command.__name__
    example = f"Example: {EXAMPLES[name]}" if name in EXAMPLES else None
    parser = Parser(
        prog=f"musiccli {name}",
        usage=f"musiccli {name} [OPTIONS]",
        description=description,
        epilog=example,
        print_config=None,
    )
    if listed:
        parser.add_argument(listed, nargs="*", type=str)
    parser.add_function_arguments(command, as_positional=as_positional, skip={listed} if listed else None)
    return parser


@contextmanager
def source_of_its_own() -> Iterator[None]:
    """Errors of sources as a command tells them that takes a source itself: they are worded for fit's data."""
    try:
        yield
    except SourceError as error:
        raise SourceError(str(error).replace("--data.source", "--source")) from None


def explain(message: str, options: Collection[str] = (), classes: Iterable[str] = ()) -> str:
    """A parser's message as one line that names the argument, the value and the remedy.

    Args:
        message: as jsonargparse words it.
        options: names of the arguments of all classes, of which the nearest is offered for a misspelt one.
        classes: names of classes, likewise.
    """
    keys = re.findall(r'Parser key "([^"]+)"', message)
    where = f"{keys[-1]}: " if keys else ""
    if found := _OPTION.search(message):
        name = next(group for group in found.groups() if group)
        if not name.startswith("-") and "recognized arguments" in message:
            return f"'{name}' belongs to no option; files to predict are named after --data.files"
        last = name.lstrip("-").split("=")[0].rpartition(".")[2]
        if last in options:  # of another class than the one that was named
            return f"no option '{name}' here: the class or command that is named does not take it"
        return f"no option '{name}'{_nearest(last, options)}"
    if found := _BEFORE.search(message):
        name = keys[-1] if keys else "data"
        return f"name the class before its arguments, --{name} before --{name}.{found[1]}"
    if "are required" in message and ".model" in message:
        return "no model and data: name a config, as --config configs/quickstart.yaml"
    if found := _REQUIRED.search(message):
        return f"missing: {found[1]}; musiccli COMMAND --help tells what they are"
    if found := _CLASS.search(message):
        return f"{where}no class '{found[1]}'{_nearest(found[1], classes)}"
    if found := _LITERAL.search(message):
        choices = re.findall(r"'([^']*)'", found[1])
        return f"{where}'{found[2]}' is not one of {', '.join(choices)}{_nearest(found[2], choices)}"
    if found := _UNION.search(message):
        kinds = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", found[1]).replace("typing.", "").replace("NoneType", "null")
        near = _nearest(found[2].strip(), re.findall(r"'([^']*)'", kinds))
        return f"{where}'{found[2].strip()}' is none of {one_line(kinds)}{near}"
    if found := _TYPE.search(message):
        return f"{where}'{found[2]}' is not of type {found[1]}"
    return one_line(message.removeprefix("Parser key ").replace('"config": ', "--config: "))


def user_error(error: BaseException) -> MusicClsError | None:
    """What in a chain of exceptions a user can mend; None if it is our own mistake.

    That is the one of our own errors at the bottom of the chain; failing that, a setting that Lightning refuses or a
    folder that cannot be written.
    """
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    for link in reversed(chain):
        if isinstance(link, MusicClsError):
            return link
    if any(isinstance(link, MemoryError) or _NO_MEMORY.search(str(link)) for link in chain):
        return UsageError(
            "not enough memory; take a smaller network (--model.network.width), --data.batch_size or window"
        )
    if any("Union subtypes" in str(link) for link in chain) and isinstance(
        chain[-1], ValueError | RuntimeError | ImportError
    ):
        return UsageError(one_line(chain[-1]))  # an argument that a class refused when it was made
    return next((mendable for link in reversed(chain) if (mendable := _foreign(link))), None)


def _foreign(error: BaseException) -> MusicClsError | None:
    if isinstance(error, RuntimeError) and _PEER.search(str(error)):
        return UsageError(
            "another process of this run ended, so that this one cannot go on; what is saved stays, and fit resumes "
            "from it with --ckpt_path last"
        )
    if found := _MONITOR.search(str(error)):
        return UsageError(f"--checkpoint.monitor {found[1]}: there is no such figure; there are {found[2]}")
    if isinstance(error, ModuleNotFoundError) and "not met" in str(error):  # of a package that Lightning can do without
        return UsageError(one_line(error))
    if type(error).__name__ == "MisconfigurationException":
        return UsageError(f"{str(error).rstrip('.!')}; check the --trainer options, as --trainer.accelerator")
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        where = f"{error.filename}: " if error.filename else ""
        return UsageError(f"{where}cannot be written ({error.strerror}); free space there or choose another folder")
    return None


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
