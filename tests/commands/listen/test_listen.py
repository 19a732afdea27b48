"""`musiccli listen`: what the page computes, what it offers, and what the command refuses."""

from __future__ import annotations

import runpy
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from forks import Fork
from musicgen_cls import untrained
from musicgen_cls.__main__ import main
from musicgen_cls.audio.io import read
from musicgen_cls.commands.listen import page
from musicgen_cls.commands.listen.answer import LONGEST_S, RATE, Limits, Song, answer, continued, mel
from musicgen_cls.commands.listen.models import Choices, choices, load_generator, short_names
from musicgen_cls.commands.listen.page import Application
from musicgen_cls.commands.listen.reports import read_tested
from musicgen_cls.commands.listen.service import NO_SONG, Service
from musicgen_cls.errors import AudioError, CheckpointError, RecordError, SourceError, UsageError
from musicgen_cls.recogniser import GenreRecogniser

LIMITS = Limits(max_mb=50, max_minutes=10)
SPACE = Path(__file__).parents[3] / "docs" / "examples" / "space"


@pytest.fixture(scope="module")
def recogniser(trained: Path) -> GenreRecogniser:
    return GenreRecogniser(trained, threshold=0.0)


@pytest.fixture
def without_untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network can be reached."""

    def unreachable(*_: object) -> Path:
        raise SourceError("yamnet: cannot be fetched")

    monkeypatch.setattr(untrained, "checkpoint", unreachable)


@pytest.fixture
def with_untrained(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained checkpoint takes the place of the untrained reading."""
    monkeypatch.setattr(untrained, "checkpoint", lambda *_: trained)


@pytest.fixture
def service(trained: Path, generator: Path, without_untrained: None, tmp_path: Path) -> Service:
    return Service(choices([str(trained), str(generator)]), LIMITS, tmp_path / "sessions")


class TestAnswer:
    def test_is_the_recognisers(self, recogniser: GenreRecogniser, music: Path) -> None:
        song = Song(music / "jazz" / "1.flac", "my song")
        found = answer(song, recogniser, LIMITS)
        assert dict(found.ranked) == pytest.approx(recogniser(song.path))
        assert [share for _, share in found.ranked] == sorted(recogniser(song.path).values(), reverse=True)
        assert found.seconds == pytest.approx(len(read(song.path, RATE)) / RATE)
        assert found.sure

    def test_is_unsure_below_the_threshold(
        self, recogniser: GenreRecogniser, music: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recogniser, "threshold", 1.0)
        assert not answer(Song(music / "jazz" / "1.flac", "song"), recogniser, LIMITS).sure

    def test_a_long_song_is_refused(self, recogniser: GenreRecogniser, music: Path) -> None:
        song = Song(music / "jazz" / "1.flac", "my song")
        with pytest.raises(AudioError, match=r"^my song: longer than 0.01 minutes; .* --max_minutes"):
            answer(song, recogniser, Limits(50, 0.01))

    def test_errors_have_the_songs_name_and_no_path(self, recogniser: GenreRecogniser, tmp_path: Path) -> None:
        (tmp_path / "upload").write_text("words")
        with pytest.raises(AudioError, match=r"^notes.txt: not audio") as caught:
            answer(Song(tmp_path / "upload", "notes.txt"), recogniser, LIMITS)
        assert str(tmp_path) not in str(caught.value)

    @pytest.mark.parametrize(("seconds", "columns"), [(300, 1172), (2, 63), (0.3, 10), (0.01, 1)])
    def test_a_spectrogram_shows_where_a_tone_is(self, seconds: float, columns: int) -> None:
        time = np.arange(round(seconds * 8000)) / 8000
        tone = np.where(time < seconds / 2, np.sin(2 * np.pi * 500 * time), np.sin(2 * np.pi * 3000 * time))
        levels = mel((0.5 * tone).astype(np.float32), 8000)
        assert levels.shape == (64, columns)
        if columns > 2:
            first, last = levels[:, columns // 4].argmax(), levels[:, 3 * columns // 4].argmax()
            assert first < 64 / 3 < 64 / 2 < last


class TestContinued:
    def test_starts_with_the_prompt(self, generator: Path, songs: Path) -> None:
        made, shares = load_generator(str(generator)), list[float]()
        song = Song(songs / "jazz" / "0.wav", "song")
        found = continued(song, made, "jazz", 1.0, 1.7, 0, shares.append)
        assert (len(found.prompt), len(found.whole), found.sample_rate) == (2000, 6800, 4000)
        np.testing.assert_array_equal(found.whole[:2000], found.prompt)
        np.testing.assert_array_equal(found.prompt, read(song.path, 4000)[4000:6000])
        assert shares == sorted(shares)
        assert shares[-1] == 1.0

    def test_a_prompt_beyond_the_end_is_refused(self, generator: Path, songs: Path) -> None:
        song = Song(songs / "jazz" / "0.wav", "song")
        with pytest.raises(AudioError, match=r"song: ends at 2\.00 s, but the prompt is from 1\.8 s to 2\.3 s"):
            continued(song, load_generator(str(generator)), "jazz", 1.8, 3.0, 0)

    @pytest.mark.parametrize(
        ("genre", "start_s", "seconds", "message"),
        [
            ("blues", 0.0, 2.0, "genre 'blues': the generator has jazz, metal"),
            ("jazz", -1.0, 2.0, "start of the prompt, -1.0 s: must be 0 or more"),
            ("jazz", float("nan"), 2.0, "start of the prompt, nan s: must be 0 or more"),
            ("jazz", 0.0, 0.5, "length 0.5 s: must be more than 0.5 s, at most 30 s"),
            ("jazz", 0.0, LONGEST_S + 1.0, "length 31 s: must be more than"),
        ],
    )
    def test_impossible_values(
        self, generator: Path, songs: Path, genre: str, start_s: float, seconds: float, message: str
    ) -> None:
        with pytest.raises((AudioError, UsageError), match=message):
            continued(Song(songs / "jazz" / "0.wav", "s"), load_generator(str(generator)), genre, start_s, seconds, 0)


class TestChoices:
    def test_the_order_is_that_of_the_command_line(self, trained: Path, generator: Path, with_untrained: None) -> None:
        found = choices([str(trained), str(generator)])
        assert [list(found.recognisers), list(found.generators)] == [["best.ckpt", "untrained"], ["generator.ckpt"]]
        assert list(choices(["untrained", str(trained)]).recognisers) == ["untrained", "best.ckpt"]
        assert list(choices().recognisers) == ["untrained"]

    def test_without_a_network_a_checkpoint_is_enough(
        self, trained: Path, without_untrained: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert list(choices([str(trained)]).recognisers) == ["best.ckpt"]
        assert capsys.readouterr().err == "yamnet: cannot be fetched\nThe page is without the untrained reading\n"
        for named in ([], ["untrained", str(trained)]):
            with pytest.raises(SourceError, match="yamnet: cannot be fetched"):
                choices(named)

    def test_the_untrained_reading_answers(self, invented: None, music: Path, tmp_path: Path) -> None:
        found = choices()
        text, best = Service(found, LIMITS, tmp_path).answer(
            "one", Song(music / "jazz" / "1.flac", "song"), "untrained"
        )
        assert best in found.recognisers["untrained"].genres
        assert "electronic" in text

    def test_names_are_short_and_different(self) -> None:
        names = short_names(["/a/one/best.ckpt", "/a/two/best.ckpt", "/b/two/best.ckpt", "/a/last.ckpt"])
        assert list(names.values()) == ["one/best.ckpt", "a/two/best.ckpt", "b/two/best.ckpt", "last.ckpt"]

    def test_the_report_beside_a_checkpoint_is_found(self, trained: Path, without_untrained: None) -> None:
        found = choices([str(trained)], [str(trained.parent / "best-test-music-track")])
        assert list(found.reports) == ["best-test-music-track"]

    def test_a_damaged_report_beside_a_checkpoint_is_left_out(
        self, trained: Path, without_untrained: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(trained.parent, tmp_path / "copy")
        folder = tmp_path / "copy" / "best-test-music-track"
        (folder / "tracks.csv").write_text("track,genre\n")
        checkpoint = str(tmp_path / "copy" / "best.ckpt")
        assert choices([checkpoint]).reports == {}
        wanted = f"left out: {folder / 'tracks.csv'}: no column 'predicted'; test the checkpoint again"
        assert wanted in capsys.readouterr().err
        with pytest.raises(RecordError, match="no column 'predicted'"):
            choices([checkpoint], [str(folder)])

    def test_a_classifier_is_no_generator(self, trained: Path) -> None:
        with pytest.raises(CheckpointError, match="not a generator of audio"):
            load_generator(str(trained))


class TestReports:
    def test_mistakes_are_first_and_their_audio_is_found(self, trained: Path, music: Path) -> None:
        found = read_tested(trained.parent / "best-test-music-track")
        right = [row.genre == row.predicted for row in found.tracks]
        assert right == sorted(right)
        assert not all(right)
        wrong = [row.true_probability for row, is_right in zip(found.tracks, right, strict=True) if not is_right]
        assert wrong == sorted(wrong)
        assert found.files == {row.track: music / row.track for row in found.tracks}

    def test_a_collection_that_is_gone(self, trained: Path, tmp_path: Path) -> None:
        folder = tmp_path / "report"
        shutil.copytree(trained.parent / "best-test-music-track", folder)
        report = (folder / "report.json").read_text()
        for location in (tmp_path / "gone", folder):  # the second has no audio
            (folder / "report.json").write_text(report.replace('"location": "', f'"location": "{location}", "was": "'))
            assert read_tested(folder).files == {}

    def test_a_folder_without_a_report(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--report .*: has no report.json; name the folder of a classifier's"):
            read_tested(tmp_path)


class TestService:
    def test_an_upload_is_moved_and_the_one_before_is_deleted(self, service: Service, music: Path) -> None:
        for name in ("first.flac", "second.flac"):
            upload = service.folder.parent / name
            shutil.copy(music / "jazz" / "1.flac", upload)
            song = service.take("one", str(upload))
            assert not upload.exists()
            text, best = service.answer("one", song, "best.ckpt")
            assert best in service.choices.recognisers["best.ckpt"].genres
            assert name in text
            assert sorted(path.suffix for path in service.folder.rglob("*.*")) == [".flac", ".flac"]
        service.forget("one")
        assert not list(service.folder.iterdir())

    @pytest.mark.parametrize("session", ["..", "../other", "/", "", ".", "a/../../other"])
    def test_the_name_of_a_session_leads_nowhere_else(self, service: Service, session: str, music: Path) -> None:
        other = service.folder.parent / "other"
        other.mkdir()
        (other / "kept.txt").touch()
        service.answer("mine", Song(music / "jazz" / "1.flac", "song"), "best.ckpt")
        service.forget(session)
        assert (other / "kept.txt").is_file()
        assert (service.folder / "mine" / "answer").is_dir()
        shutil.copy(music / "jazz" / "1.flac", service.folder.parent / "upload.flac")
        song = service.take(session, str(service.folder.parent / "upload.flac"))
        assert song.path.resolve().is_relative_to(service.folder.resolve())

    def test_names_cannot_change_the_page(self, service: Service, music: Path) -> None:
        name = '<script>alert(1)</script>" onload="x'
        text, _ = service.answer("one", Song(music / "jazz" / "1.flac", name), "best.ckpt")
        assert name not in text
        assert "<script>" not in text
        assert "&lt;script&gt;alert(1)" in text

    def test_faults_are_one_line_on_the_page(self, service: Service, tmp_path: Path, songs: Path) -> None:
        (tmp_path / "notes.txt").write_text("words")
        song = Song(tmp_path / "notes.txt", "notes.txt")
        for text in (
            service.answer("one", song, "best.ckpt")[0],
            service.continued("one", song, "generator.ckpt", "jazz", 0.0, 2.0, 0, lambda _: None),
        ):
            assert text.startswith('<p class="message" role="alert">notes.txt: not audio')
        assert NO_SONG in service.answer("one", None, "best.ckpt")[0]
        assert NO_SONG in service.continued("one", None, "generator.ckpt", "jazz", 0.0, 2.0, 0, lambda _: None)
        song = Song(songs / "jazz" / "0.wav", "song")
        for seed in (-1, 0.5, float("nan"), 1e12):
            text = service.continued("one", song, "generator.ckpt", "jazz", 0.0, 2.0, seed, lambda _: None)
            assert "must be a whole number" in text

    def test_tracks_without_audio_are_marked(self, service: Service) -> None:
        (name, tested), *_ = service.choices.reports.items()
        track = tested.tracks[0].track
        assert service.tracks(name)[0] == (
            f"✗ {tested.tracks[0].genre}, predicted as {tested.tracks[0].predicted} · {track}", track  # words: ignore
        )  # fmt: skip
        assert service.track(name, track) == Song(tested.files[track], track)
        path = tested.files.pop(track)
        assert service.tracks(name)[0][0].endswith(" (no audio here)")
        assert service.track(name, track) is None
        tested.files[track] = path


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which must fail; gives its one line."""

    def call(*args: object) -> str:
        assert main(["listen", *map(str, args)]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("musiccli: error: ")
        return line.removeprefix("musiccli: error: ")

    return call


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.usefixtures("without_untrained")
class TestCommand:
    def test_a_port_in_use(self, fails: Callable[..., str], taken_port: int) -> None:
        assert fails("--port", taken_port) == (
            f"--port {taken_port}: in use by another program; name another, as --port {taken_port % 65535 + 1}"
        )

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["--port", "0"], "--port 0: must be from 1 to 65535, such as 7860"),
            (["--port", "70000"], "--port 70000: must be from 1 to 65535"),
            (["--port", "seven"], "port: 'seven' is not a whole number"),
            (["--host", "no host"], "--host no host: not an address"),
            (["--host", "192.0.2.1"], "--host 192.0.2.1: not an address of this machine; use 127.0.0.1"),
            (["--max_mb", "0"], "--max_mb 0.0: must be more than 0"),
            (["--max_minutes", "-1"], "--max_minutes -1.0: must be more than 0"),
            (["--threshold", "2"], "--threshold 2.0: must be a probability"),
            (["--share", "true"], "no option '--share'"),
        ],
    )
    def test_impossible_options(self, fails: Callable[..., str], args: list[str], message: str) -> None:
        assert message in fails(*args)

    def test_files_of_another_kind(self, fails: Callable[..., str], tmp_path: Path, free_port: int) -> None:
        (tmp_path / "notes.ckpt").write_text("words")
        torch.save({"weights": 1}, tmp_path / "other.ckpt")
        port = ["--port", free_port]
        assert "notes.ckpt: not a readable checkpoint" in fails(tmp_path / "notes.ckpt", *port)
        assert "other.ckpt: a checkpoint that musicgen_cls did not write" in fails(tmp_path / "other.ckpt", *port)
        assert "missing.ckpt: no such file" in fails(tmp_path / "missing.ckpt", *port)
        assert "yamnet: cannot be fetched" in fails(*port)
        assert fails("--report", tmp_path, *port).startswith("yamnet")

    def test_a_missing_extra(
        self, fails: Callable[..., str], trained: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(page, "find_spec", lambda name: None if name == "gradio" else util.find_spec(name))
        wanted = "listen: needs gradio; run python -m pip install 'musicgen_cls[app]'"
        assert fails(trained, "--port", free_port) == wanted


@pytest.fixture
def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_signal_ends_it_and_nothing_is_left(
    trained: Path, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(untrained, "checkpoint", lambda *_: str(trained))
    command = ["listen", str(trained), "--port", str(free_port)]
    process = Fork(lambda: main(command), tmp_path, TMPDIR=str(tmp_path / "temporary"))
    assert process.first_line() == f"Listen:      http://127.0.0.1:{free_port}/ (Ctrl-C ends it)\n"
    kept = [path.name for path in (tmp_path / "temporary").glob("musicgen_cls-listen-*")]
    process.send_signal(signal.SIGTERM)
    status, _, errors = process.wait(60)
    assert status == 128 + signal.SIGTERM, errors
    assert errors == "musiccli: stopped; the page and its files are gone; the same command serves it again\n"
    assert len(kept) == 1
    assert not [path for path in (tmp_path / "temporary").rglob("*") if "listen" in str(path)]
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]


def test_the_example_of_a_space_builds_the_page(with_untrained: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = runpy.run_path(str(SPACE / "app.py"))
    application = made["application"]
    assert isinstance(application, Application)
    assert made["demo"] is application.blocks
    assert not application.blocks.is_running
    assert application.options["share"] is False
    folder = application.folder
    assert folder.is_dir()
    application.close()
    assert not folder.exists()
    text = (SPACE / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\ntitle: ")
    assert "\nsdk: gradio\n" in text
    assert "\napp_file: app.py\n" in text


def test_songs_of_every_length_have_a_timeline(recogniser: GenreRecogniser, tmp_path: Path) -> None:
    service = Service(Choices({"net": recogniser}), LIMITS, tmp_path)
    rng = np.random.default_rng(0)
    for seconds in (0.3, 2.0, 7.1):
        soundfile.write(tmp_path / "noise.wav", rng.normal(0, 0.1, round(seconds * 8000)), 8000)
        text, best = service.answer("one", Song(tmp_path / "noise.wav", "noise"), "net")
        assert best is not None
        assert text.count("<polyline") == 3
