import errno
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.errors import SourceError, StoreError, UsageError
from musicgen_cls.sources import synthetic
from musicgen_cls.sources.synthetic import SyntheticGenres
from musicgen_cls.synth import render as synth
from musicgen_cls.synth.styles import GENRES


def small(root: Path, **changes: int) -> SyntheticGenres:
    return SyntheticGenres(
        **({"tracks_per_genre": 2, "seconds": 0.3, "sample_rate": 8000, "folder": str(root)} | changes)
    )


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_layout_and_content(tmp_path: Path) -> None:
    source = small(tmp_path)
    source.prepare()
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {track.path for track in source.tracks()} | {tmp_path / "synthetic.json"}
    assert tmp_path / "genres" / "blues" / "blues.00001.wav" in found
    info = soundfile.info(source.tracks()[0].path)
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (2400, 8000, 1, "PCM_16")
    wave, _ = soundfile.read(source.tracks()[1].path, dtype="float32")
    expected = synth.render("blues", 1, seconds=0.3, sample_rate=8000)
    np.testing.assert_allclose(wave, expected, atol=1 / 32768)


def test_tracks_need_no_disk(tmp_path: Path) -> None:
    source = SyntheticGenres(tracks_per_genre=9, seconds=1.5, folder=str(tmp_path / "nowhere"))
    tracks = source.tracks()
    assert not (tmp_path / "nowhere").exists()
    assert source.genres == GENRES == tuple(sorted(GENRES))
    assert len({track.id for track in tracks}) == len(tracks) == 90
    assert [track.id for track in tracks[8:10]] == ["blues.00008", "classical.00000"]
    assert tracks[0].seconds == 1.5
    blues = [track.artist for track in tracks if track.genre == "blues"]
    assert blues == ["blues artist 00"] * 4 + ["blues artist 01"] * 4 + ["blues artist 02"]
    assert all(track.artist is not None and track.artist.startswith(track.genre) for track in tracks)


def test_prepare_again_renders_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small(tmp_path)
    source.prepare()
    before = files(tmp_path)
    lost = tmp_path / "genres" / "jazz" / "jazz.00001.wav"
    lost.unlink()
    asked = []

    def render(genre: str, index: int, **rest: float) -> np.ndarray:
        asked.append((genre, index))
        return real(genre, index, **rest)  # type: ignore[arg-type]

    real = synth.render
    monkeypatch.setattr(synth, "render", render)
    source.prepare()
    assert asked == [("jazz", 1)]
    assert files(tmp_path) == before


def test_more_tracks_extend_the_folder(tmp_path: Path) -> None:
    small(tmp_path, tracks_per_genre=1).prepare()
    before = files(tmp_path)
    small(tmp_path).prepare()
    after = files(tmp_path)
    assert before.items() <= after.items()
    assert len(after) == 21


def test_interruption_leaves_only_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: Path, data: bytes) -> int:
        if "metal.00001" not in self.name:
            return real(self, data)
        real(self, data[: len(data) // 2])
        raise KeyboardInterrupt

    real = Path.write_bytes
    source = small(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        with pytest.raises(KeyboardInterrupt):
            source.prepare()
    wavs = list(tmp_path.rglob("*.wav"))
    assert tmp_path / "genres" / "metal" / "metal.00001.wav" not in wavs
    assert all(soundfile.info(wav).frames == 2400 for wav in wavs)
    assert not list(tmp_path.rglob("*.part"))
    source.prepare()
    assert all(track.path.exists() for track in source.tracks())


def test_leftovers_of_a_killed_process_are_no_tracks(tmp_path: Path) -> None:
    folder = tmp_path / "genres" / "blues"
    small(tmp_path).prepare()
    (folder / "blues.00000.wav.0123.part").write_bytes(b"RIFF")
    (folder / "blues.00000.wav").unlink()
    small(tmp_path).prepare()
    assert soundfile.info(folder / "blues.00000.wav").frames == 2400


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError) as caught:
        small(tmp_path).prepare()
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path), "No space left on device", "MUSICGEN_CLS_CACHE", "folder"):
        assert part in message


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError, match="taken"):
        small(tmp_path / "taken").prepare()


def test_a_folder_of_other_arguments_is_refused(tmp_path: Path) -> None:
    small(tmp_path).prepare()
    before = files(tmp_path)
    with pytest.raises(SourceError, match=r"'seed': 0.*'seed': 7.*change --data\.source\.folder"):
        small(tmp_path, seed=7).prepare()
    assert files(tmp_path) == before


def test_a_folder_of_real_music_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genres" / "blues").mkdir(parents=True)
    with pytest.raises(SourceError, match="not synthetic"):
        small(tmp_path).prepare()
    assert files(tmp_path) == {}


def test_the_note_tells_what_was_rendered(tmp_path: Path) -> None:
    small(tmp_path, tracks_per_genre=1).prepare()
    note = json.loads((tmp_path / "synthetic.json").read_text())
    assert note == {"version": synthetic.VERSION, "seed": 0, "sample_rate": 8000, "seconds": 0.3}


def test_place_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICGEN_CLS_CACHE", str(tmp_path))
    assert SyntheticGenres().location == tmp_path / "synthetic-v1-s0-r22050-30s"
    assert SyntheticGenres(seconds=2.5, seed=3, sample_rate=8000).location == tmp_path / "synthetic-v1-s3-r8000-2.5s"
    monkeypatch.delenv("MUSICGEN_CLS_CACHE")
    assert SyntheticGenres().location.parent.name.lower() == "musicgen_cls"


@pytest.mark.parametrize(
    "arguments", [{"tracks_per_genre": 0}, {"seconds": 0.0}, {"seconds": -1.0}, {"seed": -1}, {"sample_rate": 100}]
)
def test_impossible_arguments_are_named(arguments: dict[str, int]) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(UsageError, match=rf"{name}[ =]{value}\b.*(give|must be)"):
        SyntheticGenres(**arguments)
