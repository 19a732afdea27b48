"""Download an archive from the first address that works, and leave no partial files."""

from __future__ import annotations

import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from musicgen_cls.errors import SourceError

RETRIES = 2  # for each address; pooch waits 1 s before the first retry and 2 s before the second

_BAD_ARCHIVE = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar (with any compression) or zip into `folder`; members with paths outside it are refused."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(folder, filter="data")
            else:  # Python before 3.11.4, as in Debian 12
                _check_members(tar, folder)
                tar.extractall(folder)
    else:
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)


def _check_members(tar: tarfile.TarFile, folder: Path) -> None:
    """Raise `TarError` for a member that is no file or folder, or has a path outside `folder`."""
    for member in tar:
        if not (member.isfile() or member.isdir()) or not (folder / member.name).resolve().is_relative_to(
            folder.resolve()
        ):
            raise tarfile.TarError(f"{member.name}: a link, a device, or a path outside the folder")


def fetch(
    name: str,
    addresses: Sequence[tuple[str, str]],
    folder: Path,
    unpack: Callable[[Path, Path], None] = unpack,
) -> None:
    """Download `name` from the first of `addresses` that works and unpack it into `folder`.

    Each address is a url and the checksum of its file, "md5:...", "sha1:..." or "sha256:...". The top-level entries of
    the archive must not exist in `folder` yet. The archive and its content have temporary names until they are
    complete.

    Raises:
        SourceError: every address failed; the line names each with the reason.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        _fetch(name, addresses, folder, unpack)
    except BaseException:
        _remove_empty(made)
        raise


def _fetch(name: str, addresses: Sequence[tuple[str, str]], folder: Path, unpack: Callable[[Path, Path], None]) -> None:
    def fetch_one(url: str, checksum: str) -> Path:
        archive = _download(url, checksum, folder)
        _unpack_whole(archive, folder, unpack)
        return archive

    try:
        archive, failures = _first(name, addresses, fetch_one)
    except OSError as error:
        raise SourceError(f"{name}: cannot write to {folder}: {error}") from error
    if archive is None:
        raise SourceError(f"{name} could not be downloaded: {failures}")


def download(name: str, addresses: Sequence[tuple[str, str]], folder: Path) -> tuple[Path | None, str]:
    """Download a file into `folder` from the first of `addresses` that works; see `fetch`.

    Returns:
        The file, or None; and the addresses that failed, with the reasons.
    """
    return _first(name, addresses, partial(_download, folder=folder))


def _first(
    name: str, addresses: Sequence[tuple[str, str]], attempt: Callable[[str, str], Path]
) -> tuple[Path | None, str]:
    """The result for the first address that works, or None; and the addresses that failed, with the reasons."""
    failures: list[str] = []
    for url, checksum in addresses:
        print(f"{name}: downloading {url}", file=sys.stderr)
        try:
            return attempt(url, checksum), ", ".join(failures)
        except _Failure as failure:
            failures.append(f"{url} ({failure})")
    return None, ", ".join(failures)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove the empty ones of the folders, which are ordered from the innermost."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


class _Failure(Exception):
    """The reason why one address failed, in a few words."""


def _download(url: str, checksum: str, folder: Path) -> Path:
    """The verified file of `url` in `folder`; a file with the right checksum is not downloaded again."""
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
    """The reason of a failed download, in a few words."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was lost"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return "wrong checksum" if type(error) is ValueError else type(error).__name__


def _unpack_whole(archive: Path, folder: Path, unpack: Callable[[Path, Path], None]) -> None:
    """Unpack into a temporary folder, move the complete content into `folder`, and delete the archive."""
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
        try:
            unpack(archive, Path(temporary))
        except _BAD_ARCHIVE as error:
            archive.unlink()
            raise _Failure("the archive is damaged") from error
        for part in sorted(Path(temporary).iterdir()):
            part.rename(folder / part.name)
    archive.unlink()
