"""`musiccli embed`: vectors of recordings from a pretrained network, for search and for networks of one's own."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
import torch
from msgspec import Struct

from musicgen_cls.audio.io import Pcm, to_pcm
from musicgen_cls.cli.logs import configure_logs
from musicgen_cls.commands.journal import Journal, TrackLine, new_file, print_left_out, versions_of
from musicgen_cls.commands.workers import files_at_once, in_torch_threads
from musicgen_cls.datamodules.front_end import check_window
from musicgen_cls.datamodules.stream import stream_windows
from musicgen_cls.engines.on_ray import Cluster, Engine, cluster_of
from musicgen_cls.errors import AudioError, SourceError, UsageError, check_positive, counted
from musicgen_cls.files import alone, as_path, shown
from musicgen_cls.formats.vectors import SUFFIXES, Vector, Vectors, write_vectors
from musicgen_cls.memory import keep_memory
from musicgen_cls.models.backbones import Backbone
from musicgen_cls.pretrained.embedder import SHORTEST_S, Embedder, rows_of
from musicgen_cls.pretrained.load import digest_of, is_published, load
from musicgen_cls.remote.url import Url, as_place
from musicgen_cls.sources.base import Source, Track
from musicgen_cls.sources.find import find_files, skipped_files
from musicgen_cls.sources.hub_files import needed
from musicgen_cls.sources.recordings import check_recordings

Pool = Literal["track", "windows"]

_AT_ONCE = 64  # windows of a file that are in memory


class RunHeader(Struct, frozen=True):
    """The first line of the journal of a run: what its vectors depend on. `digest` is that of the weights."""

    backbone: str
    digest: str
    seconds: float
    pool: str

    def __str__(self) -> str:
        return f"--backbone {self.backbone} ({self.digest}) with --seconds {self.seconds:g} and --pool {self.pool}"


class TrackVectors(TrackLine, frozen=True):
    """A line of the journal: the vectors of a track, float32, or the reason why there are none."""

    found: list[bytes] | str


def embed(
    files: Sequence[str] = (),
    source: Source | None = None,
    backbone: str = "yamnet",
    out: str = "embeddings.npz",
    pool: Pool = "track",
    seconds: float = 3.0,
    engine: Engine = "local",
    address: str | None = None,
) -> Path:
    """Write a vector for each recording, or for each window of it, from a pretrained network.

    The same command resumes a stopped run.

    Args:
        files: recordings, folders of them, or patterns.
        source: a collection, such as GTZAN or Manifest, instead of files.
        backbone: the network: a name that `musiccli pretrained` lists, NAME:LAYER, or one of the Hugging Face hub.
        out: the file, .npz, .parquet or .csv.
        pool: `track`: the mean over the windows of a recording; `windows`: a vector for each window.
        seconds: length of a window, s. The end of a recording that does not fill a window is left out; a recording
            shorter than a window is repeated until it fills one.
        engine: `local`, or `ray`: on a Ray cluster.
        address: of the Ray cluster, `HOST:PORT` or `local`; that of this machine if not set.

    Raises:
        SourceError: no recording can be used, or the weights cannot be fetched.
        UsageError: an argument is invalid, the file exists or cannot be written, there are vectors of a stopped run
            with other arguments, or the cluster cannot be used.
    """
    configure_logs()
    check_positive("--", seconds=seconds)
    cluster = cluster_of(engine, address, ordered=False)
    if (suffix := as_path(out, "--out").suffix.lower()) not in SUFFIXES:
        raise UsageError(f"--out {out}: must end in {' or '.join(SUFFIXES)}")
    if suffix == ".parquet":
        needed("pyarrow", f"--out {out}", "manifest")
    path = new_file(out, f"FILE{suffix}")
    tracks = _tracks(files, source)
    with alone(path), _own_options():
        keep_memory()
        network = load(backbone)
        header = RunHeader(backbone, digest_of(network), float(seconds), pool)
        refused = _embed(path, tracks, network, header, cluster)
    others = [problem for problem in skipped_files(files, "FILE") if problem.path.absolute() != path.absolute()]
    print_left_out(refused + [str(problem) for problem in others])
    return path


@contextmanager
def _own_options() -> Iterator[None]:
    """Name the options of this command in errors that name those of fit."""
    try:
        yield
    except (UsageError, SourceError) as error:
        raise type(error)(str(error).replace("--data.backbones", "--backbone").replace("--data.", "--")) from None


def _tracks(files: Sequence[str], source: Source | None) -> Sequence[Track]:
    """The recordings, with their genres where there are folders of genres."""
    if bool(files) == (source is not None):
        raise UsageError("embed: needs either files or --source; for example musiccli embed Music")
    if source is None:
        places = (as_place(name, "FILE") for name in files)
        folders = {place for place in places if isinstance(place, Url) or place.is_dir()}
        paths = find_files(files, "FILE")
        return [Track(str(path.absolute()), path, _genre(path, folders)) for path in paths]
    check_recordings(source)
    source.prepare()
    return source.tracks()


def _genre(path: Path, folders: set[Path]) -> str:
    """The sub-folder of a named folder that a file is in; an empty text if it is in none."""
    found = ""
    for inner, outer in pairwise(path.parents):
        found = inner.name if outer in folders else found
    return shown(found)


def _embed(
    path: Path, tracks: Sequence[Track], network: Backbone, header: RunHeader, cluster: Cluster | None
) -> list[str]:
    """Write the vectors of tracks, and return the refused files with the reasons."""
    window = check_window(header.seconds, network.sample_rate)
    versions = versions_of(tracks)  # before the files are read
    journal = Journal(path, header, TrackVectors, versions)
    left = [track for track in tracks if track.id not in journal]
    settings = {"embedder": Embedder([network], network.sample_rate), "window": window, "pool": header.pool}
    journal.record(_run(left, settings, cluster, is_published(header.backbone)), "Embedding")
    good, refused = journal.usable(tracks)
    if good:
        write_vectors(path, _rows(good, journal, network, header, window))
    journal.remove()
    if not good:
        raise SourceError(f"{path}: not written, since no recording can be used; the first: {refused[0]}")
    count = sum(journal.rows(track.id) for track in good)
    print(f"{counted(count, 'vector')} of {network.dim:,} numbers, {counted(len(good), 'recording')}: {path}")
    print(f"{header.backbone}: pretrained on {network.trained_on}, licence {network.licence}")
    return refused


def _run(
    tracks: Sequence[Track], settings: dict[str, Any], cluster: Cluster | None, ours: bool
) -> Generator[tuple[str, list[str] | str], None, None]:
    """The vectors of tracks as they come.

    Each file has one thread of torch, so that the numbers do not depend on how many there are. A network that is not of
    this package may not allow several files at a time; it has all threads.
    """
    if cluster is not None:
        return cluster(partial(_on_a_node, **settings), tracks)
    return in_torch_threads(partial(_vectors, **settings), tracks, *((files_at_once(), 1) if ours else (1, None)))


def _on_a_node(track: Track, **settings: Any) -> tuple[str, list[str] | str]:
    torch.set_num_threads(1)
    return _vectors(track, **settings)


def _vectors(
    track: Track, stop: Event | None = None, *, embedder: Embedder, window: int, pool: Pool
) -> tuple[str, list[str] | str]:
    """The id of a track, and its vectors in base64 or the reason why there are none."""
    found = []
    try:
        for pcm in _windows(track.path, embedder.sample_rate, window):
            if stop is not None and stop.is_set():
                raise InterruptedError
            found.append(rows_of(embedder, pcm))
    except AudioError as error:
        return track.id, str(error).removeprefix(f"{track.path}: ")
    rows = np.concatenate(found)
    if not np.isfinite(rows).all():
        return track.id, "the network gives numbers that are not finite"
    if pool == "track":
        rows = rows.mean(0, dtype=np.float64, keepdims=True)
    return track.id, [b64encode(row.astype("<f4").tobytes()).decode() for row in rows]


def _windows(path: Path, sample_rate: int, window: int) -> Iterator[Pcm]:
    """The windows of a file that the datamodule Embeddings has, int16 `[windows, samples]`, some at a time."""
    whole = _single_windows(path, sample_rate, window)
    while part := list(islice(whole, _AT_ONCE)):
        yield np.stack(part)


def _single_windows(path: Path, sample_rate: int, window: int) -> Iterator[Pcm]:
    for start, end, waveform in stream_windows(path, sample_rate, window):
        if end < min(window, SHORTEST_S * sample_rate):
            raise AudioError(f"{path}: too short: {end / sample_rate:.2f} s, but {SHORTEST_S:g} s are needed")
        if start % window == 0:  # the last window can begin elsewhere, to end with the file
            yield to_pcm(waveform)


def _rows(good: Sequence[Track], journal: Journal, network: Backbone, header: RunHeader, window: int) -> Vectors:
    """The rows of the file."""
    counts = [journal.rows(track.id) for track in good]
    found = journal.found([track.id for track in good])
    return Vectors(
        paths=[shown(track.path) for track, count in zip(good, counts, strict=True) for _ in range(count)],
        genres=[track.genre for track, count in zip(good, counts, strict=True) for _ in range(count)],
        start_s=[number * window / network.sample_rate for count in counts for number in range(count)],
        vectors=(_vector(vector) for own in found for vector in own),
        dim=network.dim,
        facts={
            "backbone": header.backbone,
            "digest": header.digest,
            "seconds": f"{header.seconds:g}",
            "pool": header.pool,
            "trained_on": network.trained_on,
            "licence": network.licence,
        },
    )


def _vector(packed: bytes) -> Vector:
    return np.frombuffer(packed, "<f4").astype(np.float32)
