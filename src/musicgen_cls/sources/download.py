"""Fetch an archive from the first address that gives it whole, and leave nothing half-done behind."""

from __future__ import annotations

import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from musicgen_cls.errors import SourceError

RETRIES = 2  # more tries per address; pooch waits 1 s before the first, 2 s before the second

_BAD_ARCHIVE = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar (of any compression) or zip into `folder`; members that would land outside it are refused."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    else:
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)


def fetch(
    name: str,
    addresses: Sequence[tuple[str, str]],
    folder: Path,
    unpack: Callable[[Path, Path], None] = unpack,
) -> None:
    """Download `name` from the first of `addresses` that works and unpack it into `folder`.

    Each address is a url and the sum of its file, "md5:...", "sha1:..." or "sha256:...". What the archive holds at its
    top must not be in `folder` yet. Both the file and what is in it lie under temporary names until they are complete.

    Raises `SourceError`, one line with every address and why it failed.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        _fetch(name, addresses, folder, unpack)
    except BaseException:
        _remove_empty(made)
        raise


def _fetch(name: str, addresses: Sequence[tuple[str, str]], folder: Path, unpack: Callable[[Path, Path], None]) -> None:
    failures = []
    for url, checksum in addresses:
        print(f"{name}: downloading {url}", file=sys.stderr)
        try:
            archive = _download(url, checksum, folder)
            _unpack_whole(archive, folder, unpack)
        except OSError as error:
            raise SourceError(f"{name}: cannot write to {folder}: {error}") from error
        except _Failure as failure:
            failures.append(f"{url} ({failure})")
        else:
            return
    raise SourceError(f"{name} could not be downloaded: {', '.join(failures)}")


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove those of the folders, the innermost first, that hold nothing."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


class _Failure(Exception):
    """Why one address did not give the archive, in a few words."""


def _download(url: str, checksum: str, folder: Path) -> Path:
    """The verified file of `url` in `folder`; one that is there already, and right, is not fetched again."""
    import pooch
    import requests

    file = Path(urlsplit(url).path).name
    pooch.get_logger().setLevel("WARNING")
    fetcher = pooch.Pooch(
        path=folder, base_url="", registry={file: checksum}, urls={file: url}, retry_if_failed=RETRIES
    )
    downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16)
    try:
        return Path(fetcher.fetch(file, downloader=downloader))
    except (requests.RequestException, ValueError) as error:
        raise _Failure(_reason(error)) from error


def _reason(error: Exception) -> str:
    """What went wrong on the way, in a few words."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return "wrong checksum" if type(error) is ValueError else type(error).__name__


def _unpack_whole(archive: Path, folder: Path, unpack: Callable[[Path, Path], None]) -> None:
    """Unpack beside the goal, rename when all of it is there, and drop the archive."""
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
        try:
            unpack(archive, Path(temporary))
        except _BAD_ARCHIVE as error:
            archive.unlink()
            raise _Failure("not a sound archive") from error
        for part in sorted(Path(temporary).iterdir()):
            part.rename(folder / part.name)
    archive.unlink()
