"""Objects in a folder or in object storage; what fails for good is an error of one line that names the URL."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from musicgen_cls.errors import UsageError, one_line
from musicgen_cls.files import as_path, writing
from musicgen_cls.shards.failures import cause, failed, is_final

log = logging.getLogger(__name__)

WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Waits between the attempts, s."""

PATIENCE_S = 10.0
"""After this time, s, a list or a small object is not tried again: a dead server is noticed within a minute."""

_CONNECT_S, _READ_S = 5, 15
_AT_ONCE = 16  # small objects

T = TypeVar("T")


class Url(type(Path())):  # type: ignore[misc]  # Path has no subclasses of its own before Python 3.12
    """A URL as a path, for messages and names: `Path` would print `s3:/bucket` for `s3://bucket`."""

    def __str__(self) -> str:
        scheme, _, rest = super().__str__().replace("\\", "/").partition(":/")
        return f"{scheme}://{rest.lstrip('/')}"

    def resolve(self, strict: bool = False) -> Url:
        """The URL itself: it is absolute."""
        return self


def is_url(root: str) -> bool:
    """Whether a text is a URL, not a folder."""
    return "://" in root


class Storage(ABC):
    """A place for objects with names without separators.

    Args:
        url: the place, for messages.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The size of each object, bytes; empty if there is no such place."""

    @abstractmethod
    def read(self, names: Sequence[str]) -> list[bytes]:
        """The contents of small objects.

        Raises:
            StoreError: one cannot be read.
        """

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write an object, whole or not at all.

        Raises:
            StoreError: it cannot be written.
        """

    @abstractmethod
    def place(self, name: str) -> Path | None:
        """The file of an object on this machine; None if it must be fetched."""

    @abstractmethod
    def fetch(self, name: str, path: Path, digest: str, patient: bool = True) -> None:
        """Copy an object to a file.

        If it is not `patient`, a failed attempt is the last one.

        Raises:
            StoreError: it cannot be fetched, or has another `digest_of`.
        """

    def address(self, name: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{name}"


def storage_of(root: str, option: str) -> Storage:
    """The storage of a folder or URL.

    Args:
        root: the folder or URL.
        option: the argument that took it, for errors.

    Raises:
        UsageError: a URL has nothing after its scheme.
    """
    if is_url(root) and not root.partition("://")[2].strip("/"):
        raise UsageError(f"{option} {root}: names no place; give a URL like s3://bucket/music")
    return Bucket(root, option) if is_url(root) else Folder(as_path(root, option))


def digest_of(content: bytes | memoryview | Path) -> str:
    """The checksum of an object, or of a file: 128 bits of BLAKE2b, hexadecimal."""
    found = hashlib.blake2b(digest_size=16)
    if isinstance(content, Path):
        with content.open("rb", buffering=0) as file:
            while block := file.read(1 << 22):
                found.update(block)
    else:
        found.update(content)
    return found.hexdigest()


class Folder(Storage):
    """A folder of this machine, or of a network disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder

    def sizes(self) -> dict[str, int]:
        """The size of each file, bytes."""
        try:
            with os.scandir(self.folder) as found:
                return {entry.name: entry.stat().st_size for entry in found if entry.is_file()}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise failed(self.url, "cannot be read", error) from error

    def read(self, names: Sequence[str]) -> list[bytes]:
        """The contents of files."""
        try:
            return [(self.folder / name).read_bytes() for name in names]
        except OSError as error:
            raise failed(str(error.filename), "cannot be read", error) from error

    def write(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name, and rename it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with writing(self.folder / name) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise failed(self.address(name), "cannot be written", error) from error

    def place(self, name: str) -> Path | None:
        """The file."""
        return self.folder / name

    def fetch(self, name: str, path: Path, digest: str, patient: bool = True) -> None:
        """Files of a folder are not copied."""
        raise NotImplementedError


class Bucket(Storage):
    """Object storage, or whatever else fsspec has for a URL. A failed operation is tried again, with growing waits."""

    def __init__(self, url: str, option: str) -> None:
        super().__init__(url)
        self.option = option
        self._opened: tuple[int, Any, str] | None = None

    def sizes(self) -> dict[str, int]:
        """The size of each object, bytes."""

        def listed(files: Any, root: str) -> dict[str, int]:
            try:
                found = files.ls(root, detail=True)
            except FileNotFoundError:  # no bucket, or nothing there
                return {}
            return {entry["name"].rpartition("/")[2]: int(entry["size"] or 0) for entry in found}

        return self._patient(self.url, "cannot be read", listed, PATIENCE_S)

    def read(self, names: Sequence[str]) -> list[bytes]:
        """The contents of objects, which are fetched at the same time."""

        def content(files: Any, root: str) -> list[bytes]:
            with ThreadPoolExecutor(_AT_ONCE) as pool:  # `cat` would ask for each object twice
                return list(pool.map(lambda name: files.cat_file(f"{root}/{name}"), names))

        return self._patient(self.address(names[0]), "cannot be read", content, PATIENCE_S) if names else []

    def write(self, name: str, content: bytes) -> None:
        """Put an object; object storage shows it when it is whole."""
        work: Callable[[Any, str], None] = lambda files, root: files.pipe_file(f"{root}/{name}", content)  # noqa: E731
        self._patient(self.address(name), "cannot be written", work)

    def place(self, name: str) -> Path | None:
        """None: an object must be fetched."""
        return None

    def fetch(self, name: str, path: Path, digest: str, patient: bool = True) -> None:
        """Copy an object to a file; one that arrives damaged is fetched again."""

        def fetched(files: Any, root: str) -> None:
            files.get_file(f"{root}/{name}", str(path))
            if digest_of(path) != digest:
                raise OSError("it arrives with another checksum than it was written with")

        self._patient(self.address(name), "cannot be fetched", fetched, math.inf if patient else 0.0)

    def _patient(self, url: str, what: str, work: Callable[[Any, str], T], patience_s: float = math.inf) -> T:
        """The result of an operation, which is tried again if the server fails.

        Args:
            url: what it is about, for errors.
            what: the failure in words.
            work: the operation, from the file system and the path of the storage in it.
            patience_s: time after which it is not tried again, s.
        """
        begun = time.monotonic()
        for wait in (*WAITS_S, None):
            try:
                return work(*self._files())
            except UsageError:
                raise
            except Exception as error:
                if is_final(error) or wait is None or time.monotonic() - begun >= patience_s:
                    raise failed(url, what, error) from error
                log.warning("%s: %s (%s); tried again in %g s", url, what, cause(error), wait)
                time.sleep(wait)
        raise AssertionError

    def _files(self) -> tuple[Any, str]:
        """The file system, and the path of the storage in it; a forked process needs its own."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), *_connected(self.url, self.option))
        return self._opened[1:]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_opened": None}


def _connected(url: str, option: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
        UsageError: fsspec does not know such URLs, or what it needs for them is not installed.
    """
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if url.startswith(("s3://", "s3a://")):
        # `Bucket` tries again; more attempts below it would multiply the time until a dead server is noticed.
        once = {"retries": {"total_max_attempts": 1}, "connect_timeout": _CONNECT_S, "read_timeout": _READ_S}
        options["config_kwargs"] = once
    try:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(url, **options)
    except ImportError as error:
        raise UsageError(
            f"{option} {url}: needs a library that is not installed ({one_line(error)}); run python -m pip install "
            "'musicgen_cls[stream]'"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{option} {url}: {one_line(error)}; give a folder, or a URL like s3://bucket/music"
        ) from error
    if "config_kwargs" in options:
        files.retries = 1
    return files, root.rstrip("/")
