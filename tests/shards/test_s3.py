"""A real server that speaks S3, on this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicgen_cls.__main__ import main
from musicgen_cls.collection.collection import collect
from musicgen_cls.errors import StoreError
from musicgen_cls.files import CACHE_VARIABLE
from musicgen_cls.remote import connection
from musicgen_cls.shards.storage import Bucket
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.shards import Shards

RATE = 8000


@pytest.mark.usefixtures("server")
def test_two_writers_at_the_same_time_and_a_reader(mixed: Path, tmp_path: Path) -> None:
    from musicgen_cls.commands.shards import shards

    url = "s3://music/two"
    writers = [
        threading.Thread(target=shards, args=(Folder(str(mixed)), url, RATE, f"{part} of 2", 0.1)) for part in (1, 2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    source = Shards(url)
    files, found = collect(Folder(str(mixed)), RATE), collect(source, RATE, cache_dir=str(tmp_path))
    assert str(source.location) == url
    assert found.digests == files.digests
    assert [track.id for track in found.tracks] == [track.id for track in files.tracks]
    assert str(found.tracks[0].path) == f"{url}/{files.tracks[0].id}"
    for row in range(len(files.tracks)):
        np.testing.assert_array_equal(found.waveform(row), files.waveform(row))


@pytest.mark.usefixtures("server")
def test_names_that_are_not_there(mixed: Path) -> None:
    with pytest.raises(StoreError, match="s3://nowhere/x: no store of shards: check the name"):
        Shards("s3://nowhere/x").tracks()
    with pytest.raises(StoreError, match=r"s3://nowhere/x/\w+.i16: cannot be written \(The specified bucket does not"):
        main_shards(mixed, "s3://nowhere/x")


def main_shards(root: Path, out: str) -> None:
    from musicgen_cls.commands.shards import shards

    shards(Folder(str(root)), out, RATE)


def test_a_dead_server_is_one_line(
    server: Any,
    write: Callable[..., Shards],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A training whose server is gone before the first shard is fetched."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))  # other tests keep shards of the same content
    monkeypatch.setattr(connection, "WAITS_S", (0.0,) * 4)
    url = "s3://music/dead"
    write(url)
    fetch, endpoint = Bucket.fetch, os.environ["AWS_ENDPOINT_URL"]

    def gone(self: Bucket, name: str, path: Path, digest: str, patient: bool = True) -> None:
        os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"  # no one listens there
        self.connection._opened = None
        fetch(self, name, path, digest, patient)

    monkeypatch.setattr(Bucket, "fetch", gone)
    train = ["fit", "--config", "gru", "--data.source", "Shards", "--data.source.root", url,
             "--data.sample_rate", "8000", "--data.seconds", "0.5"]  # fmt: skip
    capsys.readouterr()
    try:
        assert main(train) == 2
    finally:
        os.environ["AWS_ENDPOINT_URL"] = endpoint
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"musiccli: error: {url}/")
    assert 'cannot be fetched (Could not connect to the endpoint URL: "http://127.0.0.1:9/' in error
    assert "fit: with --ckpt_path last" in error
