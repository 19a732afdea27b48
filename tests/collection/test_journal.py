"""Damage to a store: every track has its own sound afterwards, or is named as a problem."""

import json
import logging
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.collection import store
from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.engines.local import in_threads
from musicgen_cls.errors import MusicClsError, StoreError
from musicgen_cls.formats.records import seal
from musicgen_cls.sources.folder import Folder
from mutations import ODD_TEXTS, ODD_VALUES, damaged

RATE = 4000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tracks of 50 to 100 ms, no two equal, and a file that is no audio."""
    folder = tmp_path_factory.mktemp("damage") / "music"
    for n in range(6):
        path = folder / "ab"[n % 2] / f"{n}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(n).integers(-9000, 9000, 200 + 40 * n).astype(np.int16), RATE)
    (folder / "b" / "7.wav").write_text("no audio")
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for the disk, which these tests do not kill."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(store, "_TICK_S", 0.011)


def gather(root: Path, stores: Path) -> Collection:
    return collect(Folder(str(root)), RATE, cache_dir=str(stores), mapped=partial(in_threads, workers=1))


def contents(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "audio.i16").read_bytes(), (folder / "journal.jsonl").read_bytes()


def assert_right(root: Path, stores: Path) -> None:
    """The property: the six tracks with their samples, the file that is no audio as a problem."""
    found = gather(root, stores)
    sounds = {
        track.id: found.items[start : start + length]
        for track, start, length in zip(found.tracks, found.offset, found.lengths, strict=True)
    }
    named = {problem.path.name for problem in found.problems}
    for n in range(6):
        name = f"{'ab'[n % 2]}/{n}.wav"
        if f"{n}.wav" not in named:
            np.testing.assert_array_equal(sounds[name], soundfile.read(root / name, dtype="int16")[0])
    assert "7.wav" in named


@pytest.mark.parametrize("name", ["audio.i16", "journal.jsonl", "verified.json"])
@pytest.mark.parametrize("start", [0, 40])
def test_damage_of_any_kind(root, tmp_path, name, start):
    file = gather(root, tmp_path).folder / name
    for seed in range(start, start + 40):
        file.write_bytes(damaged(file.read_bytes(), np.random.default_rng(seed)))
        assert_right(root, tmp_path)


@pytest.mark.parametrize("field", ["path", "size", "mtime_ns", "offset", "samples", "digest", "artist", "error"])
@pytest.mark.parametrize("sealed", [False, True], ids=["as it is", "with the right checksum"])
def test_a_field_of_another_kind(root, tmp_path, field, sealed):
    journal = gather(root, tmp_path).folder / "journal.jsonl"
    for seed, odd in enumerate(ODD_VALUES):
        lines = journal.read_bytes().splitlines(keepends=True)
        row = seed % len(lines)
        record = json.loads(lines[row]) | {field: odd}
        check = record.pop("check")
        try:
            lines[row] = seal(record) if sealed else json.dumps({"check": check, **record}).encode() + b"\n"
        except ValueError:  # not a finite number: the package writes none
            continue
        journal.write_bytes(b"".join(lines))
        assert_right(root, tmp_path)


@pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: repr(text[:8]))
def test_another_text_in_place_of_a_file(root, tmp_path, text):
    folder = gather(root, tmp_path).folder
    for name in ("journal.jsonl", "verified.json", "audio.i16"):
        (folder / name).write_bytes(text)
        assert_right(root, tmp_path)


def test_samples_of_two_tracks_in_one_place_are_decoded_again(root, tmp_path):
    folder = gather(root, tmp_path).folder
    journal = folder / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    records[1]["offset"] = records[0]["offset"] + 1
    journal.write_bytes(b"".join(seal({k: v for k, v in record.items() if k != "check"}) for record in records))
    assert_right(root, tmp_path)


class TestWhatDamageCosts:
    """Only what is damaged is decoded again."""

    @pytest.fixture
    def decoded(self, monkeypatch):
        """Names of the files that are decoded."""
        names: list[str] = []
        decode = store.read_pcm

        def noted(path, rate):
            names.append(path.name)
            return decode(path, rate)

        monkeypatch.setattr(store, "read_pcm", noted)
        return names

    def test_a_line_costs_its_track(self, root, tmp_path, decoded):
        folder = gather(root, tmp_path).folder
        audio, journal = contents(folder)
        decoded.clear()
        (folder / "journal.jsonl").write_bytes(journal.replace(b'"offset": 200', b'"offset": 201'))
        assert_right(root, tmp_path)
        assert decoded == ["2.wav"]
        lines, new = journal.splitlines(), (folder / "journal.jsonl").read_bytes().splitlines()
        assert set(lines) - set(new) == {lines[1]}
        assert len(new) == len(lines)
        assert (folder / "audio.i16").read_bytes().startswith(audio)
        decoded.clear()
        assert_right(root, tmp_path)
        assert decoded == []

    def test_samples_cost_their_track(self, root, tmp_path, decoded, caplog):
        folder = gather(root, tmp_path).folder
        audio, _ = contents(folder)
        decoded.clear()
        (folder / "audio.i16").write_bytes(audio[:500] + bytes([audio[500] ^ 1]) + audio[501:])
        with caplog.at_level(logging.WARNING, "musicgen_cls.collection.store"):
            assert_right(root, tmp_path)
        assert decoded == ["2.wav"]
        assert "audio.i16: 1 damaged track; made again" in caplog.text
        decoded.clear()
        assert_right(root, tmp_path)
        assert decoded == []

    def test_a_time_that_was_put_back_hides_nothing(self, root, tmp_path, decoded):
        folder = gather(root, tmp_path).folder
        audio, before = folder / "audio.i16", (folder / "audio.i16").stat()
        decoded.clear()
        with audio.open("r+b") as file:
            file.write(b"\1")
        os.utime(audio, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert_right(root, tmp_path)
        assert decoded == ["0.wav"]

    def test_samples_are_hashed_once_for_each_state(self, root, tmp_path, monkeypatch):
        folder = gather(root, tmp_path).folder
        hashed = []
        real = store.with_wrong_hash
        monkeypatch.setattr(store, "with_wrong_hash", lambda *args: hashed.append(1) or real(*args))
        gather(root, tmp_path)
        assert hashed == []
        store.forget_verification(folder)
        for _ in range(2):
            gather(root, tmp_path)
        assert hashed == [1]
        os.utime(folder / "audio.i16")
        for _ in range(2):
            gather(root, tmp_path)
        assert hashed == [1, 1]


def test_a_journal_that_cannot_be_read(root, tmp_path, monkeypatch):
    journal = gather(root, tmp_path).folder / "journal.jsonl"
    opened = Path.open

    def refused(path, *args, **options):
        if path == journal:
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(StoreError, match=r"journal\.jsonl: cannot be read \(Permission denied\)"):
        gather(root, tmp_path)
    assert issubclass(StoreError, MusicClsError)
