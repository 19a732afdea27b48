"""Files behind URLs as paths: names, sizes and times are those of any path; the content is fetched to be read."""

from __future__ import annotations

import errno
import logging
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote
from urllib.request import url2pathname

from musicgen_cls.errors import UsageError, counted
from musicgen_cls.files import as_path, is_url
from musicgen_cls.remote.connection import PATIENCE_S, Connection

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Requests at the same time, for small objects and for sizes."""

_FILE = "file://"
_JOINED = re.compile(r"^([A-Za-z][\w+.-]+):/+")
_TIMES = ("LastModified", "mtime", "last_modified", "updated", "created")  # names in the file systems of fsspec
_TAGS = ("ETag", "etag")

T = TypeVar("T")


def as_place(typed: str | os.PathLike[str], option: str) -> Path:
    """The path that a user typed, as `as_path`; a `Url` for a URL.

    Args:
        typed: the name.
        option: the argument that took it, for errors.

    Raises:
        UsageError: no file can have this name, or a URL has nothing after its scheme.
    """
    text = _local(os.fspath(typed))
    if not is_url(text):
        return as_path(text, option)
    if not text.partition("://")[2].strip("/"):
        raise UsageError(f"{option} {text}: names no place; give a URL like s3://bucket/music")
    return Url(text)


def _local(text: str) -> str:
    """The path in a URL of a file on this machine, such as `file:///music`; any other text as it is."""
    return url2pathname(text.removeprefix(_FILE)) if text.startswith(_FILE) else text


def path_of(text: str) -> Path:
    """The path that `str` wrote: of a file on this machine, or a `Url`."""
    return Url(text) if is_url(text) else Path(text)


def absolute(path: str | os.PathLike[str]) -> str:
    """The absolute path, as text; links stay, which `Path.resolve` would replace. A URL is absolute."""
    text = os.fspath(path)
    return text if is_url(text) else os.path.abspath(text)  # noqa: PTH100  much faster than Path.absolute


def within(folder: Path, text: str) -> Path:
    """The path of a name in a list: a URL, an absolute path, or relative to the folder of the list."""
    text = _local(text)
    if is_url(text) or not isinstance(folder, Url):
        return Url(text) if is_url(text) else folder / text
    return Path(text) if text.startswith("/") else folder.joined(text)


class Url(type(Path())):  # type: ignore[misc]  # Path has no subclasses of its own before Python 3.12
    """A file or folder behind a URL, for whatever fsspec reads.

    Its size and time come from the list that it was found in, or are asked for once. A file that changes has another
    size, or another time: the seconds are those of its last change, the nanoseconds come from its ETag.
    """

    _stat: os.stat_result | None = None

    def __str__(self) -> str:
        return _JOINED.sub(r"\1://", super().__str__().replace(os.sep, "/"), count=1)

    def absolute(self) -> Self:
        """The URL itself: it is absolute."""
        return self

    def resolve(self, strict: bool = False) -> Self:
        """The URL itself."""
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size and time.

        Raises:
            FileNotFoundError: there is no such file.
            StoreError: the server fails, or refuses.
        """
        if self._stat is None:
            found = self._asked(_info)
            if found is None or found["type"] != "file":
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
            self._stat = _stat(found)
        return self._stat

    def is_file(self) -> bool:
        """Whether there is such a file."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether there are files below."""
        return bool(self.below())

    def exists(self) -> bool:
        """Whether there is such a file, or files below."""
        return self.is_file() or self.is_dir()

    def open(self, mode: str = "r", *_: Any, encoding: str | None = None, newline: str | None = None, **__: Any) -> Any:
        """The content, in memory; for small files.

        Raises:
            FileNotFoundError: there is no such file.
            StoreError: the server fails, or refuses.
        """
        self.stat()
        content = BytesIO(self._asked(lambda files, _, name: files.cat_file(name)))
        return content if "b" in mode else TextIOWrapper(content, encoding, newline=newline)

    def fetch(self, path: Path) -> None:
        """Copy the content to a file on this machine.

        Raises:
            FileNotFoundError: there is no such file.
            StoreError: the server fails, or refuses; or the disk is full.
        """

        def fetched(files: Any, root: str) -> bool:
            try:
                files.get_file(self._name(root), str(path))
            except FileNotFoundError:
                return False
            return True

        if not self._connection.patient(str(self), "cannot be fetched", fetched):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))

    def below(self) -> list[Self]:
        """The files below, at any depth, with their sizes and times.

        Raises:
            StoreError: the server fails, or refuses, or has no such bucket.
        """
        return self._known(self._asked(_listed))

    def matches(self) -> list[Self]:
        """The files that this URL is a pattern of, such as `s3://bucket/*.mp3`, sorted; none if it is no pattern.

        Raises:
            StoreError: the server fails, or refuses.
        """
        if not any(sign in str(self) for sign in "*?["):
            return []
        return self._known(self._asked(_matching))

    def as_uri(self) -> str:
        """The URL with escapes in place of all characters that URLs cannot have."""
        return quote(str(self), safe=":/")

    def joined(self, name: str) -> Self:
        """The URL of a name relative to this one; `..` is the folder above."""
        name = posixpath.normpath("/".join([*self.parts[2:], name]))
        return type(self)(f"{self._connection.url}/{name}")

    def _known(self, found: list[_Found]) -> list[Self]:
        """The URLs of files in the same bucket, sorted."""
        urls, odd = list[Self](), list[str]()
        for name, info in found:
            url = type(self)(f"{self._connection.url}/{name}")
            url._stat = _stat(info)
            if "/".join(url.parts[2:]) == name:
                urls.append(url)
            else:
                odd.append(name)
        if odd:
            what = f"{counted(len(odd), 'file')} left out, whose names have an empty folder or a dot as a folder"
            log.warning("%s: %s; rename them, the first: %s", self, what, odd[0])
        return sorted(urls, key=lambda url: url.parts)

    def _asked(self, work: Callable[[Any, str, str], T]) -> T:
        """The result of a request, from the file system, the name of the bucket in it, and the name of this file."""
        return self._connection.patient(
            str(self), "cannot be read", lambda files, root: work(files, root, self._name(root)), PATIENCE_S
        )

    def _name(self, root: str) -> str:
        """The name in a file system, whose name of the bucket is `root`."""
        return "/".join([root, *self.parts[2:]])

    @property
    def _connection(self) -> Connection:
        return bucket_connection("//".join(self.parts[:2]))


def with_sizes(paths: Iterable[Path]) -> list[Path]:
    """The paths, after the sizes and times of all URLs were asked for, many at the same time.

    Raises:
        StoreError: the server fails, or refuses.
    """
    paths = list(paths)
    unknown = [path for path in paths if isinstance(path, Url) and path._stat is None]
    if not unknown:
        return paths
    from tqdm import tqdm

    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = pool.map(Url.is_file, unknown)
        try:
            for _ in tqdm(asked, "Sizes", len(unknown), unit="file", delay=2):
                pass
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return paths


@lru_cache(maxsize=64)
def bucket_connection(place: str) -> Connection:
    """The connection to a bucket; one for each process, since it is not pickled."""
    return Connection(place)


_Found = tuple[str, dict[str, Any]]
"""The name of a file in its bucket, and what the file system says about it."""


def _info(files: Any, _: str, name: str) -> dict[str, Any] | None:
    """What the file system says about a file; None if there is no such file."""
    try:
        return dict(files.info(name))
    except FileNotFoundError:
        return None


def _listed(files: Any, root: str, name: str) -> list[_Found]:
    """The files below a name."""
    found = files.find(name, detail=True)
    return _only_files(root, {path: info for path, info in found.items() if path.startswith(f"{name}/")})


def _matching(files: Any, root: str, pattern: str) -> list[_Found]:
    """The files that match a pattern."""
    return _only_files(root, files.glob(pattern, detail=True))


def _only_files(root: str, found: dict[str, Any]) -> list[_Found]:
    """Without placeholders of folders, which some programs write."""
    return [
        (path[len(root) + 1 :], info)
        for path, info in found.items()
        if info["type"] == "file" and not path.endswith("/")
    ]


def _stat(info: dict[str, Any]) -> os.stat_result:
    """Size and time from what a file system of fsspec says about a file."""
    size = int(info.get("size") or 0)
    moment = _seconds(next((info[name] for name in _TIMES if info.get(name)), 0))
    tag = next((info[name] for name in _TAGS if info.get(name)), None)
    ns = int(moment * 1e9)
    if tag is not None:  # some servers give fractions of seconds in lists only
        ns = int(moment) * 10**9 + int.from_bytes(blake2b(str(tag).encode(), digest_size=8).digest()) % 10**9
    return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, size, ns // 10**9, ns // 10**9, 0), {"st_mtime_ns": ns})


def _seconds(moment: datetime | str | float) -> float:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)
