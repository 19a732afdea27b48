"""`musiccli plot`: what it draws is what is in the music, and what it refuses."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from matplotlib.image import imread
from scipy import stats

from musicgen_cls.__main__ import main
from musicgen_cls.audio.mel import LogMel
from musicgen_cls.audio.spectra import mel_centres_hz, mel_of, power_spectrogram
from musicgen_cls.commands.plot.command import plot
from musicgen_cls.commands.plot.genres import average
from musicgen_cls.commands.plot.recordings import recogniser
from musicgen_cls.metrics.intervals import student
from musicgen_cls.sources.folder import Folder
from small_checkpoints import classifier_checkpoint

RATE = 22050


def tone(hz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize("together", [1, 3, 5000])
@pytest.mark.parametrize("samples", [100, 512, 40000, 41111])
def test_power_is_librosas_averaged(librosa, samples, together):
    y = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    found = power_spectrogram(y, together)
    columns = -(-samples // (512 * together))
    assert found.shape == (1025, columns)
    padded = np.pad(y, (0, columns * together * 512 - samples))
    whole = np.abs(librosa.stft(padded, n_fft=2048, hop_length=512, pad_mode="constant")) ** 2
    wanted = whole[:, : columns * together].reshape(1025, columns, together).mean(axis=2)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_mel_is_the_networks():
    y = tone(440, 2.0) + 0.01 * np.random.default_rng(0).normal(size=2 * RATE).astype(np.float32)
    mel = mel_of(power_spectrogram(y), RATE)
    network = LogMel(RATE, 2048, 512, 128, top_db=200.0)(torch.from_numpy(y)[None])[0].numpy()
    np.testing.assert_allclose(mel[:, 2:80], network[:, 2:80], atol=0.01)
    assert abs(mel_centres_hz(RATE)[mel.mean(axis=1).argmax()] - 440) < 20


def test_an_average_is_as_long_as_half_of_the_tracks():
    short, middle, long = (
        np.full((2, columns), value, np.float32) for columns, value in ((2, 0.0), (3, 3.0), (9, 6.0))
    )
    np.testing.assert_allclose(average([short, middle, long]), [[3.0, 3.0, 4.5]] * 2)


def test_student_is_scipys():
    values = [1.0, 2.0, 4.0, 8.0]
    found = student(values)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))
    assert student([3.0]) == student([3.0, 3.0])


def test_figures_of_files_and_folders(music, tmp_path, monkeypatch, capsys):
    songs, out = tmp_path / "songs", tmp_path / "two"
    for genre in ("blues", "jazz"):
        (songs / genre).mkdir(parents=True)
        shutil.copy(music / genre / "0.wav", songs / genre)
    monkeypatch.chdir(songs)
    assert main(["plot", str(songs / "jazz" / "0.wav"), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"Figures:     {tmp_path / '0.wav.png'}\n"
    height, width = imread(tmp_path / "0.wav.png").shape[:2]
    assert (round(height, -1), width) == (1200, 1440)
    (songs / "bad.wav").write_bytes(b"no audio")
    files = ["jazz/0.wav", "blues/../jazz/0.wav", str(songs / "blues/../blues/0.wav"), "bad.wav"]
    assert main(["plot", *files, "--out", str(out), "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "left out: bad.wav: not audio that can be read" in printed
    assert "and 1 more" in printed
    drawn = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert drawn == ["blues/0.wav.png", "jazz/0.wav.png"]
    assert not list(songs.rglob("*.png"))


def test_what_a_folder_holds_besides_is_named(music, tmp_path, capsys):
    folder = tmp_path / "songs"
    folder.mkdir()
    (folder / "0.wav").write_bytes((music / "jazz" / "0.wav").read_bytes())
    for name in ("a.m4a", "notes.txt", "cover.jpg"):
        (folder / name).touch()
    assert main(["plot", str(folder), "--out", str(tmp_path / "out")]) == 0
    left_out = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out: ")]
    assert [line.split(": ")[1] for line in left_out] == [str(folder / "a.m4a"), str(folder / "notes.txt")]


def test_figures_of_files_and_genres_for_print(music, tmp_path, capsys):
    out = ["--out", str(tmp_path), "--jobs", "1", "--figure_format"]
    assert main(["plot", str(music / "jazz" / "0.wav"), *out, "svg"]) == 0
    assert "0.wav.svg" in capsys.readouterr().out
    assert (tmp_path / "0.wav.svg").read_text().startswith("<?xml")
    assert main(["plot", "--source", "Folder", "--source.root", str(music), *out, "pdf"]) == 0
    assert "mel.pdf, spectrum.pdf, sound.pdf" in capsys.readouterr().out
    assert all((tmp_path / f"{name}.pdf").read_bytes()[:4] == b"%PDF" for name in ("mel", "spectrum", "sound"))
    assert not list(tmp_path.rglob("*.png"))


def test_predicted_probabilities_are_drawn(music, tmp_path):
    checkpoint = tmp_path / "made.ckpt"
    classifier_checkpoint(checkpoint, music)
    args = ["plot", str(music / "jazz" / "1.flac"), "--ckpt_path", str(checkpoint), "--out", str(tmp_path)]
    assert main(args) == 0
    assert imread(tmp_path / "1.flac.png").shape[0] > 1400
    said = recogniser(str(checkpoint)).steps(music / "jazz" / "1.flac")
    starts, probabilities = recogniser(str(checkpoint)).timeline(music / "jazz" / "1.flac")
    np.testing.assert_allclose(said.start_s, starts)
    np.testing.assert_allclose(said.end_s, starts + 2.0)
    np.testing.assert_allclose(said.probabilities, probabilities, atol=1e-6)


def test_genres_of_a_collection(tmp_path, capsys):
    for genre, hz in (("low", 300.0), ("high", 3000.0)):
        (tmp_path / "music" / genre).mkdir(parents=True)
        for number, seconds in enumerate((1.0, 1.5)):
            soundfile.write(tmp_path / "music" / genre / f"{number}.wav", tone(hz * (1 + number / 10), seconds), RATE)
    soundfile.write(tmp_path / "music" / "low" / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "music" / "astray.wav", tone(300.0, 1.0), RATE)
    plot(source=Folder(str(tmp_path / "music")), out=str(tmp_path / "out"), jobs=1)
    printed = capsys.readouterr().out
    assert "2 files left out:" in printed
    assert "astray.wav: not in the sub-folder of a genre" in printed
    assert "(4 tracks)" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "mel.png", "spectrum.png", "sound.png", "genres.csv", "tracks.csv",
    }  # fmt: skip
    genres = pd.read_csv(tmp_path / "out" / "genres.csv").set_index("genre")
    assert genres["tracks"].to_dict() == {"high": 2, "low": 2}
    assert genres.loc["high", "centroid_hz"] == pytest.approx(3150, rel=0.1)
    assert genres.loc["low", "loudness_db"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.1)
    assert (genres["centroid_hz_low"] < genres["centroid_hz"]).all()
    assert len(pd.read_csv(tmp_path / "out" / "tracks.csv")) == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "needs either files or --source"),
        (["a.wav", "--source", "Folder", "--source.root", "."], "needs either files or --source"),
        (["missing.wav"], "FILE missing.wav: no such file"),
        (["bad.wav"], "bad.wav: not audio"),
        (["bad.wav", "silent.wav"], "(2 files, none of them usable)"),
        (["bad.wav", "--sample_rate", "0"], "--sample_rate 0: "),
        (["bad.wav", "--sample_rate", "4000000"], "must be from 4000 to 96000"),
        (["tone.wav", "--out", "taken"], "tone.wav.png: a folder; name a file to write"),
        (["bad.wav", "--sample_rate", "fast"], "'fast' is not a whole number"),
        (["bad.wav", "--jobs", "0"], "--jobs 0: must be from 1 to 256"),
        (["bad.wav", "--jobs", "-7"], "--jobs -7: must be from 1 to 256"),
        (["bad.wav", "--out", ""], "--out: the value is empty"),
        (["bad.mp3"], "bad.mp3: not audio that can be read (damaged, cut short, or of another format)"),
        (["bad.wav", "--out", "bad.wav"], "bad.wav: cannot be written"),
        (["--source", "Folders", "--source.root", "."], "did you mean 'Folder'?"),
        (["--source", "Folder", "--source.root", "missing"], "missing"),
        (["bad.wav", "--outt", "x"], "did you mean"),
        (["bad.wav", "--figure_format", "jpg"], "figure_format: 'jpg' is not one of png, svg, pdf"),
        (["bad.wav", "--ckpt_path", "none.ckpt"], "none.ckpt: no such file"),
        (["--source", "Folder", "--source.root", ".", "--ckpt_path", "none.ckpt"], "leave it out with --source"),
    ],
)
def test_what_it_refuses(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    (tmp_path / "bad.mp3").write_bytes(b"no audio")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "tone.wav", tone(440, 1.0), RATE)
    (tmp_path / "taken" / "tone.wav.png").mkdir(parents=True)
    assert main(["plot", *args]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1]
    assert said[-1].startswith("musiccli: error: ")
    assert not [path for path in tmp_path.rglob("*.png") if path.is_file()]


def test_names_in_letters_that_the_font_lacks(tmp_path, recwarn):
    soundfile.write(tmp_path / "\u66f2 \U0001f3b5.wav", tone(440, 0.2), RATE)
    plot([str(tmp_path / "\u66f2 \U0001f3b5.wav")], out=str(tmp_path / "out"))
    assert (tmp_path / "out" / "\u66f2 \U0001f3b5.wav.png").is_file()
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
