"""Tracks of a store that sound the same; their fingerprints are kept in the store's folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from io import BytesIO
from pathlib import Path

import numpy as np

from musicgen_cls.audio.fingerprint import LONGEST_S, Landmarks, fingerprint, same_sound
from musicgen_cls.audio.io import from_pcm
from musicgen_cls.collection.journal import Entry
from musicgen_cls.collection.sharded import ShardStore
from musicgen_cls.collection.store import Store
from musicgen_cls.files import writing
from musicgen_cls.sources.base import components

CACHE = "fingerprints.bin"
_MAGIC = b"fingerprints 1\n"  # raise the number when fingerprints change
_SUM = 16


def near_keys(store: Store | ShardStore, entries: Sequence[Entry], sample_rate: int) -> list[str | None]:
    """A key for each entry of a store, which tracks that sound the same share; None without such tracks.

    Args:
        store: the store.
        entries: its entries; those without samples have no key.
        sample_rate: sample rate of the store, Hz.
    """
    by_digest = {entry.digest: entry for entry in entries if entry.error is None and entry.samples}
    found = _fingerprints(store, by_digest, sample_rate)
    digests = list(by_digest)
    pairs = np.array(same_sound([found[digest] for digest in digests]), dtype=np.int64).reshape(-1, 2)
    labels = dict(zip(digests, components(pairs.ravel(), np.arange(len(pairs)).repeat(2), len(digests)), strict=True))
    alike = {digests[row] for row in pairs.ravel()}
    return [f"near {labels[e.digest]}" if e.error is None and e.digest in alike else None for e in entries]


def _fingerprints(store: Store | ShardStore, wanted: dict[str, Entry], sample_rate: int) -> dict[str, Landmarks]:
    """The fingerprint of each digest: from the cache, or computed and stored there."""
    from tqdm import tqdm

    cache = store.folder / CACHE
    found = _read(cache)
    missing = sorted((e for digest, e in wanted.items() if digest not in found), key=lambda entry: entry.offset)
    if not missing:
        return found
    samples = store.items(missing, np.int16)

    def make(entry: Entry) -> Landmarks:
        count = min(entry.samples, int(LONGEST_S * sample_rate))
        pcm = samples[entry.offset : entry.offset + count]
        return fingerprint(from_pcm(pcm), sample_rate)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        bar = tqdm(pool.map(make, missing), "Fingerprints", len(missing), unit="track", delay=2)
        found |= {entry.digest: own for entry, own in zip(missing, bar, strict=True)}
    with suppress(OSError), writing(cache) as temporary:  # if it cannot be written, the next run computes them again
        temporary.write_bytes(_packed(found))
    return found


def _packed(found: dict[str, Landmarks]) -> bytes:
    """The content of the cache file: a line with its format, a checksum, and arrays."""
    buffer = BytesIO()
    np.savez(
        buffer,
        digests=np.array([digest.encode() for digest in found], dtype="S40"),
        sizes=np.array([len(own) for own in found.values()], dtype=np.int64),
        landmarks=np.concatenate([np.empty((0, 2), np.uint32), *found.values()]),
    )
    body = buffer.getvalue()
    return _MAGIC + blake2b(body, digest_size=_SUM).digest() + body


def _read(cache: Path) -> dict[str, Landmarks]:
    """The fingerprints in a file; none if the file is missing, damaged, or of another version."""
    try:
        content = cache.read_bytes()
    except OSError:
        return {}
    body = content[len(_MAGIC) + _SUM :]
    if content[: -len(body)] != _MAGIC + blake2b(body, digest_size=_SUM).digest():
        return {}
    with np.load(BytesIO(body), allow_pickle=False) as arrays:
        parts = np.split(arrays["landmarks"], np.cumsum(arrays["sizes"])[:-1])
        return {digest.decode(): own for digest, own in zip(arrays["digests"].tolist(), parts, strict=True)}
