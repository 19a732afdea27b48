"""Genre tags: written into a checked copy, noted in a journal, and undone byte for byte."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.audio.containers import packets_digest
from musicgen_cls.audio.io import stream
from musicgen_cls.errors import RecordError
from musicgen_cls.synth.render import render
from musicgen_cls.tagging import changes, undo
from musicgen_cls.tagging.genre import TagError, read_genre, write_genre

RATE = 48000
FORMATS = {
    **{"a.mp3": "libmp3lame", "a.flac": "flac", "a.opus": "libopus", "a.m4a": "aac", "a.alac.m4a": "alac"},
    **{"a.aiff": "pcm_s16be", "a.wav": "pcm_s16le", "a.wma": "wmav2", "a.mp4": "aac", "a.wv": "wavpack"},
    **{"a.ogg": "", "a.ape": ""},
}


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return (render("jazz", 0, seconds=2, sample_rate=RATE)[:, None] * [1.0, 0.5]).astype(np.float32)


def write_silent_ape(path: Path, rate: int = 22050) -> None:
    """A Monkey's Audio file of silence. No library here has an encoder, and frames of silence need none."""
    frame = struct.pack("<IIII", 1 << 31, 3, 0, 0)  # a sum with the mark that flags follow; both channels silent
    seek = struct.pack("<I", 52 + 24 + 4)
    header = struct.pack("<HHIIIHHI", 2000, 0, 73728 * 4, 9000, 1, 16, 2, rate)
    sizes = struct.pack("<HHIIIIIII", 3990, 0, 52, 24, len(seek), 0, len(frame), 0, 0)
    path.write_bytes(b"MAC " + sizes + bytes(16) + header + seek + frame)


@pytest.fixture
def write(song: np.ndarray, encode: Callable[..., Path]) -> Callable[[Path], Path]:
    """Writes an audio file of a format in `FORMATS`."""

    def call(path: Path) -> Path:
        if path.suffix == ".ape":
            write_silent_ape(path)
        elif path.suffix == ".ogg":
            soundfile.write(path, song, RATE)
        else:
            encode(path, song, RATE, FORMATS[path.name])
        return path

    return call


def planned(*files: Path, genre: str = "jazz", probability: float = 0.9, threshold: float = 0.5) -> changes.Plan:
    rows = [{"file": str(file), "genre": genre, "probability": probability} for file in files]
    return changes.plan(rows, threshold)


def samples(path: Path) -> np.ndarray:
    return np.concatenate(list(stream(path, RATE)))


@pytest.mark.parametrize("name", FORMATS)
def test_a_tag_is_written_and_undone_byte_for_byte(tmp_path, write, name):
    path = write(tmp_path / name)
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18))
    before, sound = path.read_bytes(), samples(path)
    assert read_genre(path) == ()
    for genre in ("jazz", "ünïcode röck " * 20):  # the second needs more space than the padding of most formats
        plan = planned(path, genre=genre)
        assert (len(plan.changes), plan.refused) == (1, [])
        assert changes.apply(plan.changes[0], tmp_path) is None
        assert read_genre(path) == (genre,)
        np.testing.assert_array_equal(samples(path), sound)
        assert path.stat().st_mode & 0o777 == 0o640
    assert planned(path, genre="ÜnïCode röck " * 20).unchanged == 1
    noted = undo.changes(tmp_path)
    assert (noted[0].old, noted[0].new) == ([], "jazz")
    assert sum(len(piece.replaced or "") for change in noted for piece in change.pieces) < 20_000
    assert [undo.restore(change) for change in reversed(noted)] == [True, True]
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == 10**18
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, undo.JOURNAL])
    assert undo.restore(noted[0]) is False


def test_other_tags_and_the_version_of_id3_stay(tmp_path, write):
    from mutagen.id3 import ID3, TCON, TIT2

    path = write(tmp_path / "a.mp3")
    for version in (3, 4):
        tags = ID3()
        tags.add(TIT2(encoding=3, text=["Ü"]))
        tags.add(TCON(encoding=3, text=["(17)"]))
        tags.save(path, v2_version=version)
        assert read_genre(path) == ("Rock",)
        write_genre(path, "jazz")
        found = ID3(path)
        assert found.version[1] == version
        assert (found["TIT2"].text, found["TCON"].genres) == (["Ü"], ["jazz"])


def test_only_files_at_or_above_the_threshold_are_changed_once(tmp_path, write):
    path = write(tmp_path / "a.flac")
    (tmp_path / "link.flac").symlink_to(path)
    assert len(planned(path, tmp_path / "link.flac", probability=0.5).changes) == 1
    below = planned(path, probability=0.49)
    assert (below.unsure, below.changes) == (1, [])
    assert changes.apply(planned(tmp_path / "link.flac").changes[0], tmp_path) is None
    assert (tmp_path / "link.flac").is_symlink()
    assert read_genre(path) == ("jazz",)


def test_files_that_cannot_be_tagged_are_named(tmp_path, write, song):
    soundfile.write(tmp_path / "a.au", song, RATE)
    (tmp_path / "b.flac").write_bytes(b"RIFF" + bytes(1000))
    read_only = write(tmp_path / "a.flac")
    read_only.chmod(0o444)
    refused = planned(tmp_path / "a.au", tmp_path / "b.flac", read_only, tmp_path / "gone.mp3").refused
    for line, (name, reason) in zip(
        refused,
        [("a.au", "au has no genre tag"), ("b.flac", "its "), ("a.flac", "read-only"), ("gone.mp3", "No such file")],
        strict=True,
    ):
        assert line.startswith(f"{tmp_path / name}: ")
        assert reason in line
        assert "\n" not in line


def test_a_copy_with_other_audio_is_thrown_away(tmp_path, write, monkeypatch):
    path = write(tmp_path / "a.flac")
    before = path.read_bytes()

    def harm(copy: Path, genre: str) -> None:
        copy.write_bytes(before[:-3000] + bytes(3000))

    monkeypatch.setattr(changes, "write_genre", harm)
    reason = changes.apply(planned(path).changes[0], tmp_path)
    assert reason is not None
    assert reason.startswith(f"{path}: ")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.flac"]


def test_a_file_that_others_changed_is_left_alone(tmp_path, write):
    path = write(tmp_path / "a.flac")
    plan = planned(path)
    os.utime(path)
    assert "has changed since it was predicted" in str(changes.apply(plan.changes[0], tmp_path))
    assert changes.apply(planned(path).changes[0], tmp_path) is None
    write_genre(path, "by another program")
    with pytest.raises(TagError, match="has changed since its tag was written, and is left as it is"):
        undo.restore(undo.changes(tmp_path)[0])
    assert read_genre(path) == ("by another program",)
    path.unlink()
    with pytest.raises(TagError, match="cannot be restored"):
        undo.restore(undo.changes(tmp_path)[0])


def test_the_journal_is_written_first_and_a_torn_line_does_no_harm(tmp_path, write, monkeypatch):
    path = write(tmp_path / "a.flac")
    before = path.read_bytes()

    def fail(self: Path, target: Path) -> None:
        raise PermissionError(1, "not today")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        assert "not today" in str(changes.apply(planned(path).changes[0], tmp_path))
    assert path.read_bytes() == before
    journal = tmp_path / undo.JOURNAL
    assert undo.restore(undo.changes(tmp_path)[0]) is False
    line = journal.read_bytes()
    journal.write_bytes(line + line[:-20])
    assert len(undo.changes(tmp_path)) == 1
    undo.note(tmp_path, undo.changes(tmp_path)[0])
    assert journal.read_bytes() == line + line
    journal.write_bytes(line[:-20])
    undo.keep(tmp_path, undo.changes(tmp_path))
    assert not journal.exists()
    journal.write_bytes(line.replace(b"jazz", b"rock"))
    with pytest.raises(RecordError, match=r"tags\.journal\.jsonl line 1: .*; remove this line"):
        undo.changes(tmp_path)
    undo.keep(tmp_path, [])
    assert not journal.exists()


def test_the_digest_of_packets_depends_on_the_audio_only(tmp_path, write, song):
    path = write(tmp_path / "a.flac")
    digest = packets_digest(path)
    write_genre(path, "jazz")
    assert packets_digest(path) == digest
    soundfile.write(tmp_path / "b.flac", 0.5 * song, RATE)
    assert packets_digest(tmp_path / "b.flac") != digest
