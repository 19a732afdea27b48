"""`musiccli judge`: what it says of music that is good, faded, copied, none."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.commands.judge import command, verdict
from musicgen_cls.commands.judge.measures import _related, _scale
from musicgen_cls.commands.judge.music import Music, load_generated
from musicgen_cls.commands.judge.verdict import targets
from musicgen_cls.synth.render import render
from musicgen_cls.trust import TRUST_VARIABLE

RATE = 4000
GENRES = ("jazz", "metal")
SECONDS = 5.0
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]


def write(folder: Path, change=lambda y, n: y, first: int = 0, count: int = 4) -> Path:
    """A folder of synthetic tracks, changed."""
    for genre in GENRES:
        (folder / genre).mkdir(parents=True)
        for n in range(first, first + count):
            y = change(render(genre, n, seconds=SECONDS, sample_rate=RATE), n)
            soundfile.write(folder / genre / f"{genre}.{n:05d}.wav", y, RATE)
    return folder


@pytest.fixture(scope="module", autouse=True)
def trusted():
    """The generator of these tests is a class outside the package: commands are told to trust its module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRUST_VARIABLE, "echo")
        yield


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    """Real music; other music of the same kind; a faded version of it; copies of the training music; silence."""
    root = tmp_path_factory.mktemp("judging")
    fade = np.exp(-np.arange(int(SECONDS * RATE)) / RATE * 2).astype("f4")
    return {
        "real": write(root / "real"),
        "training": write(root / "training", first=20),
        "good": write(root / "good", first=10),
        "faded": write(root / "faded", lambda y, n: y * fade, first=10),
        "copied": write(root / "copied", first=20),
        "silent": write(root / "silent", lambda y, n: 0 * y),
    }


@pytest.fixture
def judged(tmp_path, monkeypatch, capsys, request):
    """Runs the command in an empty folder; pages, slow to draw, are made for tests with "page" in their names."""
    monkeypatch.chdir(tmp_path)
    if "page" not in request.function.__name__:
        monkeypatch.setattr(command, "write_judgement", lambda *_: None)

    def call(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["judge", *map(str, args)])
        return status, *capsys.readouterr()

    return call


def report(folder: str = "judged") -> dict:
    return json.loads(Path(folder, "judge.json").read_text())


class TestWhatItSays:
    def test_of_music_that_fades_and_music_that_does_not(self, judged, places, monkeypatch):
        monkeypatch.setattr(verdict, "VERDICT_TRACKS", 8)
        status, out, err = judged(
            places["good"], places["real"], "--others", places["faded"], "--context_seconds", 1,
            "--training", places["training"],
        )  # fmt: skip
        assert status == 0, err
        found = report()
        measures = found["measures"]
        assert list(measures) == ["real", "good", "faded", "white noise", "silence", "prompt repeated"]
        assert measures["faded"]["loudness"]["median"][-1] < measures["good"]["loudness"]["median"][-1] - 8
        mmd = {name: column["mmd"]["random network"]["value"] for name, column in measures.items()}
        assert mmd["good"] < mmd["faded"] < mmd["silence"]
        assert measures["white noise"]["flatness"]["median"][0] == pytest.approx(0.56, abs=0.03)
        beat = {name: column["beat: peak of the onsets' autocorrelation"] for name, column in measures.items()}
        assert beat["good"]["value"] > beat["white noise"]["value"] > beat["silence"]["value"] == 0
        assert beat["good"]["low"] < beat["good"]["value"] < beat["good"]["high"]
        met = {row["what"]: row["met"] for row in found["targets"]}
        assert met["loudness at second 5 against the real median"]
        assert ("not met" in out) == (not all(met.values()))

    def test_no_verdict_on_few_tracks(self, judged, places):
        status, out, err = judged(places["good"], places["real"], "--seconds", 2)
        assert status == 0, err
        targets = report()["targets"]
        assert {(row["met"], row["verdict"]) for row in targets} == {(None, "too few tracks for a verdict: 8 of 20")}
        assert out.count("too few tracks for a verdict: 8 of 20") == len(targets)

    def test_of_one_track(self, judged, places, tmp_path):
        for place in ("good", "real"):
            (tmp_path / place / "jazz").mkdir(parents=True)
            shutil.copy(sorted((places[place] / "jazz").iterdir())[0], tmp_path / place / "jazz")
        status, out, err = judged("good", "real", "--seconds", 3, "--training", places["training"])
        assert status == 0, err
        measures = report()["measures"]
        assert measures["good"]["mmd"]["random network"] is None
        assert np.isfinite(measures["good"]["loudness"]["median"]).all()
        assert np.isfinite(measures["good"]["nearest"]["first_percentile"])
        assert "too few tracks for a verdict: 1 of 20" in out
        assert re.search(r"against the real median +[+-]\d+\.\d dB +within 3 dB", out)  # no interval of a single one

    def test_of_copies_in_step_and_out_of_step(self, judged, places, tmp_path, monkeypatch):
        monkeypatch.setattr(verdict, "VERDICT_TRACKS", 8)
        write(tmp_path / "shifted", lambda y, n: np.roll(y, 700), first=20)
        status, _, err = judged(
            places["copied"], places["real"], "--others", "shifted", "--training", places["training"]
        )
        assert status == 0, err
        nearest = {name: column["nearest"]["first_percentile"] for name, column in report()["measures"].items()}
        assert nearest["copied"] < 1e-3 < nearest["real"]
        assert nearest["shifted"] < 0.5 * nearest["real"]
        assert nearest["silence"] is None
        (row,) = [row for row in report()["targets"] if "training window" in row["what"]]
        assert row["met"] is False

    def test_of_silence(self, judged, places):
        status, _, err = judged(places["silent"], places["real"], "--seconds", 2)
        assert status == 0, err
        assert set(report()["measures"]["silent"]["loudness"]["median"]) == {-100.0}

    def test_the_same_again(self, judged, places):
        for out in ("a", "b"):
            assert judged(places["good"], places["real"], "--out", out, "--seconds", 2)[0] == 0
        assert report("a") == report("b")

    def test_the_page_holds_everything_itself(self, judged, places, opened):
        assert judged(places["good"], places["real"], "--seconds", 2)[0] == 0
        page = Path("judged/judge.html").read_text()
        assert "copying cannot be measured" in page
        assert page.count("<audio") == 2 * 4
        assert page.count("data:image/png;base64,") == 3 + 2 * 4
        assert not re.search(r"""(src|href)=["'](?!data:)""", page)
        assert "<script" not in page
        found = opened(Path("judged/judge.html"))
        assert found["complaints"] == found["fetched"] == []
        assert min(found["pictures"]) > 100
        assert found["played_s"] > 0
        assert not found["wide"]
        names = [*report()["measures"]]
        assert all(f"<th>{name}<small>" in page for name in names)
        rows = re.findall(r"<tr><td>[^<]* at second \d</td>(.*?)</tr>", page)
        assert rows
        assert {row.count("<td>") for row in rows} == {len(names)}
        assert "8 tracks" in found["text"]

    def test_one_classifier_as_judge(self, judged, places, monkeypatch):
        monkeypatch.setattr("sys.argv", ["musiccli"])
        small = ["--data.seconds", "1", "--data.fractions", "[0.5,0.25,0.25]", "--model.network.width", "4"]
        small += ["--data.sample_rate", str(RATE), "--trainer.max_epochs", "1", "--data.n_mels", "24"]
        small += ["--trainer.enable_progress_bar", "false", "--model.network.pairs", "2", "--test_after_fit", "false"]
        source = ["--data.source", "Folder", "--data.source.root", str(places["training"])]
        config = Path(musicgen_cls.__file__).parent / "configs" / "vgg.yaml"
        assert main(["fit", "--config", str(config), *source, *small]) == 0
        checkpoint = "lightning_logs/vgg/version_0/checkpoints/best.ckpt"
        status, out, err = judged(places["good"], places["real"], "--judge", checkpoint, "--seconds", 2)
        assert status == 0, err
        measures = report()["measures"]
        assert 0 <= measures["good"]["recognised"]["low"] <= measures["good"]["recognised"]["high"] <= 1
        assert "judge (best.ckpt)" in measures["good"]["mmd"]
        assert "genre recognised" in out


class TestBadInput:
    def test_folders(self, judged, places, tmp_path):
        (tmp_path / "empty").mkdir()
        for args, match in (
            (("nowhere", places["real"]), "nowhere: no wav files"),
            (("empty", places["real"]), "empty: no wav files"),
            ((places["good"], "nowhere"), "nowhere: no such folder"),
            ((places["good"], "empty"), "empty: no audio"),
            ((places["good"], places["real"], "--judge", "no.ckpt"), "no.ckpt: no such file"),
            ((places["good"], places["real"], "--seconds", 0.5), "at least 1 s"),
            ((places["good"], places["real"], "--context_seconds", 4.5), "at least 1 s"),
            ((places["good"], places["real"], "--sed", 1), "sed"),
            ((places["good"],), "real"),
        ):
            status, _, err = judged(*args)
            assert status == 2, args
            assert match in err
            assert len(err.strip().splitlines()[-1]) < 400
            assert "Traceback" not in err

    def test_genres_that_real_music_lacks(self, judged, places, tmp_path):
        for n in range(2):
            (tmp_path / "odd/polka").mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / f"odd/polka/{n}.wav", np.sin(np.arange(5 * RATE)), RATE)
        status, _, err = judged("odd", places["real"])
        assert status == 2
        assert "no tracks of genre 'polka'" in err

    def test_rates_that_differ(self, judged, places, tmp_path):
        soundfile.write(tmp_path / "x.wav", np.sin(np.arange(9000)), 8000)
        (tmp_path / "mixed/jazz").mkdir(parents=True)
        for n, rate in enumerate((4000, 8000)):
            soundfile.write(tmp_path / f"mixed/jazz/{n}.wav", np.sin(np.arange(9000)), rate)
        status, _, err = judged("mixed", places["real"])
        assert status == 2
        assert "8000 Hz, but" in err

    def test_out_cannot_be_written(self, judged, places, tmp_path):
        (tmp_path / "file").write_text("x")
        status, _, err = judged(places["good"], places["real"], "--out", "file/x")
        assert status == 2
        assert "--out" in err


def test_what_a_generator_left_is_read(tmp_path):
    folder = write(tmp_path / "made")
    lines = [{"file": f"jazz/jazz.{n:05d}.wav", "context_seconds": 0.9, "checkpoint": "gone.ckpt"} for n in range(4)]
    (folder / "continuations.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = load_generated(folder)
    assert found.context_seconds == 0.9
    assert found.sample_rate == RATE
    assert found.checkpoint == "gone.ckpt"
    assert len(found.prompts["jazz"][0]) == 3600


class TestWhoHeardWhat:
    def test_a_generators_training_tracks_are_told_by_its_checkpoint(self, judged, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.argv", ["musiccli"])
        monkeypatch.setenv("MUSICGEN_CLS_TRUST", "echo")
        songs = write(tmp_path / "songs", count=5)
        data = ["--data", "WaveformWindows", "--data.sample_rate", str(RATE), "--data.target_seconds", "0.1"]
        data += ["--data.source", "Folder", "--data.source.root", str(songs), "--data.fractions", "[0.6, 0.0, 0.4]"]
        rest = ["--trainer.max_epochs", "1", "--trainer.logger.name", "echo", *QUIET]
        assert main(["fit", "--model", "GenreGenerator", "--model.network", "echo.Echo", *data, *rest]) == 0
        (checkpoint,) = tmp_path.rglob("best.ckpt")
        assert main(["predict", "--ckpt_path", str(checkpoint), "--model.seconds", "4", *QUIET]) == 0
        status, out, err = judged("generated", songs)
        assert status == 0, err
        assert f"{checkpoint}, trained for 3 steps in 1 epoch." in out
        found = report()
        assert found["checkpoint"] == str(checkpoint)
        assert found["judged_s"] == [0.9, 4.0]
        assert (found["training_tracks"], found["tracks"]["real"], found["tracks"]["generated"]) == (6, 4, 4)
        assert found["generators"] == [{"name": "generated", "checkpoint": str(checkpoint), "steps": 3, "epochs": 1}]
        (note,) = found["notes"]
        assert note.startswith("generated: the generator was trained for 3 steps only, fewer than 1,000")
        made, real = load_generated(Path("generated")), found["measures"]["real"]
        assert {Path(seed).parent.parent for seed in made.prompt_files} == {songs}
        assert real["nearest"]["low"] <= real["nearest"]["first_percentile"] <= real["nearest"]["high"]

        status, _, err = judged("generated", write(tmp_path / "others", first=30))
        assert status == 0, err
        assert "copying cannot be measured" in report()["notes"][0]

        heard = tmp_path / "heard"
        trained = set(map(str, songs.rglob("*.wav"))) - set(made.prompt_files)
        for file in map(Path, trained):
            (heard / file.parent.name).mkdir(parents=True, exist_ok=True)
            (heard / file.parent.name / file.name).write_bytes(file.read_bytes())
        status, _, err = judged("generated", heard)
        assert status == 2
        assert "no tracks of genre 'jazz'" in err
        assert "(3 tracks that it was trained on)" in err

    def test_training_music_among_the_real_is_not_held_out(self, judged, places, tmp_path):
        for genre in GENRES:
            (tmp_path / "part" / genre).mkdir(parents=True)
            for file in sorted((places["real"] / genre).iterdir())[:2]:
                (tmp_path / "part" / genre / file.name).write_bytes(file.read_bytes())
        status, _, err = judged(places["good"], places["real"], "--training", "part")
        assert status == 0, err
        assert (report()["tracks"]["real"], report()["training_tracks"]) == (4, 4)
        assert judged(places["good"], places["real"], "--training", places["real"])[0] == 2

    def test_a_checkpoint_that_is_gone(self, judged, places, tmp_path):
        folder = write(tmp_path / "made", first=10)
        line = {"file": "jazz/jazz.00010.wav", "context_seconds": 0.9, "checkpoint": "gone.ckpt"}
        (folder / "continuations.jsonl").write_text(json.dumps(line) + '\n{"file": "jazz/jazz.0')
        status, out, err = judged(folder, places["real"])
        assert status == 0, err
        assert "Note: gone.ckpt is missing" in out

    def test_sets_of_one_seed_are_not_compared_with_it(self):
        paths = [str(Path("a/1.wav")), str(Path("a/2.wav"))]
        assert _related(["a/2.wav", None, "b/1.wav", "a/../a/1.wav"], paths) == [(0, 1), (3, 0)]
        assert _related(["a/2.wav"], [None, None]) == []


@pytest.mark.parametrize(
    ("ours", "rival", "met", "reached"),
    [(0.1, 0.4, True, "0.250 times"), (0.2, 0.4, False, "0.500 times"), (-0.1, -0.2, False, "-0.1 to -0.2, no times")],
)
def test_a_rival_that_is_no_worse_than_real_music_cannot_be_beaten(ours, rival, met, reached):
    curves = {"median": [-20.0], "low": [-30.0], "high": [-10.0], "error": [1.0]}

    def column(value):
        return Music("x", {}, measures={"loudness": curves, "flatness": curves, "mmd": {"net": {"value": value}}})

    row = targets(column(0.0), column(ours), column(rival))[-1]
    assert (row["met"], row["reached"]) == (met, reached)


def test_a_gap_in_loudness_comes_with_its_interval():
    def column(median, error):
        curves = {"median": [median], "low": [-30.0], "high": [-10.0], "error": [error]}
        return Music("x", {}, measures={"loudness": curves, "flatness": curves})

    row = targets(column(-20.0, 0.3), column(-24.0, 0.4), None)[0]
    assert (row["met"], row["reached"]) == (False, "-4.0 dB [-5.0, -3.0]")


def test_a_judge_that_recognises_no_real_music_tells_nothing():
    curves = {"median": [-20.0], "low": [-30.0], "high": [-10.0], "error": [1.0]}
    columns = [
        Music("x", {}, measures={"loudness": curves, "flatness": curves, "recognised": {"value": share}})
        for share in (0.0, 0.5)
    ]
    assert not targets(*columns, None)[-1]["met"]


def test_a_file_that_is_no_audio(judged, places, tmp_path):
    folder = write(tmp_path / "made")
    (folder / "jazz" / "jazz.00001.wav").write_text("no audio")
    status, _, err = judged(folder, places["real"])
    assert status == 2
    assert "jazz.00001.wav: not audio" in err
    assert "Traceback" not in err


def test_a_feature_that_real_music_hardly_has_is_not_blown_up():
    vectors = np.random.default_rng(0).normal(size=(200, 5)) * [1, 2, 3, 4, 0]
    mean, spread = _scale(vectors)
    np.testing.assert_allclose(mean, vectors.mean(axis=0))
    np.testing.assert_allclose(spread, [1, 2, 3, 4, 0.2], rtol=0.15)


def test_samples_of_one_prompt_count_as_one():
    sounds = {"a": [np.full(3, 0.0), np.full(2, 1.0)], "b": [np.full(3, 2.0), np.full(1, 3.0)]}
    music = Music("x", sounds, ["one.wav", "one.wav", "two.wav", None])
    assert music.prompts == ["one.wav", "two.wav", "track 3"]
    together = music.by_prompt([vector[:, None] for vector in music.tracks])
    assert [rows[:, 0].tolist() for rows in together] == [[0, 0, 0, 1, 1], [2, 2, 2], [3]]
    assert Music("noise", sounds).prompts == ["track 0", "track 1", "track 2", "track 3"]
