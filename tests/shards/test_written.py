"""`musiccli shards`: many writers, killed writers, changed collections, and stores that are not whole."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from msgspec import to_builtins
from msgspec.structs import asdict

from musicgen_cls.__main__ import main
from musicgen_cls.collection.collection import collect
from musicgen_cls.commands import shards as command
from musicgen_cls.commands.shards import shards
from musicgen_cls.errors import MusicClsError, SourceError, StoreError, UsageError
from musicgen_cls.shards.layout import catalogue_name, read_index, sealed_lines
from musicgen_cls.shards.storage import Folder as Place
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.midi_folder import MidiFolder
from musicgen_cls.sources.shards import Shards

RATE = 4000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two genres of three tracks of half a second of noise, 4 kB each."""
    folder = tmp_path / "root"
    for n in range(6):
        add(folder, n)
    return folder


def add(folder: Path, n: int, samples: int = 2000, content: int | None = None) -> Path:
    path = folder / "ab"[n % 2] / f"{n}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(n if content is None else content).normal(0, 0.1, samples)
    soundfile.write(path, noise, RATE)
    return path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded."""
    names: list[str] = []
    decode = command.decode_all

    def recorded(files: Sequence[Any], *options: Any) -> Any:
        names.extend(Path(file[0]).name for file in files)
        return decode(files, *options)

    monkeypatch.setattr(command, "decode_all", recorded)
    return names


def ids(out: Path) -> list[str]:
    return [track.id for track in collect(Shards(str(out)), RATE).tracks]


def test_the_last_of_several_writers_completes_the_store(
    root: Path, tmp_path: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for part in ("3 of 3", "1 of 3"):
        shards(Folder(str(root)), str(out), RATE, part)
    assert (
        "part 1 of 3 is written; 2 tracks of other parts still missing, the first: a/2.wav" in capsys.readouterr().out
    )
    with pytest.raises(StoreError, match=r"not complete: run musiccli shards --out .* for every part"):
        ids(out)
    shards(Folder(str(root)), str(out), RATE, "2 of 3")
    assert sorted(decoded) == [f"{n}.wav" for n in range(6)]
    assert ids(out) == [track.id for track in Folder(str(root)).tracks()]
    assert len(list(out.glob("*.i16"))) == 3
    assert "6 tracks, 0.00 hours, at 4000 Hz, 3 shards, 0.0 MB" in capsys.readouterr().out


@pytest.mark.parametrize("broken_at", ["i16", "jsonl"])
def test_a_killed_writer_resumes(
    root: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch, broken_at: str
) -> None:
    out, write, left = tmp_path / "out", Place.write, [2]

    def killed(self: Place, name: str, content: bytes) -> None:
        left[0] -= name.endswith(broken_at)
        if left[0] == 0:
            raise KeyboardInterrupt
        write(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(Place, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            shards(Folder(str(root)), str(out), RATE, shard_mb=0.008)  # two tracks each
    assert len(list(out.glob("*.index.jsonl"))) == 1
    decoded.clear()
    shards(Folder(str(root)), str(out), RATE, shard_mb=0.008)
    assert decoded == ["4.wav", "1.wav", "3.wav", "5.wav"]  # not the two of the first shard
    assert len(ids(out)) == 6
    assert len(list(out.glob("*.i16"))) == 3


def test_a_changed_collection_is_written_again_where_it_changed(root: Path, tmp_path: Path, decoded: list[str]) -> None:
    out = tmp_path / "out"
    shards(Folder(str(root)), str(out), RATE)
    before = collect(Shards(str(out)), RATE)
    add(root, 7)
    changed = add(root, 2, samples=2400)
    (root / "b" / "5.wav").unlink()
    decoded.clear()
    shards(Folder(str(root)), str(out), RATE)
    assert sorted(decoded) == ["2.wav", "7.wav"]
    after = collect(Shards(str(out)), RATE)
    assert [track.id for track in after.tracks] == [track.id for track in Folder(str(root)).tracks()]
    assert after.tracks[1].id == f"a/{changed.name}"
    assert after.lengths[1] == 2400
    assert before.waveform(1).shape == (2000,)  # an open store stays as it is


def test_a_file_that_changes_and_keeps_its_size(root: Path, tmp_path: Path, decoded: list[str]) -> None:
    out = tmp_path / "out"
    for part in ("1 of 2", "2 of 2"):
        shards(Folder(str(root)), str(out), RATE, part)
    add(root, 2, content=9)
    copy = Path(shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile))  # with other times
    shutil.copystat(root / "a/2.wav", copy / "a/2.wav")
    decoded.clear()
    for part in ("1 of 2", "2 of 2"):
        shards(Folder(str(root)), str(out), RATE, part)
    assert decoded == ["2.wav"]
    now = collect(Folder(str(root)), RATE, cache_dir=str(tmp_path / "cache"))
    assert collect(Shards(str(out)), RATE).digests == now.digests
    decoded.clear()
    shards(Folder(str(copy)), str(out), RATE, "1 of 2")  # those of part 2 are known by their sizes
    assert decoded == ["0.wav", "4.wav", "3.wav"]
    assert collect(Shards(str(out)), RATE).digests == now.digests


def test_shards_without_times(root: Path, tmp_path: Path, decoded: list[str]) -> None:
    """Indexes of before have sizes only."""
    out = tmp_path / "out"
    shards(Folder(str(root)), str(out), RATE)
    (index,) = out.glob("*.index.jsonl")
    head, tracks = read_index(index.read_bytes())
    older = [{name: part for name, part in asdict(track).items() if name != "mtime_ns"} for track in tracks]
    index.write_bytes(sealed_lines([to_builtins(head), *older]))
    decoded.clear()
    shards(Folder(str(root)), str(out), RATE)
    assert not decoded
    assert len(ids(out)) == 6


def test_a_damaged_index_is_written_again(root: Path, tmp_path: Path, decoded: list[str]) -> None:
    out = tmp_path / "out"
    shards(Folder(str(root)), str(out), RATE)
    index = next(out.glob("*.index.jsonl"))
    index.write_bytes(index.read_bytes().replace(b"a/0.wav", b"a/9.wav"))
    decoded.clear()
    shards(Folder(str(root)), str(out), RATE)
    assert len(decoded) == 6
    assert len(ids(out)) == 6


def remove(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def flip(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3] + b"0" + path.read_bytes()[-2:])


@pytest.mark.parametrize(
    ("pattern", "harm", "reason"),
    [
        ("*.i16", remove, "is missing; write it again with musiccli shards --out"),
        ("*.i16", shorten, "has 23,998 bytes, not 24,000"),
        ("*.i16", flip, "its content has changed since it was written"),
        ("*.tracks.jsonl", remove, "is missing"),
        ("*.tracks.jsonl", flip, "its checksum is wrong"),
        ("store.json", remove, "not complete"),
        ("store.json", shorten, "not valid JSON"),
        ("store.json", flip, "format: invalid enum value 10"),
    ],
)
def test_a_store_that_is_not_whole_is_refused(
    root: Path, tmp_path: Path, pattern: str, harm: Callable[[Path], None], reason: str
) -> None:
    out = tmp_path / "out"
    shards(Folder(str(root)), str(out), RATE)
    harm(next(out.glob(pattern)))
    with pytest.raises(StoreError, match=reason) as raised:
        collect(Shards(str(out)), RATE).waveform(0)
    assert str(out) in str(raised.value)
    assert "\n" not in str(raised.value)


def sealed_again(out: Path, change: Callable[[dict[str, Any]], None], line: int = 0) -> None:
    """Change a line of the catalogue, with right checksums everywhere, as an attacker can."""
    from musicgen_cls.formats.records import seal
    from musicgen_cls.shards.storage import digest_of

    old = next(out.glob("*.tracks.jsonl"))
    rows = [json.loads(text) for text in old.read_text().splitlines()]
    change(rows[line])
    content = b"".join(seal({key: value for key, value in row.items() if key != "check"}) for row in rows)
    (out / catalogue_name(digest_of(content))).write_bytes(content)
    note = json.loads((out / "store.json").read_text()) | {"catalogue": digest_of(content)}
    (out / "store.json").write_text(json.dumps(note))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("path", "../../etc/passwd", "line 1: path: not within the folder of the source"),
        ("path", "/etc/passwd", "line 1: path: not within the folder of the source"),
        ("path", "a/../../passwd", "line 1: path: not within the folder of the source"),
        ("path", "a\0b", "line 1: path: not within the folder of the source"),
        ("shard", 9, "line 1: shard: there is none with the number 9"),
        ("shard", -1, "line 1: shard: "),
        ("offset", 10**6, "line 1: samples: the shard ends before the track"),
        ("samples", 0, "line 1: samples: none, and no error"),
        ("samples", 1e99, "line 1: samples: "),
        ("digest", "../..", "line 1: digest: "),
        ("genre", "pop", "line 1: genre: not one of the store"),
        ("id", "a/2.wav", "not 6 tracks with different ids"),
        ("sides", {"official": "nowhere"}, "line 1: sides"),
    ],
)
def test_a_catalogue_of_another_user_is_checked(
    root: Path, tmp_path: Path, field: str, value: Any, reason: str
) -> None:
    out = tmp_path / "out"
    shards(Folder(str(root)), str(out), RATE)
    sealed_again(out, lambda row: row.update({field: value}))
    with pytest.raises(StoreError, match=reason):
        Shards(str(out)).tracks()


def test_names_of_shards_do_not_lead_out_of_the_folder(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shards(Folder(str(root)), str(out), RATE)
    note = json.loads((out / "store.json").read_text())
    note["shards"][0]["digest"] = "../../../../etc/passwd"
    (out / "store.json").write_text(json.dumps(note))
    with pytest.raises(StoreError, match=r"store.json: shards\[0\].digest: expected `str` matching regex"):
        Shards(str(out)).tracks()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"part": "0 of 2"}, "--part '0 of 2': write it like '1 of 4'"),
        ({"part": "3 of 2"}, "--part '3 of 2'"),
        ({"part": "half"}, "--part 'half'"),
        ({"shard_mb": 0}, "--shard_mb 0: must be more than 0"),
        ({"shard_mb": 5000}, "--shard_mb 5000: must be at most 2000"),
        ({"sample_rate": 3}, "--sample_rate 3: must be from"),
        ({"out": "nonsense://x"}, "--out nonsense://x: Protocol not known: nonsense"),
        ({"out": "s3://"}, "--out s3://: names no place"),
    ],
)
def test_wrong_arguments(root: Path, tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        shards(Folder(str(root)), **{"out": str(tmp_path / "out"), **options})
    assert not (tmp_path / "out").exists()


def test_an_unknown_protocol_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shards", "--source", "Folder", "--source.root", str(root), "--out", "nonsense://x"]) == 2
    assert "musiccli: error: --out nonsense://x: Protocol not known" in capsys.readouterr().err


def test_what_cannot_be_written(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SourceError, match="MidiFolder: has no files of recordings"):
        shards(MidiFolder(str(root)), str(out))
    with pytest.raises(SourceError, match="Shards: has no files of recordings"):
        shards(Shards(str(root)), str(out))
    shards(Folder(str(root)), str(out), RATE, "1 of 2")
    with pytest.raises(StoreError, match="has shards of 4000 Hz, not 22050; set --sample_rate 4000, or another --out"):
        shards(Folder(str(root)), str(out))
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        shards(Folder(str(root)), str(tmp_path / "file" / "out"), RATE)
    for path in root.rglob("*.wav"):
        path.write_text("no audio")
    with pytest.raises(SourceError, match=r"none of 6 tracks can be used; the first: .*0.wav: not audio"):
        shards(Folder(str(root)), str(tmp_path / "other"), RATE)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_odd_names_can_be_read_again(root: Path, tmp_path: Path) -> None:
    for name in ("caf\udce9.wav", "AC\\DC.wav", "a\\..\\x.wav", "C:\\y.wav"):
        shutil.copy(root / "a" / "0.wav", root / "a" / name)
    shards(Folder(str(root)), str(tmp_path / "out"), RATE)
    ids = [track.id for track in Folder(str(root)).tracks()]
    assert [track.id for track in Shards(str(tmp_path / "out")).tracks()] == ids
    assert len(ids) == 10


def test_a_file_that_vanishes_while_a_store_is_listed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer has renamed it. The store is whole."""
    out = tmp_path / "out"
    shards(Folder(str(root)), str(out), RATE)
    scandir, whole = os.scandir, Place(out).sizes()

    @contextmanager
    def while_it_vanishes(place: Path) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(place) as entries:
            found = list(entries)
        (out / ".x.index.jsonl").unlink()
        yield found

    (out / ".x.index.jsonl").touch()
    monkeypatch.setattr(os, "scandir", while_it_vanishes)
    assert Place(out).sizes() == whole


def test_a_file_that_cannot_be_opened_is_not_left_out(root: Path, tmp_path: Path) -> None:
    source = Folder(str(root))
    gone = source.tracks()[0].path
    kept = gone.rename(tmp_path / "kept")
    with pytest.raises(StoreError, match=r"0.wav: .*1 such file\); make them readable"):
        shards(source, str(tmp_path / "out"), RATE)
    shutil.move(kept, gone)
    shards(Folder(str(root)), str(tmp_path / "out"), RATE)
    assert len(ids(tmp_path / "out")) == 6


def test_the_command_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        main(["shards", "--source", "Folder", "--source.root", str(root), "--out", "out", "--sample_rate", "4000"]) == 0
    )
    read = ["--config", "quickstart", "--data.source", "Shards", "--data.source.root", "out", "--data.seconds", "0.2",
            "--data.n_fft", "256", "--data.n_mels", "16"]  # fmt: skip
    prepare = ["prepare", *read, "--data.sample_rate", "4000", "--verify", "true"]
    assert main(prepare) == 0, capsys.readouterr().err
    found = capsys.readouterr()
    assert "6 tracks, 0.00 hours, at 4000 Hz" in found.out
    flip(next(Path("out").glob("*.i16")))
    assert main(prepare) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("musiccli: error: out/")
    assert "its content has changed since it was written; restore a copy" in error
    assert issubclass(StoreError, MusicClsError)
