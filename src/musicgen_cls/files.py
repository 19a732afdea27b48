"""Paths and file names: what users type, the cache folder, and writing files whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP, ENAMETOOLONG
from functools import cache
from getpass import getuser
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

from musicgen_cls.errors import UsageError, printable

CACHE_VARIABLE = "MUSICGEN_CLS_CACHE"

_LEFT_S = 6 * 3600.0  # an older temporary file of another machine belongs to a killed process
_MARK = ".musicgen_cls-"  # in the names of temporary files; hidden files of users can have any other name
_TEMPORARY = re.compile(r"\..*" + re.escape(_MARK) + r"([0-9a-f]{8})-(\d+)(\.[^.]*)?", re.DOTALL)
NAME_BYTES = 255  # the longest name of a file on every common file system
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')  # not allowed on Windows, or a separator
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\s*(\..*)?", re.IGNORECASE | re.DOTALL)  # devices on Windows
_URL = re.compile(r"[A-Za-z][\w+.-]+://")  # a drive of Windows has one letter
_HASHED = re.compile(r".*~[0-9a-f]{8}", re.DOTALL)


def is_url(text: str) -> bool:
    """Whether a text is a URL, not a path."""
    return _URL.match(text) is not None


def as_path(typed: str | os.PathLike[str], option: str) -> Path:
    """The path of a name that a user typed: an existing file of exactly this name, or else with `~` expanded.

    `~name` is unchanged if there is no user of that name, as in a shell.

    Args:
        typed: the name.
        option: the argument that took it, such as `--out`, for the error.

    Raises:
        UsageError: no file can have this name, or it is a URL.
    """
    text = os.fspath(typed)
    if not text:
        raise UsageError(f"{option}: the value is empty; give one, or leave the option out")
    if is_url(text):
        raise UsageError(f"{option} {text}: a URL; give a file or folder on this machine")
    try:
        path = Path(text) if os.path.lexists(text) else Path(os.path.expanduser(text))  # noqa: PTH111  keeps ~unknown
        longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
        if longest > NAME_BYTES:
            raise UsageError(
                f"{option} {text}: a name in it has {longest} bytes, but file systems allow {NAME_BYTES}; shorten it"
            )
        path.lstat()
    except ValueError as error:  # a NUL character, or half of a surrogate pair
        raise UsageError(f"{option} {text!r}: no file can have this name; give another") from error
    except OSError as error:
        if error.errno in (ENAMETOOLONG, ELOOP):
            raise UsageError(f"{option} {text}: {error.strerror}; give another path") from error
    return path


def shown(text: str | os.PathLike[str]) -> str:
    r"""A path or file name as printable text: control characters and bytes that are not UTF-8 become `\x0a`, `\xe9`."""
    text = os.fspath(text)
    if text.isascii() and text.isprintable():
        return text
    text = printable(text)
    characters = (rf"\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in text)
    return "".join(characters).encode("utf-8", "backslashreplace").decode()


def check_regular(path: Path, option: str, limit: int) -> None:
    """Raise `UsageError` if a path is not a regular file, or has more than `limit` bytes."""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise UsageError(f"{option} {path}: {kind}, not a file; name a file")
    if path.is_file() and (size := path.stat().st_size) > limit:
        raise UsageError(
            f"{option} {path}: {size / 1e6:.0f} MB, but {limit / 1e6:g} MB is the limit; name another file"
        )


def cache_root() -> Path:
    """The cache folder, which may not exist yet: `MUSICGEN_CLS_CACHE`, or else `musicgen_cls` in the user's cache."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return as_path(folder, CACHE_VARIABLE)
    from platformdirs import user_cache_path

    folder_of_user = user_cache_path("musicgen_cls", appauthor=False)
    return folder_of_user if folder_of_user.is_absolute() else Path(gettempdir()) / f"musicgen_cls-{getuser()}"


def check_writable(folder: Path, option: str) -> None:
    """Raise `UsageError`, which names the option for another folder, if a folder cannot be written or created.

    It is not created: `writing` does that with the first file, so that a failed command leaves no empty folder.
    """
    whole = folder.absolute()
    place = next(place for place in (whole, *whole.parents) if os.path.lexists(place))  # a link to nowhere counts
    try:
        with TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be written ({error.strerror}); give another folder with {option}"
        ) from error


def check_not_read(folder: Path, names: Iterable[str], inputs: Iterable[Path], option: str) -> None:
    """Raise `UsageError` if a file that a command writes into a folder would replace one that it reads."""
    places = [folder / name for name in names]
    for path in inputs:
        if any(place.exists() and path.exists() and place.samefile(path) for place in places):
            raise UsageError(f"{option} {folder}: would replace {path}, which this command reads; give another folder")


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`: it is renamed to `path` at the end, and removed after an error.

    Raises:
        UsageError: `path` exists and is not a file. A device, such as /dev/null, must not be replaced by a file.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: {'a folder' if path.is_dir() else 'a device or a pipe'}; name a file to write")
    with temporary_beside(path) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


@contextmanager
def alone(path: Path, out: Path | None = None) -> Iterator[None]:
    """Lock what a command writes; raise `UsageError` if another process is writing it.

    Some network disks have no locks. There the command runs without one.

    Args:
        path: a file; `.NAME.lock` beside it is the lock.
        out: what `--out` names, for the error; the file if None.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{shortened(path.name, NAME_BYTES - len('..lock'))}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"--out {out or path}: another process is writing it; wait for it, or name another") from None
    except OSError:  # the disk has no locks, or the folder cannot be written, which the command reports itself
        pass
    try:
        yield
    finally:
        if lock.is_locked:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """The path of a temporary file beside `path`, with its suffix; the file is removed at the end.

    The folder is created. The first call for a folder removes the temporary files of killed processes there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent.absolute())
    suffix = path.suffix if len(path.suffix) < 16 else ""
    tail = f"{_MARK}{_host()}-{os.getpid()}{suffix}"
    temporary = path.with_name(f".{shortened(path.stem, NAME_BYTES - 1 - len(os.fsencode(tail)))}{tail}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def safe_name(text: str, limit: int = 120) -> str:
    """The name of a file or folder for any text, such as a genre: the text itself if every file system allows it.

    Otherwise invalid characters are replaced, and a hash of the text is appended, so that different texts have
    different names.

    Args:
        text: any text.
        limit: the longest name, bytes; leave space for a suffix.
    """
    safe = _UNSAFE.sub("_", text).strip(" .") or "_"
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    if safe == text and text and not _HASHED.fullmatch(text) and len(text.encode()) <= limit:
        return text
    tail = "~" + blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return safe.encode()[: limit - len(tail)].decode(errors="ignore").rstrip(" .") + tail


def shortened(name: str, limit: int = NAME_BYTES) -> str:
    """A name of at most `limit` bytes: the name itself, or its start and a hash, so that names stay different."""
    if len(os.fsencode(name)) <= limit:
        return name
    tail = "~" + blake2b(os.fsencode(name), digest_size=4).hexdigest()
    while name and len(os.fsencode(name)) > limit - len(tail):
        name = name[:-1]
    return name + tail


@cache
def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of ended processes of this machine, and those of other machines after some hours.

    Args:
        folder: an absolute path; the function does nothing for a folder that it has seen.
    """
    for left in folder.glob(f".*{_MARK}*"):
        with suppress(OSError):  # another process may remove it too
            if found := _TEMPORARY.fullmatch(left.name):
                old = time.time() - left.stat().st_mtime > _LEFT_S
                if old or (found[1] == _host() and not _alive(int(found[2]))):
                    left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    """Whether a process runs; always True on Windows, where the check would end the process."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@cache
def _host() -> str:
    """A short name of this machine, since process ids on a shared disk can be those of another machine."""
    return blake2b(platform.node().encode(), digest_size=4).hexdigest()
