"""Objects in a folder or in object storage; what fails for good is an error of one line that names the URL."""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from musicgen_cls.errors import UsageError
from musicgen_cls.files import writing
from musicgen_cls.remote.connection import PATIENCE_S, Connection
from musicgen_cls.remote.failures import failed
from musicgen_cls.remote.url import AT_ONCE, Url, as_place


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
        UsageError: a URL has nothing after its scheme, or the folder is a file.
    """
    place = as_place(root, option)
    if not isinstance(place, Url) and place.is_file():
        raise UsageError(f"{option} {place}: a file; name a folder")
    return Bucket(root, option) if isinstance(place, Url) else Folder(place)


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
        sizes: dict[str, int] = {}
        try:
            with os.scandir(self.folder) as found:
                for entry in found:
                    with suppress(FileNotFoundError):  # a temporary file that another writer has just renamed
                        if entry.is_file():
                            sizes[entry.name] = entry.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise failed(self.url, "cannot be read", error) from error
        return sizes

    def read(self, names: Sequence[str]) -> list[bytes]:
        """The contents of files."""
        try:
            return [(self.folder / name).read_bytes() for name in names]
        except OSError as error:
            raise failed(str(error.filename), "cannot be read", error) from error

    def write(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name, and rename it."""
        try:
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
    """Object storage, or whatever else fsspec has for a URL. A failed operation is tried again."""

    def __init__(self, url: str, option: str) -> None:
        super().__init__(url)
        self.connection = Connection(url, option)

    def sizes(self) -> dict[str, int]:
        """The size of each object, bytes."""

        def listed(files: Any, root: str) -> dict[str, int]:
            try:
                found = files.ls(root, detail=True)
            except FileNotFoundError:  # no bucket, or nothing there
                return {}
            return {entry["name"].rpartition("/")[2]: int(entry["size"] or 0) for entry in found}

        return self.connection.patient(self.url, "cannot be read", listed, PATIENCE_S)

    def read(self, names: Sequence[str]) -> list[bytes]:
        """The contents of objects, which are fetched at the same time."""

        def content(files: Any, root: str) -> list[bytes]:
            with ThreadPoolExecutor(AT_ONCE) as pool:  # `cat` would ask for each object twice
                return list(pool.map(lambda name: files.cat_file(f"{root}/{name}"), names))

        return self.connection.patient(self.address(names[0]), "cannot be read", content, PATIENCE_S) if names else []

    def write(self, name: str, content: bytes) -> None:
        """Put an object; object storage shows it when it is whole."""
        work: Callable[[Any, str], None] = lambda files, root: files.pipe_file(f"{root}/{name}", content)  # noqa: E731
        self.connection.patient(self.address(name), "cannot be written", work)

    def place(self, name: str) -> Path | None:
        """None: an object must be fetched."""
        return None

    def fetch(self, name: str, path: Path, digest: str, patient: bool = True) -> None:
        """Copy an object to a file; one that arrives damaged is fetched again."""

        def fetched(files: Any, root: str) -> None:
            files.get_file(f"{root}/{name}", str(path))
            if digest_of(path) != digest:
                raise OSError("it arrives with another checksum than it was written with")

        self.connection.patient(self.address(name), "cannot be fetched", fetched, math.inf if patient else 0.0)
