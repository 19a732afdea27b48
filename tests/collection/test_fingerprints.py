"""`--data.duplicates near`: copies in other formats stay together, whatever happens to the cache."""

from pathlib import Path

import pytest
import soundfile

from musicgen_cls.collection import fingerprints
from musicgen_cls.collection.collection import collect
from musicgen_cls.sources.folder import Folder
from musicgen_cls.synth.render import render

RATE = 22050


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two songs a genre, and of one of each a copy: as Ogg, and quieter without its beginning."""
    root = tmp_path_factory.mktemp("near") / "songs"
    for genre in ("jazz", "metal"):
        (root / genre).mkdir(parents=True)
        for n in range(2):
            song = render(genre, n, seconds=10.0, sample_rate=RATE)
            soundfile.write(root / genre / f"{n}.wav", song, RATE)
        soundfile.write(root / genre / "copy.ogg", song / 2 if genre == "jazz" else song[2 * RATE :], RATE)
    return root


def near(root: Path, cache: Path):
    return collect(Folder(str(root)), 16000, cache_dir=str(cache), duplicates="near")


def test_copies_are_one_group_and_named(root, tmp_path):
    found = near(root, tmp_path)
    groups = {track.id: track.group for track in found.tracks}
    assert len(groups) == 6
    assert groups["jazz/1.wav"] == groups["jazz/copy.ogg"] is not None
    assert groups["metal/1.wav"] == groups["metal/copy.ogg"] not in (None, groups["jazz/1.wav"])
    assert groups["jazz/0.wav"] is groups["metal/0.wav"] is None
    assert found.near == [["jazz/1.wav", "jazz/copy.ogg"], ["metal/1.wav", "metal/copy.ogg"]]
    assert found.grouped == [
        "4 tracks are 2 recordings by their acoustic fingerprints, as jazz/1.wav and jazz/copy.ogg"
    ]
    assert collect(Folder(str(root)), 16000, cache_dir=str(tmp_path), duplicates="keep").grouped == []


def test_fingerprints_are_kept_beside_the_store(root, tmp_path, monkeypatch):
    found = near(root, tmp_path)
    cache = found.folder / fingerprints.CACHE
    whole = cache.read_bytes()
    monkeypatch.setattr(fingerprints, "fingerprint", lambda *_: pytest.fail("made again"))
    assert near(root, tmp_path).near == found.near
    monkeypatch.undo()
    for damaged in (whole[:50], whole[:-1], b"", whole[:100] + b"?" + whole[101:], b"other" + whole[5:]):
        cache.write_bytes(damaged)
        assert near(root, tmp_path).near == found.near
        assert cache.read_bytes() == whole
