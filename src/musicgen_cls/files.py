"""Where this package keeps what it can make again."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP, ENAMETOOLONG
from functools import cache
from getpass import getuser
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

from musicgen_cls.errors import UsageError

CACHE_VARIABLE = "MUSICGEN_CLS_CACHE"

_LEFT_S = 6 * 3600.0  # a temporary file of another machine that is older belongs to a killed process
_TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)(\.[^.]*)?", re.DOTALL)
NAME_BYTES = 255  # the longest name of a file on every common file system
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')  # to Windows, or as a part of a path
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\s*(\..*)?", re.IGNORECASE | re.DOTALL)  # devices of Windows
_HASHED = re.compile(r".*~[0-9a-f]{8}", re.DOTALL)


def as_path(typed: str | os.PathLike[str], option: str) -> Path:
    """The path that a user means: the file of exactly this name if there is one, else with `~` as the home folder.

    `~name` stays as it is where no user of that name is known, as in a shell.

    Args:
        typed: what the user typed.
        option: the argument that it was given to, for the error, as `--out`.

    Raises:
        UsageError: no file can have this name.
    """
    text = os.fspath(typed)
    try:
        path = Path(text) if os.path.lexists(text) else Path(os.path.expanduser(text))  # noqa: PTH111  keeps ~unknown
        longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
        if longest > NAME_BYTES:
            raise UsageError(
                f"{option} {text}: one name in it has {longest} bytes, and file systems take {NAME_BYTES}; shorten it"
            )
        path.lstat()
    except ValueError as error:  # a NUL character, or half of a surrogate pair
        raise UsageError(f"{option} {text!r}: no file can have this name; name another") from error
    except OSError as error:
        if error.errno in (ENAMETOOLONG, ELOOP):
            raise UsageError(f"{option} {text}: {error.strerror}; name another path") from error
    return path


def shown(text: str | os.PathLike[str]) -> str:
    r"""A path or file name as text that can be printed and written: bytes that are not UTF-8 become `\xe9`."""
    text = os.fspath(text)
    if text.isascii():
        return text
    characters = (rf"\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in text)
    return "".join(characters).encode("utf-8", "backslashreplace").decode()


def check_regular(path: Path, option: str, limit: int) -> None:
    """Raise `UsageError` if a path is no regular file, such as a device, or holds more than `limit` bytes."""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise UsageError(f"{option} {path}: {kind}, not a file; name a file")
    if path.is_file() and (size := path.stat().st_size) > limit:
        raise UsageError(f"{option} {path}: {size / 1e6:.0f} MB, but at most {limit / 1e6:g} MB are read; name another")


def cache_root() -> Path:
    """The cache folder, which need not exist: what `MUSICGEN_CLS_CACHE` names, else `musicgen_cls` in the user's."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return as_path(folder, CACHE_VARIABLE)
    from platformdirs import user_cache_path

    folder_of_user = user_cache_path("musicgen_cls", appauthor=False)
    return folder_of_user if folder_of_user.is_absolute() else Path(gettempdir()) / f"musicgen_cls-{getuser()}"


def check_writable(folder: Path, option: str) -> None:
    """Make a folder and raise `UsageError`, naming the option that chooses another, if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot write there ({error.strerror}); give another folder with {option}"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write under; renamed to `path` at the end, removed if anything goes wrong.

    The first use in a folder removes what killed processes left there under such names.

    Raises:
        UsageError: `path` is there and no file: a device, such as /dev/null, is not to be replaced by one.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: {'a folder' if path.is_dir() else 'a device or a pipe'}; name a file to write")
    _remove_leftovers(path.parent.absolute())
    suffix = path.suffix if len(path.suffix) < 16 else ""
    tail = f".{_host()}-{os.getpid()}{suffix}"
    temporary = path.with_name(f".{shortened(path.stem, NAME_BYTES - 1 - len(os.fsencode(tail)))}{tail}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def safe_name(text: str, limit: int = 120) -> str:
    """A name of a file or folder for any text, such as a genre: the text itself where every file system takes it.

    Else characters that cannot stand in it are replaced, and a hash of the text is put behind it: different texts get
    different names.

    Args:
        text: anything.
        limit: the longest name, bytes; leave room for an ending.
    """
    safe = _UNSAFE.sub("_", text).strip(" .") or "_"
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    if safe == text and text and not _HASHED.fullmatch(text) and len(text.encode()) <= limit:
        return text
    tail = "~" + blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return safe.encode()[: limit - len(tail)].decode(errors="ignore").rstrip(" .") + tail


def shortened(name: str, limit: int = NAME_BYTES) -> str:
    """A name of at most `limit` bytes: the name itself, or its start and a hash that keeps it apart from others."""
    if len(os.fsencode(name)) <= limit:
        return name
    tail = "~" + blake2b(os.fsencode(name), digest_size=4).hexdigest()
    while name and len(os.fsencode(name)) > limit - len(tail):
        name = name[:-1]
    return name + tail


@cache
def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes of this machine that are gone, and those of others after hours."""
    with suppress(OSError):  # another process may remove them too
        for left in folder.glob(".*-*"):
            if found := _TEMPORARY.fullmatch(left.name):
                old = time.time() - left.stat().st_mtime > _LEFT_S
                if old or (found[1] == _host() and not _alive(int(found[2]))):
                    left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    """Whether a process of this number runs; True where the system cannot be asked without harm."""
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
    """A short name of this machine: the process numbers of another one, on a shared disk, mean nothing here."""
    return blake2b(platform.node().encode(), digest_size=4).hexdigest()
