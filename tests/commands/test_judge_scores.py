"""`musiccli judge` of scores: real ones, good ones, broken ones, copies; and folders of the wrong kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.__main__ import main
from musicgen_cls.commands.judge import command, rendering, verdict
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.notes.render import render
from musicgen_cls.notes.score import Notes, notes_of, transposed
from pieces import melody

GENRES = ("slow", "quick")
STEPS = {"slow": 12, "quick": 6}
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)

Call = Callable[..., tuple[int, str, str]]


def tune(genre: str, seed: int) -> Notes:
    """Eight bars in C: two of their own, which return."""
    rng = np.random.default_rng([seed, STEPS[genre]])
    half = rng.choice(SCALE, 96 // STEPS[genre]).tolist()
    return melody(half * 4, step=STEPS[genre])


def piled(genre: str, seed: int) -> Notes:
    """As many notes, of any pitch, twenty of them at once."""
    rng = np.random.default_rng([seed, STEPS[genre], 1])
    onset = np.repeat(np.arange(0, 384, 48), 20)
    return notes_of(onset=onset, duration=40, place=0, bar=48, tempo=120, key=0, family=2,
                    pitch=rng.integers(30, 90, len(onset)), velocity=80)  # fmt: skip


def write(folder: Path, make: Callable[[str, int], Notes], first: int, count: int = 10) -> Path:
    for genre in GENRES:
        (folder / genre).mkdir(parents=True)
        for seed in range(first, first + count):
            write_midi(make(genre, seed), folder / genre / f"{genre}.{seed:05d}.mid")
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("scores")
    sounds = root / "sounds" / "slow"
    sounds.mkdir(parents=True)
    soundfile.write(sounds / "a.wav", np.random.default_rng(0).normal(0, 0.1, 20_000), 4000)
    return {
        "real": write(root / "real", tune, 0),
        "training": write(root / "training", tune, 50),
        "good": write(root / "good", tune, 20),
        "piled": write(root / "piled", piled, 0),
        "copied": write(root / "copied", lambda genre, seed: transposed(tune(genre, seed), 3), 50),
        "sounds": root / "sounds",
    }


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["judge", *map(str, args)])
        return status, *capsys.readouterr()

    return call


def verdicts() -> dict[str, str]:
    report = json.loads(Path("judged/judge.json").read_text())
    return {row["what"]: row["verdict"] for row in report["targets"]}


def measures() -> dict[str, dict[str, dict[str, float]]]:
    found = json.loads(Path("judged/judge.json").read_text())["scores"]["measures"]
    return {name: column["values"] for name, column in found.items()}


def test_good_scores_meet_their_targets(judged: Call, places: dict[str, Path]) -> None:
    status, out, err = judged(places["good"], places["real"], "--training", places["training"])
    assert status == 0, err
    values = measures()
    assert list(values) == ["real", "good", "shuffled notes", "first bar repeated"]
    assert values["good"]["notes in scale"]["value"] == pytest.approx(1, abs=0.03)
    assert values["good"]["bars that return"]["value"] == pytest.approx(6 / 7, abs=0.02)
    assert values["first bar repeated"]["bars that return"]["value"] == 1
    assert values["shuffled notes"]["bars that return"]["value"] < 0.2
    found = verdicts()
    assert found["notes in scale"] == found["bars that return"] == found["notes without an end"] == "met"
    assert found["genre recognised from note statistics, against real scores"] == "met"
    assert "Scores judged from 0 to 16 s" in out
    page = Path("judged/judge.html").read_text()
    assert "bars that return" in page
    assert "<audio" not in page
    assert "Second by second" not in page


def test_piles_of_notes_have_no_genre(judged: Call, places: dict[str, Path]) -> None:
    status, out, err = judged(places["piled"], places["real"], "--training", places["training"])
    assert status == 0, err
    found = verdicts()
    assert found["notes in scale"] == found["most notes at once"] == found["bars that return"] == "not met"
    assert found["genre recognised from note statistics, against real scores"] == "no verdict"
    assert "but the notes miss their targets (notes in scale, most notes at once)" in out


def test_transposed_copies_are_found(judged: Call, places: dict[str, Path]) -> None:
    args = (places["real"], "--training", places["training"], "--others", places["good"])
    assert judged(places["copied"], *args)[0] == 0
    runs = {name: column["longest run of a training score, notes"] for name, column in measures().items()}
    assert runs["copied"]["value"] == (32 + 64) / 2
    assert runs["good"]["value"] < 12
    assert runs["copied"]["by_genre"] == {"quick": 64, "slow": 32}
    assert verdicts()["longest run of a training score, notes, longest of all"] == "not met"


def test_training_scores_among_real_ones_are_left_out(judged: Call, places: dict[str, Path], tmp_path: Path) -> None:
    real = shutil.copytree(places["real"], tmp_path / "all")
    shutil.copytree(places["training"], real, dirs_exist_ok=True)
    (real / "slow" / "damaged.mid").write_text("not MIDI")
    status, out, err = judged(places["good"], real, "--training", places["training"])
    assert status == 0, err
    report = json.loads(Path("judged/judge.json").read_text())
    assert (report["scores"]["pieces"]["real"], report["scores"]["training_scores"]) == (20, 20)
    assert "Note: 1 real score left out, such as damaged.mid: not a MIDI file" in out
    assert judged(places["good"], places["real"])[0] == 0
    assert "copied runs of notes cannot be measured" in json.loads(Path("judged/judge.json").read_text())["notes"][0]


def test_a_prompt_does_not_count(judged: Call, places: dict[str, Path], tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "slow").mkdir(parents=True)
    lines = []
    for seed in range(4):
        prompt, own = tune("slow", 0), piled("slow", seed)
        own["onset"] += 384
        write_midi(np.concatenate([prompt, own]), made / "slow" / f"{seed}.mid")
        lines.append(json.dumps({"file": f"slow/{seed}.wav", "prompt": f"{seed // 2}.mid", "context_seconds": 15.5}))
    (made / "continuations.jsonl").write_text("\n".join(lines))
    assert judged(made, places["real"], "--context_seconds", 0)[0] == 0
    whole = measures()["made"]["bars that return"]["value"]
    real = write(tmp_path / "long", lambda genre, seed: melody(tune(genre, seed)["pitch"].tolist() * 3), 0, 3)
    status, out, err = judged(made, real)
    assert status == 0, err
    assert measures()["made"]["bars that return"]["value"] < 0.3 < 0.45 < whole
    assert "too few tracks for a verdict: 2 of 20" in out


def test_verdicts_without_a_control_are_withheld() -> None:
    rows = [{"what": what, "met": True, "wanted": ""} for what in ("genre recognised, against real music", "loudness")]
    why = verdict.controls_fail({"low": 0.09, "baseline": 0.1})
    assert [row["met"] for row in verdict.gated(rows, why)] == [None, True]
    assert verdict.gated(rows, verdict.controls_fail({"low": 0.2, "baseline": 0.1})) == rows
    few = [{"what": "genre recognised", "met": None, "verdict": "too few"}]
    assert verdict.gated(few, why) == few


def test_recordings_and_scores_in_one_folder(
    judged: Call, places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "both"
    shutil.copytree(places["good"] / "slow", made / "slow")
    soundfile.write(made / "slow" / "slow.00020.wav", np.random.default_rng(1).normal(0, 0.1, 20_000), 4000)
    status, out, err = judged(made, places["sounds"], "--scores", places["real"], "--ab")
    assert status == 0, err
    assert "ab.html" in out
    assert Path("judged/ab.html").read_text().count("<audio") == 2
    report = json.loads(Path("judged/judge.json").read_text())
    assert report["tracks"]["both"] == 1
    assert report["scores"]["pieces"]["both"] == 10
    assert "beat: peak of the onsets' autocorrelation" in report["measures"]["real"]
    assert {"notes in scale", "beat: peak of the onsets' autocorrelation"} <= verdicts().keys()
    page = Path("judged/judge.html").read_text()
    assert "Second by second" in page
    assert "Notes in scale" in page
    monkeypatch.setattr(command, "write_judgement", lambda *_: None)  # slow to draw
    assert judged(made, places["sounds"])[0] == 0
    assert "--scores DIR names real scores" in json.loads(Path("judged/judge.json").read_text())["notes"][0]


def test_real_scores_are_rendered_where_there_are_no_recordings(
    judged: Call, places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "write_judgement", lambda *_: None)  # slow to draw
    monkeypatch.setattr(rendering, "_IN_ALL", 4)
    monkeypatch.setattr(rendering, "_OF_A_GENRE", 2)
    made = shutil.copytree(places["good"], tmp_path / "made")
    for genre in GENRES:
        notes = tune(genre, 20)
        soundfile.write(made / genre / f"{genre}.00020.wav", render(notes, 4000, 6.0), 4000)
    status, out, err = judged(made, places["real"], "--ab")
    assert status == 0, err
    report = json.loads(Path("judged/judge.json").read_text())
    assert report["tracks"]["real"] == 4
    assert report["judged_s"] == [0, 6]
    beat = report["measures"]["real"]["beat: peak of the onsets' autocorrelation"]["value"]
    assert beat > 0.4 > report["measures"]["white noise"]["beat: peak of the onsets' autocorrelation"]["value"]
    assert "Note: the real recordings are held-out scores of" in out
    assert Path("judged/ab.html").read_text().count("<audio") == 4


def test_folders_of_the_wrong_kind(judged: Call, places: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(places["good"] / "slow", tmp_path / "polka" / "polka")
    for name in ("empty", "damaged/slow"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "damaged/slow/x.mid").write_bytes(b"MThd")
    good, real, sounds = places["good"], places["real"], places["sounds"]
    for args, match in (
        ((good, sounds), f"{sounds}: no scores (.mid) in genre folders, but"),
        ((sounds, real), f"{real}: scores, but {sounds} has recordings only"),
        ((sounds, sounds, "--scores", real), f"--scores {real}: {sounds} has recordings only"),
        ((good, sounds, "--scores", "empty"), "--scores empty: no scores"),
        ((good, "nowhere"), "nowhere: no such folder"),
        ((good, real, "--judge", "x.ckpt"), "--judge x.ckpt: a classifier of recordings"),
        ((good, real, "--ab"), "--ab: a listening test needs"),
        ((good, real, "--context_seconds", 15.5), "at least 1 s"),
        (("damaged", real), "x.mid: not a MIDI file"),
        (("polka", real), f"{real}: no scores of genre 'polka'; its sub-folders have quick, slow"),
        ((good, good, "--training", good), "not trained on (10 scores that it was trained on)"),
        (("empty", real), "empty: no wav files and no scores"),
    ):
        status, _, err = judged(*args)
        assert status == 2, args
        assert match in err
        assert "Traceback" not in err
