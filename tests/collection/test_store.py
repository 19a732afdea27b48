import errno
import json
import multiprocessing
import os
import resource
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from filelock import FileLock

from musicgen_cls.audio.io import read, read_pcm, to_pcm
from musicgen_cls.collection import store
from musicgen_cls.collection.collection import Collection, collect, describe_problems, write_tables
from musicgen_cls.collection.journal import read_contents
from musicgen_cls.collection.store import Store
from musicgen_cls.engines.local import in_threads
from musicgen_cls.errors import SourceError, StoreError, UnreachableError
from musicgen_cls.sources.base import Problem, Source, Track
from musicgen_cls.sources.folder import Folder
from musicgen_cls.synth.render import render

RATE = 8000
TRACKS = 9


def write(path: Path, seed: int, seconds: float = 0.5, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-9000, 9000, round(seconds * rate))
    soundfile.write(path, noise.astype(np.int16), rate)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Nine short tracks of different lengths, two files that are no audio among them."""
    folder = tmp_path / "music"
    for n in range(TRACKS):
        write(folder / "ab"[n % 2] / f"{n}.wav", n, seconds=0.3 + 0.1 * n)
    (folder / "a" / "2x.wav").write_text("no audio")
    (folder / "b" / "9.wav").touch()
    return folder


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    return tmp_path / "stores"


def gather(root: Path, stores: Path, **options) -> Collection:
    return collect(Folder(str(root)), RATE, cache_dir=str(stores), **options)


def audio_of(collection: Collection, row: int) -> np.ndarray:
    start = collection.offset[row]
    return np.asarray(collection.items[start : start + collection.lengths[row]])


def assert_sound(collection: Collection) -> None:
    """Every track holds what decoding its file gives."""
    for row, track in enumerate(collection.tracks):
        np.testing.assert_array_equal(audio_of(collection, row), to_pcm(read(track.path, collection.rate)))


def contents(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "audio.i16").read_bytes(), (folder / "journal.jsonl").read_bytes()


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [folder, *folder.rglob("*")]}


# What a store holds


def test_content_is_bit_exact(collection):
    """The small collection: five formats, four rates, mono and stereo."""
    assert len(collection.tracks) == 18
    assert_sound(collection)
    for track, samples in zip(collection.tracks, collection.lengths, strict=True):
        assert track.seconds == samples / collection.rate
        assert 3.9 < track.seconds < 6.1


def test_tracks_lie_one_after_another_in_the_order_of_the_source(root, stores):
    found = gather(root, stores)
    assert [track.id for track in found.tracks] == [f"{'ab'[n % 2]}/{n}.wav" for n in (0, 2, 4, 6, 8, 1, 3, 5, 7)]
    assert found.offset.tolist() == [0, *np.cumsum(found.lengths)[:-1]]
    assert len(found.items) == found.lengths.sum()
    assert found.items.dtype == np.int16
    assert not found.items.flags.writeable
    assert_sound(found)


def test_unusable_files_are_problems_and_need_no_second_decoding(root, stores, monkeypatch):
    expected = {
        "2x.wav": "not audio that can be read (Format not recognised)",
        "9.wav": "empty file (0 bytes)",
    }
    assert {p.path.name: p.reason for p in gather(root, stores).problems} == expected
    monkeypatch.setattr(store, "read_pcm", lambda *_: pytest.fail("decoded again"))
    again = gather(root, stores)
    assert {p.path.name: p.reason for p in again.problems} == expected
    assert len(again.tracks) == TRACKS


def test_a_second_use_writes_nothing(root, stores):
    found = gather(root, stores)
    before = snapshot(found.folder)
    gather(root, stores)
    assert snapshot(found.folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_full_store_can_be_read_only(root, stores):
    folder = gather(root, stores).folder
    folder.chmod(0o555)
    try:
        assert_sound(gather(root, stores))
    finally:
        folder.chmod(0o755)


def test_the_source_is_never_written_to(root, stores):
    before = snapshot(root)
    found = gather(root, stores)
    write_tables(found)
    assert snapshot(root) == before


def test_number_of_threads_does_not_matter(root, tmp_path):
    one, many = (
        gather(root, tmp_path / "one", mapped=partial(in_threads, workers=1)),
        gather(root, tmp_path / "many", mapped=partial(in_threads, workers=5)),
    )
    assert contents(one.folder) == contents(many.folder)


def test_each_place_and_rate_has_its_own_store(root, stores, tmp_path):
    shutil.copytree(root, tmp_path / "x" / "music")
    sources = [Folder(str(root)), Folder(str(tmp_path / "x" / "music")), Folder(f"{root}/../music")]
    folders = [Store.of(source, rate, str(stores)).folder for source in sources for rate in (8000, 16000)]
    assert len(set(folders)) == 4
    assert folders[:2] == folders[4:]
    assert folders[0].name.startswith("music-8000-")
    assert folders[0].parent == stores


def test_stores_are_in_the_cache_by_default(root, cache):
    assert Store.of(Folder(str(root)), RATE).folder.parent == cache / "stores"


# Kills


def damage(folder: Path, rng: np.random.Generator) -> None:
    """What a kill or a crash can leave: samples without a line, a torn line, samples cut off, a file lost."""
    audio, journal = folder / "audio.i16", folder / "journal.jsonl"
    kind = rng.integers(5)
    if kind in (0, 1, 2):
        os.truncate(journal, rng.integers(journal.stat().st_size))
    if kind in (1, 3):
        os.truncate(audio, rng.integers(audio.stat().st_size))
    if kind == 2:
        with audio.open("ab") as file:
            file.write(rng.bytes(int(rng.integers(1, 5000))))
    if kind == 4:
        (audio, journal)[rng.integers(2)].unlink()


@pytest.mark.parametrize("start", range(0, 60, 10))
def test_resuming_after_a_kill_gives_the_same_store(root, tmp_path, start):
    unbroken = contents(gather(root, tmp_path / "unbroken").folder)
    folder = gather(root, tmp_path / "broken").folder
    for seed in range(start, start + 10):
        damage(folder, np.random.default_rng(seed))
        found = gather(root, tmp_path / "broken", mapped=partial(in_threads, workers=2))
        assert found.folder == folder
        assert contents(folder) == unbroken, seed


@pytest.mark.parametrize("junk", [b"1", b"12", b"123"])
def test_leavings_of_a_kill_do_no_harm_where_nothing_is_missing(root, stores, junk):
    """A process was killed while it appended a file that is no longer in the collection."""
    first = gather(root, stores)
    with (first.folder / "audio.i16").open("ab") as file:
        file.write(junk)
    assert_sound(gather(root, stores))
    write(root / "a" / "0a.wav", 77)
    found = gather(root, stores)
    assert found.offset[1] == len(first.items)
    assert_sound(found)


def test_killed_at_any_moment_no_line_vouches_for_missing_samples(root, tmp_path, monkeypatch):
    unbroken = contents(gather(root, tmp_path / "unbroken").folder)
    monkeypatch.setattr(store, "_SYNC_BYTES", 1)
    real, calls = store._sync, 0

    def dying(file):
        nonlocal calls
        calls += 1
        if calls == moment:
            raise KeyboardInterrupt
        real(file)

    monkeypatch.setattr(store, "_sync", dying)
    stored = []
    for moment in range(1, 24):
        stores, calls = tmp_path / f"killed{moment}", 0
        try:
            gather(root, stores)
        except KeyboardInterrupt:
            (folder,) = stores.iterdir()
            found = read_contents(folder / "journal.jsonl", folder / "audio.i16")
            stored.append(sum(entry.error is None for entry in found.entries.values()))
            assert len(found.journal) == (folder / "journal.jsonl").stat().st_size
            assert found.audio_bytes <= (folder / "audio.i16").stat().st_size
            calls = moment
            assert_sound(gather(root, stores))
        assert contents(next(stores.iterdir())) == unbroken, moment
    assert min(stored) <= 1
    assert max(stored) >= TRACKS - 1


@pytest.mark.parametrize(
    "tail", [b'{"path": "/x.wav", "size": 1', b"\n", b"null\n", b'{"a": 1}\n', b"\xff\xfe\n", b"0"]
)
def test_a_torn_last_line_is_dropped(root, stores, tail):
    folder = gather(root, stores).folder
    whole = contents(folder)
    with (folder / "journal.jsonl").open("ab") as journal:
        journal.write(tail)
    assert len(gather(root, stores).tracks) == TRACKS
    write(root / "a" / "8z.wav", 99)
    assert_sound(gather(root, stores))
    assert contents(folder)[1].startswith(whole[1])
    assert all(json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines())


# Changes


def test_an_added_file_is_appended(root, stores):
    first = gather(root, stores)
    before = contents(first.folder)
    write(root / "a" / "0a.wav", 77)
    found = gather(root, stores)
    after = contents(found.folder)
    assert all(new.startswith(old) for old, new in zip(before, after, strict=True))
    assert len(after[1].splitlines()) == len(before[1].splitlines()) + 1
    assert found.tracks[1].id == "a/0a.wav"
    assert found.offset[1] == len(first.items)
    assert_sound(found)


@pytest.mark.parametrize("change", ["content", "same size", "time only"])
def test_a_changed_file_is_decoded_again(root, stores, change):
    before = contents(gather(root, stores).folder)
    path = root / "a" / "4.wav"
    if change == "time only":
        os.utime(path, ns=(1, 10**18 + 1))
    else:
        write(path, 1234, seconds=0.9 if change == "content" else 0.7)
    found = gather(root, stores)
    after = contents(found.folder)
    assert len(found.tracks) == TRACKS
    assert found.offset[2] == len(before[0]) // 2
    assert after[0].startswith(before[0])
    assert_sound(found)


def test_a_removed_file_is_gone_though_its_samples_stay(root, stores):
    first = gather(root, stores)
    (root / "a" / "2.wav").unlink()
    found = gather(root, stores)
    assert len(found.tracks) == TRACKS - 1
    assert len(found.items) == len(first.items)
    assert_sound(found)


def test_a_repaired_file_is_decoded(root, stores):
    gather(root, stores)
    write(root / "b" / "9.wav", 5)
    found = gather(root, stores)
    assert [p.path.name for p in found.problems] == ["2x.wav"]
    assert len(found.tracks) == TRACKS + 1


def test_a_file_that_vanished_since_it_was_listed_is_a_problem(root, stores):
    source = Folder(str(root))
    listed = source.tracks()
    listed[0].path.unlink()
    found = collect(source, RATE, cache_dir=str(stores))
    assert Problem(listed[0].path, "no such file") in found.problems
    assert len(found.tracks) == TRACKS - 1


# Several processes


def collect_in_process(root: str, stores: str, ready: str) -> tuple[str, list[int], int]:
    Path(ready).touch()
    found = collect(Folder(root), RATE, cache_dir=stores, mapped=partial(in_threads, workers=1))
    return str(found.folder), found.offset.tolist(), int(found.items.sum(dtype=np.int64))


def test_processes_at_once_make_one_store(root, stores, tmp_path):
    unbroken = gather(root, tmp_path / "unbroken")
    folder = Store.of(Folder(str(root)), RATE, str(stores)).folder
    folder.mkdir(parents=True)
    ready = [tmp_path / f"ready{n}" for n in range(2)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        with FileLock(folder / "lock"):  # so that both find work to do, and wait
            jobs = [pool.submit(collect_in_process, str(root), str(stores), str(flag)) for flag in ready]
            while not all(flag.exists() for flag in ready) and not any(job.done() for job in jobs):
                time.sleep(0.01)
        results = [job.result(timeout=60) for job in jobs]
    assert results[0] == results[1]
    assert results[0] == (str(folder), unbroken.offset.tolist(), int(unbroken.items.sum(dtype=np.int64)))
    assert contents(folder) == contents(unbroken.folder)


# Disks


class Full:
    """A disk that is full from the n-th write on."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.real = store._sync

    def __call__(self, file) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.real(file)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 9])
def test_a_full_disk_leaves_no_half_store(root, stores, monkeypatch, n):
    with monkeypatch.context() as patch:
        patch.setattr(store, "_SYNC_BYTES", 1)
        patch.setattr(store, "_sync", Full(n))
        with pytest.raises(StoreError, match=r"No space left on device.*free space, or set --data.cache_dir") as caught:
            gather(root, stores)
    assert "\n" not in str(caught.value)
    assert list(stores.iterdir()) == []
    assert_sound(gather(root, stores))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_full_disk_leaves_a_store_as_it_was(root, stores, monkeypatch, n):
    folder = gather(root, stores).folder
    before = contents(folder)
    for seed in (50, 51):
        write(root / "a" / f"new{seed}.wav", seed)
    with monkeypatch.context() as patch:
        patch.setattr(store, "_SYNC_BYTES", 1)
        patch.setattr(store, "_sync", Full(n))
        with pytest.raises(StoreError):
            gather(root, stores)
    assert contents(folder) == before
    assert_sound(gather(root, stores))


def test_writes_that_fail_half_way(root, stores):
    """As on a full disk, by the system's own limit on file sizes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32_768, hard))
    try:
        with pytest.raises(StoreError, match="File too large"):
            gather(root, stores)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(stores.iterdir()) == []
    assert_sound(gather(root, stores))


def test_a_place_that_cannot_be_written(root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write the tracks") as caught:
        gather(root, tmp_path / "file" / "stores")
    assert str(caught.value).startswith(f"{tmp_path / 'file' / 'stores'}")


# What is left out


def test_all_files_bad(tmp_path, stores):
    for name in ("a/1.wav", "b/2.wav"):
        (tmp_path / "music" / name).parent.mkdir(parents=True)
        (tmp_path / "music" / name).write_text("no audio")
    for _ in range(2):  # also when it is known already
        with pytest.raises(SourceError, match=r"none of 2 tracks can be used; the first: .*1.wav: not audio"):
            gather(tmp_path / "music", stores)


def test_min_seconds(root, stores):
    found = gather(root, stores, min_seconds=0.75)
    assert all(track.seconds >= 0.75 for track in found.tracks)
    assert len(found.tracks) == 4
    reasons = [p.reason for p in found.problems]
    assert "too short: 0.30 s, but 0.75 s are needed" in reasons
    assert sum(reason.startswith("too short") for reason in reasons) == 5
    with pytest.raises(SourceError, match="too short"):
        gather(root, stores, min_seconds=100)


def test_min_seconds_takes_a_track_of_just_that_length(root, stores):
    write(root / "a" / "9.wav", 1, seconds=1.5)
    assert [track.id for track in gather(root, stores, min_seconds=1.5).tracks] == ["a/9.wav"]


def test_duplicates_are_dropped(root, stores):
    pcm, rate = soundfile.read(root / "a" / "4.wav", dtype="int16")
    soundfile.write(root / "b" / "twin.flac", pcm, rate)  # the same sound in another file of another genre
    found = gather(root, stores)
    assert len(found.tracks) == TRACKS
    assert f"an exact copy of {root / 'a' / '4.wav'}" in [p.reason for p in found.problems]


def test_duplicates_are_kept_together(root, stores):
    shutil.copy(root / "a" / "4.wav", root / "a" / "5.wav")
    found = gather(root, stores, duplicates="keep")
    groups = {track.id: track.group for track in found.tracks}
    assert len(found.tracks) == TRACKS + 1
    assert groups.pop("a/4.wav") == groups.pop("a/5.wav") is not None
    assert set(groups.values()) == {None}


def test_relatives_of_a_dropped_copy_stay_together(root, stores):
    """0 and 4 are known to be one recording; 9 is a bit-exact copy of 4 and comes first: 0 and 9 belong together."""
    shutil.copy(root / "a" / "4.wav", root / "a" / "9.wav")
    names = ("9", "0", "4")
    tracks = [Track(n, root / "a" / f"{n}.wav", "a", group=None if n == "9" else "known") for n in names]
    found = collect(Listed(root, tracks), RATE, cache_dir=str(stores))
    assert [(track.id, track.group) for track in found.tracks] == [("9", "known"), ("0", "known")]


def test_a_file_that_is_rewritten_meanwhile(root, stores, monkeypatch):
    """As when two processes render the same synthetic set."""
    fill = Store.fill

    def fill_while_another_renders(self, *args):
        entries = fill(self, *args)
        (root / "a" / "4.wav").touch()
        return entries

    monkeypatch.setattr(Store, "fill", fill_while_another_renders)
    assert len(gather(root, stores).tracks) == TRACKS


def test_a_file_out_of_reach_is_tried_again(root, stores, monkeypatch):
    path = root / "a" / "4.wav"

    def troubled(file, rate):
        if file == path:
            raise UnreachableError(f"{file}: cannot be opened")
        return read_pcm(file, rate)

    with monkeypatch.context() as patch:
        patch.setattr(store, "read_pcm", troubled)
        assert path in [problem.path for problem in gather(root, stores).problems]
    assert path not in [problem.path for problem in gather(root, stores).problems]


class Listed(Source):
    """Tracks as given."""

    def __init__(self, root: Path, tracks: list[Track]) -> None:
        self.root = root
        self.listed = tracks

    @property
    def location(self) -> Path:
        return self.root

    @property
    def genres(self) -> tuple[str, ...]:
        return ("a",)

    def tracks(self) -> list[Track]:
        return self.listed


def test_duplicates_that_are_kept_join_the_group_that_one_of_them_has(root, stores):
    shutil.copy(root / "a" / "4.wav", root / "a" / "5.wav")
    paths = [root / "a" / name for name in ("2.wav", "4.wav", "5.wav")]
    tracks = [Track(p.name, p, "a", group=group) for p, group in zip(paths, ("known", "known", None), strict=True)]
    found = collect(Listed(root, tracks), RATE, cache_dir=str(stores), duplicates="keep")
    assert len({track.group for track in found.tracks}) == 1


def test_strict(root, stores):
    with pytest.raises(SourceError, match=r"2x.wav: not audio .*\(2 such files; --data.strict false"):
        gather(root, stores, strict=True)
    (root / "a" / "2x.wav").unlink()
    (root / "b" / "9.wav").unlink()
    assert len(gather(root, stores, strict=True).tracks) == TRACKS
    with pytest.raises(SourceError, match="too short"):
        gather(root, stores, strict=True, min_seconds=0.5)


# Reports


def test_describe_problems():
    problems = [Problem(Path(f"{n}.wav"), "silent") for n in range(12)]
    lines = describe_problems(problems, limit=10).splitlines()
    assert lines[0] == "12 files left out:"
    assert lines[1] == "  0.wav: silent"
    assert len(lines) == 12
    assert "2 more" in lines[-1]
    assert len(describe_problems(problems[:3]).splitlines()) == 4


def test_tables(root, stores):
    found = gather(root, stores)
    tracks, integrity = write_tables(found)
    assert tracks.parent == integrity.parent == found.folder
    table = pd.read_csv(tracks)
    assert table["id"].tolist() == [track.id for track in found.tracks]
    assert table["seconds"].tolist() == [track.seconds for track in found.tracks]
    assert pd.read_csv(integrity)["path"].map(lambda p: Path(p).name).tolist() == ["2x.wav", "9.wav"]
    assert not list(found.folder.glob(".*"))
    write_tables(replace(found, problems=[]))
    assert pd.read_csv(integrity).empty
    assert len(gather(root, stores).tracks) == TRACKS


def test_tables_that_cannot_be_written(root, stores, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        write_tables(replace(gather(root, stores), folder=tmp_path / "file"))


def test_other_formats_and_videos_are_tracks(tmp_path, encode):
    (tmp_path / "jazz").mkdir()
    for seed, (name, codec) in enumerate((("a.m4a", "aac"), ("b.wma", "wmav2"), ("c.mkv", "aac"))):
        sound = render("jazz", seed, seconds=3, sample_rate=RATE)[:, None]
        encode(tmp_path / "jazz" / name, sound, RATE, codec, video=name == "c.mkv")
    (tmp_path / "jazz" / "d.m4a").write_bytes((tmp_path / "jazz" / "a.m4a").read_bytes()[:500])
    found = collect(Folder(str(tmp_path)), RATE)
    assert [track.id for track in found.tracks] == ["jazz/a.m4a", "jazz/b.wma", "jazz/c.mkv"]
    assert [str(problem.path.name) for problem in found.problems] == ["d.m4a"]
    assert "damaged, cut short, or of another format" in found.problems[0].reason
