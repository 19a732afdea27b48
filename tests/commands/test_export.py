"""`musiccli export`: its file equals the checkpoint and runs without torch; its card tells what the reports tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import soundfile
import torch
from lightning.pytorch import Trainer

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.audio.features import COLUMNS
from musicgen_cls.audio.io import read, to_pcm
from musicgen_cls.audio.mel import DirectLogMel, LogMel
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.commands.export import card as model_card
from musicgen_cls.commands.export import command as exporting
from musicgen_cls.commands.export.module import Exported
from musicgen_cls.datamodules import Embeddings, WaveformSlices
from musicgen_cls.datamodules.feature_table import FeatureTable
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.spectrograms import Spectrograms
from musicgen_cls.errors import CheckpointError, RecordError, UsageError
from musicgen_cls.metrics.calibration import Fit
from musicgen_cls.models.classifiers.cnn import CNN
from musicgen_cls.models.classifiers.cnn5 import CNN5
from musicgen_cls.models.classifiers.conv_lstm import ConvLSTM
from musicgen_cls.models.classifiers.feature_lstm import FeatureLSTM
from musicgen_cls.models.classifiers.feature_mlp import FeatureMLP
from musicgen_cls.models.classifiers.recurrent import Recurrent
from musicgen_cls.models.classifiers.temporal_pooling import TemporalPooling
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.models.heads.linear_probe import LinearProbe
from musicgen_cls.pretrained import FineTuned
from musicgen_cls.recogniser import GenreRecogniser, load_parts
from musicgen_cls.sources.folder import Folder
from musicgen_cls.synth.render import render
from musicgen_cls.tasks.classification import GenreClassifier

RATE = 22050
NETWORKS = {  # a network, and what it is fed; every network once as ONNX, every front end on several
    "VGG": (partial(VGG, width=2, pairs=1), {}),
    "CNN5": (partial(CNN5, width=2), {"n_fft": 1000, "hop_length": 401}),
    "CNN": (partial(CNN, width=2, hidden=4), {"logarithm": "natural"}),
    "LSTM": (partial(Recurrent, cell="lstm", n_mels=32, hidden=8), {}),
    "GRU": (partial(Recurrent, cell="gru", n_mels=32, hidden=8), {"logarithm": "natural"}),
    "ConvLSTM": (partial(ConvLSTM, n_mels=32, filters=8, hidden=8), {"logarithm": "natural"}),
    "TemporalPooling": (partial(TemporalPooling, n_mels=32, filters=8, stride=1), {"logarithm": "natural"}),
}
Maker = Any


def trained(data: Any, network: Any, path: Path) -> Path:
    """A calibrated checkpoint of a network that saw a batch, its weights enlarged so that differences show."""
    torch.manual_seed(0)
    task = GenreClassifier(network, num_classes=len(data.genres))
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(max_steps=1, limit_val_batches=0, enable_model_summary=False, **options)
    trainer.fit(task, data)
    last = [module for module in task.network.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.weight.data.mul_(20)
    task.calibration.set(Fit(1.5, np.linspace(-0.4, 0.4, len(data.genres)), 30, 1.0, 0.9))
    path.parent.mkdir(parents=True, exist_ok=True)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def make(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Makes the checkpoint of a network by its name in `NETWORKS`, once."""
    home = tmp_path_factory.mktemp("export")

    def made(name: str) -> Path:
        path = home / name / "best.ckpt"
        if not path.exists():
            network, fed = NETWORKS[name]
            settings = {"seconds": 0.8, "n_fft": 1024, "hop_length": 512, "n_mels": 32, **fed}
            data = MelSlices(
                Folder(str(music)), windows_per_track=2, fractions=(0.5, 0.25, 0.25), batch_size=5, **settings
            )
            write_report(trained(data, network, path))
        return path

    return made


@pytest.fixture(scope="module", autouse=True)
def one_registry() -> Iterator[None]:
    """The exporter's tables of operators, which take it seconds, are made once."""
    from torch._export import utils
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        patch.setattr(utils, "_materialize_cpp_cia_ops", cache(utils._materialize_cpp_cia_ops))
        yield


@pytest.fixture(scope="module")
def outputs() -> dict[Path, tuple[str, str]]:
    """What the command printed, and its errors, for each file."""
    return {}


@pytest.fixture(scope="module")
def exported(make: Maker, outputs: dict[Path, tuple[str, str]]) -> Maker:
    """Exports the checkpoint of a network by its name, with a report beside it, once to each format."""

    def made(name: str, suffix: str = ".onnx") -> Path:
        checkpoint = make(name)
        place = checkpoint.parent / suffix[1:] / f"model{suffix}"
        if not place.exists():
            format = next(format for format, its in exporting.SUFFIXES.items() if its == suffix)
            with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()) as errors:
                assert main(["export", str(checkpoint), "--format", format, "--out", str(place)]) == 0
            outputs[place] = printed.getvalue(), errors.getvalue()
        return place

    return made


@pytest.fixture
def vgg(make: Maker, tmp_path: Path) -> Path:
    """A copy of a checkpoint, in a folder of its own."""
    return Path(shutil.copy(make("VGG"), tmp_path / "best.ckpt"))


def odd_windows(length: int) -> np.ndarray:
    """Float windows, not all of 16 bits: music, too loud, quiet, below a step, silent, half silent, clipped."""
    song = np.resize(render("jazz", 3, seconds=1.0), length)
    noise = np.random.default_rng(1).normal(0, 0.1, length)
    half = np.where(np.arange(length) < length // 3, 0, noise)
    clipped = (20 * song).clip(-1, 1)
    return np.stack([song, 5 * song, 1e-3 * song, 1e-5 * noise, 0 * song, half, clipped]).astype(np.float32)


def probabilities(recognise: GenreRecogniser, windows: np.ndarray) -> np.ndarray:
    """What the checkpoint says of windows, silent ones among them, as of audio from a file."""
    x = recognise._input(torch.from_numpy(to_pcm(windows)))
    return recognise._windows(x, np.zeros(len(windows)), 1.0).probabilities


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_equals_the_checkpoint(make: Maker, exported: Maker, music: Path, name: str) -> None:
    session, recognise = onnxruntime.InferenceSession(exported(name)), GenreRecogniser(make(name))
    length = recognise.data.window_samples
    song = read(music / "metal" / "1.flac", RATE)
    windows = np.concatenate([odd_windows(length), [song[i : i + length] for i in range(0, 3 * length, length)]])
    want = probabilities(recognise, windows)
    got = session.run(None, {"waveform": windows})[0]
    assert got.shape == (10, 3)
    np.testing.assert_allclose(got, want, atol=exporting.TOLERANCE)
    assert np.ptp(want, axis=0).max() > 0.03, "windows that all sound alike prove nothing"
    for window, row in zip(windows, want, strict=True):
        np.testing.assert_allclose(session.run(None, {"waveform": window[None]})[0][0], row, atol=exporting.TOLERANCE)
    assert sum(recognise(song[:length]).values()) == pytest.approx(1)
    np.testing.assert_allclose(list(recognise(song[:length]).values()), got[7], atol=exporting.TOLERANCE)


@pytest.mark.parametrize("name", ["VGG", "GRU", "ConvLSTM"])
def test_torch_export_equals_the_checkpoint(make: Maker, exported: Maker, name: str) -> None:
    extra = {"metadata.json": ""}
    model = torch.export.load(exported(name, ".pt2"), extra_files=extra).module()
    recognise = GenreRecogniser(make(name))
    assert json.loads(extra["metadata.json"])["labels"] == recognise.genres
    windows = odd_windows(recognise.data.window_samples)
    want = probabilities(recognise, windows)
    np.testing.assert_allclose(model(torch.from_numpy(windows)).detach(), want, atol=1e-6)
    np.testing.assert_allclose(model(torch.from_numpy(windows[:1])).detach(), want[:1], atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop"), [(1000, 401), (441, 220), (512, 256)])
def test_sines_written_out_equal_the_fast_transform(n_fft: int, hop: int) -> None:
    windows = torch.from_numpy(odd_windows(RATE))
    fast, direct = (kind(RATE, n_fft, hop, 40) for kind in (LogMel, DirectLogMel))
    assert direct.power(windows).shape == fast.power(windows).shape
    torch.testing.assert_close(direct(windows), fast(windows), atol=2e-3, rtol=0)
    assert (direct.power(windows)[4] == 0).all(), "silence"


def run_the_card(card: Path, folder: Path, *forbidden: str) -> dict[str, float]:
    """Run the card's own example as a script; it must not have imported what is forbidden."""
    code = re.search(r"```python\n(.*?)```", card.read_text(), re.DOTALL)
    assert code is not None
    check = f"\nimport sys\nassert not {set(forbidden)!r} & set(sys.modules), sorted(sys.modules)\n"
    run = subprocess.run([sys.executable, "-c", code[1] + check], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    said = {label: float(share) for label, share in (line.split(": ") for line in run.stdout.splitlines())}
    return said


@pytest.mark.parametrize("seconds", [0.5, 2.9])
def test_the_cards_example_runs_without_torch(make: Maker, exported: Maker, tmp_path: Path, seconds: float) -> None:
    soundfile.write(tmp_path / "song.wav", render("blues", 1, seconds=seconds), RATE)
    place = shutil.copy(exported("CNN"), tmp_path)
    said = run_the_card(exporting.card_of(exported("CNN")), tmp_path, "torch", "lightning", "musicgen_cls")
    assert Path(place).name == "model.onnx"
    assert_says(said, make("CNN"), tmp_path / "song.wav")


def test_the_cards_example_runs_on_torch_alone(make: Maker, exported: Maker, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", render("blues", 1, seconds=2.9), RATE)
    place = exported("VGG", ".pt2")
    shutil.copy(place, tmp_path)
    said = run_the_card(exporting.card_of(place), tmp_path, "onnxruntime", "lightning", "musicgen_cls")
    assert_says(said, make("VGG"), tmp_path / "song.wav")


def assert_says(said: dict[str, float], checkpoint: Path, song: Path) -> None:
    want = musicgen_cls.load(checkpoint)(song)
    assert list(said) == list(want)
    assert said == pytest.approx(want, abs=6e-4)  # printed with three digits


def test_the_facts_in_the_file(make: Maker, exported: Maker, outputs: dict[Path, tuple[str, str]]) -> None:
    place = exported("VGG")
    printed, errors = outputs[place]
    assert [line.split(":")[0] for line in printed.splitlines()] == ["Exported", "Checked", "Card"]
    assert errors == "", "exporters are kept quiet"
    assert sorted(file.name for file in place.parent.iterdir()) == ["model.onnx", "model.onnx.md"]
    model = onnx.load(place)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}, "standard operators only"
    (given,), (made,) = model.graph.input, model.graph.output
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["batch", 17640]
    assert [d.dim_param or d.dim_value for d in made.type.tensor_type.shape.dim] == ["batch", 3]
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(about["labels"]) == ["blues", "jazz", "metal"]
    assert (about["sample_rate"], about["seconds"], about["window_samples"]) == ("22050", "0.8", "17640")
    assert (about["format_version"], about["musicgen_cls_version"]) == ("2", musicgen_cls.__version__)
    assert json.loads(about["network"])["class_path"] == "musicgen_cls.models.VGG"
    calibration = json.loads(about["calibration"])
    assert calibration["temperature"] == 1.5
    assert calibration["bias"] == pytest.approx([-0.4, 0, 0.4])
    assert "are calibrated on validation tracks (temperature 1.5, and a bias" in Path(f"{place}.md").read_text()
    assert json.loads(about["trained_on"]) == {
        **{"source": "music", "split": "track", "fold": None, "split_seed": 0, "fractions": [0.5, 0.25, 0.25]}
    }
    (report,) = json.loads(about["reports"])
    assert report["track_accuracy"] == {"value": 0.5, "low": 0.25, "high": 0.75}
    assert (report["tracks"], report["split"], report["leaks"]) == (4, "track", False)
    assert "Apache-2.0" in about["licence"]
    for text in (str(Path(musicgen_cls.__file__).parent), str(make("VGG").parent)):
        assert text.encode() not in place.read_bytes(), "paths of this machine"


def test_torch_file_holds_no_paths_and_no_examples(make: Maker, exported: Maker) -> None:
    place = exported("VGG", ".pt2")
    for text in (str(Path(musicgen_cls.__file__).parent), str(make("VGG").parent)):
        assert text.encode() not in place.read_bytes(), "paths of this machine"
    assert torch.export.load(place).example_inputs is None


def write_report(checkpoint: Path, name: str = "test-music-track", **changed: Any) -> Path:
    """A report as `test` leaves it."""
    interval = {"value": 0.5, "low": 0.25, "high": 0.75}
    row = {"tracks": 2, "precision": interval, "recall": None, "f1": 0.4}
    report = {
        **{"source": "music", "split": "track", "fold": None, "split_seed": 0, "can_leak": False},
        **{"tracks_seen_in_training": 0, "level_offset_db": 0.1, "genres": ["blues", "jazz", "metal"]},
        **{
            "interval": "95 %: Wilson",
            "tracks": 4,
            "windows": 8,
            "majority_baseline": 0.25,
            "segment_accuracy": interval,
        },
        **{"track_accuracy": interval, "macro_f1": interval, "per_genre": {"blues": row, "metal": row | {"f1": None}}},
        **changed,
    }
    folder = checkpoint.with_name(f"{checkpoint.stem}-{name}")
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report))
    return folder / "report.json"


def card_of(checkpoint: Path) -> str:
    """The card, without exporting anything."""
    saved = read_checkpoint(checkpoint)
    task, data = load_parts(saved, torch.device("cpu"))
    whole = Exported(data, task).eval()
    return model_card.card(
        model_card.facts(saved, task, data, whole.input.facts), whole.input.name, Path("model.onnx"), 1e-7
    )


class TestCard:
    def test_without_a_report(self, vgg: Path) -> None:
        card = card_of(vgg)
        assert "Warning: not tested." in card
        assert "0.5 / 0.25 / 0.25 for training, validation and test" in card
        assert "after Xu, Pulappadi, Li and Peacock, \"What's in the noise?" in card
        assert "In order: `blues`, `jazz`, `metal`." in card
        assert "%" not in card.split("## Figures")[1].split("## Limits")[0]

    def test_with_reports(self, vgg: Path) -> None:
        write_report(vgg)
        write_report(vgg, "test-others-external", source="others", split="external", level_offset_db=-9.0)
        card = card_of(vgg)
        assert "Warning: not tested" not in card
        assert "| track accuracy | 50.0 % [25.0, 75.0] |" in card
        assert "| `blues` | 2 | - | 50.0 % [25.0, 75.0] | 40.0 |" in card
        assert "| `metal` | 2 | - | 50.0 % [25.0, 75.0] | - |" in card
        assert card.count("Warning") == 1
        assert "### Test on `others`, split `external`\n\n> **Warning:** these windows were 9 dB quieter" in card

    def test_leaks(self, vgg: Path) -> None:
        write_report(vgg, "test-music-segment", split="segment", can_leak=True)
        write_report(vgg, "test-music-track", can_leak=True, tracks_seen_in_training=3)
        saved = torch.load(vgg, weights_only=True)
        saved["datamodule_hyper_parameters"]["split"] = "segment"
        torch.save(saved, vgg)
        card = card_of(vgg)
        assert "> **Warning: trained with a split that leaks.**" in card
        assert "Warning:** split 'segment' puts windows of one track on both sides" in card
        assert "was trained or selected on 3 tracks of this test" in card
        assert "this report is older than the checkpoint" in card

    @pytest.mark.parametrize("text", ["{", "[]", '{"source": "music"}'])
    def test_a_report_that_is_none(self, vgg: Path, text: str) -> None:
        write_report(vgg).write_text(text)
        with pytest.raises(RecordError, match=r"report\.json: .*; delete it, or write it again with musiccli test"):
            card_of(vgg)

    def test_a_report_of_another_checkpoint(self, vgg: Path) -> None:
        write_report(vgg, genres=["blues", "pop"])
        with pytest.raises(CheckpointError, match=r"report\.json: has other genres"):
            card_of(vgg)


@pytest.mark.parametrize("look_back", [0, 3])
def test_rows_of_features(tmp_path: Path, look_back: int) -> None:
    rng = np.random.default_rng(0)
    names = [f"{genre}.{track:05}.{part}.wav" for genre in "ab" for track in range(6) for part in range(5)]
    table = pd.DataFrame(rng.normal(5, 2, (60, 58)), columns=list(COLUMNS))
    table["tempo"] = 120.0  # a column that does not move is fed as zeros
    table.insert(0, "filename", names)
    table["label"] = [name[0] for name in names]
    table.to_csv(tmp_path / "features.csv", index=False)
    data = FeatureTable(str(tmp_path / "features.csv"), look_back=look_back)
    network = partial(FeatureLSTM, hidden=8) if look_back else partial(FeatureMLP, hidden=(8,))
    checkpoint = trained(data, network, tmp_path / "best.ckpt")
    exporting.export(str(checkpoint))
    task, data = load_parts(read_checkpoint(checkpoint), torch.device("cpu"))
    rows = torch.from_numpy(table[list(COLUMNS)].to_numpy("float32"))
    x = torch.stack([rows[i : i + 3] for i in range(len(rows) - 3)]) if look_back else rows
    fed = data.on_after_batch_transfer({"x": x if look_back else x[:, None]}, 0)["x"]
    want = task.probabilities(fed).detach().numpy().mean(axis=0)
    said = run_the_card(tmp_path / "best.onnx.md", tmp_path, "torch", "musicgen_cls")
    assert list(said.values()) == pytest.approx(want.tolist(), abs=6e-4)


def test_spectrograms(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for genre in ("blues", "metal"):
        for track in range(6):
            (tmp_path / "pictures" / genre).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "pictures" / genre / f"{track}.npy", rng.normal(-40, 10, (32, 50)))
    data = Spectrograms(Folder(str(tmp_path / "pictures")), frames=24, n_mels=32)
    checkpoint = trained(data, partial(CNN, width=2, hidden=4), tmp_path / "best.ckpt")
    exporting.export(str(checkpoint))
    song = np.load(tmp_path / "pictures" / "blues" / "0.npy").astype("float32")
    np.save(tmp_path / "song.npy", song)
    windows = np.stack([song.T[start : start + 24] for start in (0, 24, 26)])
    task, data = load_parts(read_checkpoint(checkpoint), torch.device("cpu"))
    fed = data.on_after_batch_transfer({"x": torch.from_numpy(windows)}, 0)["x"]
    want = task.probabilities(fed).mean(dim=0).tolist()
    said = run_the_card(tmp_path / "best.onnx.md", tmp_path, "torch", "musicgen_cls")
    assert list(said.values()) == pytest.approx(want, abs=6e-4)


@pytest.mark.usefixtures("shallow", "invented")
@pytest.mark.parametrize(
    ("part", "format"),
    [("embeddings", "onnx"), ("embeddings", "torch_export"), ("tags", "onnx"), ("fine_tuned", "onnx")],
)
def test_pretrained_networks_are_in_the_file(part: str, format: Any, music: Path, tmp_path: Path) -> None:
    settings = {"fractions": (0.5, 0.25, 0.25), "seconds": 1.0, "batch_size": 2}
    name = "msd_musicnn" if part == "fine_tuned" else "yamnet"  # YAMNet is exported three times as fast
    if part == "fine_tuned":
        data = WaveformSlices(Folder(str(music)), windows_per_track=1, **settings)
        network = partial(FineTuned, backbone=name)
    else:
        data = Embeddings(Folder(str(music)), [name], rows=2, part=part, **settings)
        network = partial(LinearProbe, decays=[0.01, 0.1])
    checkpoint = trained(data, network, tmp_path / "best.ckpt")
    recognise = GenreRecogniser(checkpoint)
    windows = odd_windows(recognise.data.window_samples)
    want = probabilities(recognise, windows)
    place = exporting.export(str(checkpoint), format)
    if format == "onnx":
        got = onnxruntime.InferenceSession(place).run(None, {"waveform": windows})[0]
    else:
        got = torch.export.load(place).module()(torch.from_numpy(windows)).detach().numpy()
    # Logits are up to 40 here, so that rounding in the network counts more; it depends on the processor.
    np.testing.assert_allclose(got, want, atol=6 * exporting.TOLERANCE)
    card = exporting.card_of(place).read_text()
    trained_on = {"yamnet": "AudioSet, licence Apache-2.0;", "msd_musicnn": "Million Song Dataset"}
    assert f"- `{name}`: pretrained on {trained_on[name]}" in card
    assert "probably holds artists of GTZAN" in card


@pytest.fixture
def written(exported: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The torch file of the VGG, which is there already, is what the exporter writes: to export it takes a second."""
    place = exported("VGG", ".pt2")
    monkeypatch.setitem(exporting._WRITERS, "torch_export", lambda *args: shutil.copy(place, args[-1]))


class TestRefused:
    def fails(self, capsys: pytest.CaptureFixture[str], *args: object) -> str:
        capsys.readouterr()  # what the making of the checkpoint said
        assert main(["export", *map(str, args)]) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        return err.removeprefix("musiccli: error: ")

    def test_no_checkpoint(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert "gone.ckpt: no such file" in self.fails(capsys, tmp_path / "nowhere" / "gone.ckpt")
        assert not (tmp_path / "nowhere").exists()
        assert "missing: checkpoint" in self.fails(capsys)

    def test_damaged(self, capsys: pytest.CaptureFixture[str], vgg: Path) -> None:
        vgg.write_bytes(vgg.read_bytes()[:5000])
        assert "not a readable checkpoint" in self.fails(capsys, vgg)

    def test_a_generator(self, capsys: pytest.CaptureFixture[str], vgg: Path) -> None:
        saved = torch.load(vgg, weights_only=True)
        arguments = {"_class_path": "musicgen_cls.tasks.generation.GenreGenerator", "lr": 0.1}
        saved["hyper_parameters"] = arguments
        torch.save(saved, vgg)
        said = self.fails(capsys, vgg)
        assert "generators cannot be exported, since" in said
        assert "musiccli predict" in said

    def test_words(self, capsys: pytest.CaptureFixture[str], vgg: Path) -> None:
        assert "did you mean 'onnx'?" in self.fails(capsys, vgg, "--format", "onx")
        assert "did you mean 'format'?" in self.fails(capsys, vgg, "--formt", "onnx")

    def test_suffix(self, capsys: pytest.CaptureFixture[str], vgg: Path) -> None:
        assert "model.pt2: --format onnx writes .onnx files" in self.fails(capsys, vgg, "--out", "model.pt2")

    @pytest.mark.parametrize("there", ["best.onnx", "best.onnx.md"])
    def test_what_is_there_stays(self, capsys: pytest.CaptureFixture[str], vgg: Path, there: str) -> None:
        vgg.with_name(there).write_text("mine")
        said = self.fails(capsys, vgg)
        assert f"{there}: exists" in said
        assert "--overwrite true" in said
        assert vgg.with_name(there).read_text() == "mine"

    def test_a_folder_is_there(self, capsys: pytest.CaptureFixture[str], vgg: Path) -> None:
        vgg.with_name("best.onnx").mkdir()
        assert "best.onnx: a folder" in self.fails(capsys, vgg, "--overwrite", "true")

    def test_folder_that_cannot_be_written(self, capsys: pytest.CaptureFixture[str], vgg: Path) -> None:
        vgg.with_name("file").write_text("in the way")
        said = self.fails(capsys, vgg, "--out", vgg.with_name("file") / "model.onnx")
        assert "give another folder with --out FILE" in said

    def test_a_package_is_missing(
        self, capsys: pytest.CaptureFixture[str], vgg: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxscript" else name)
        said = self.fails(capsys, vgg)
        assert "needs onnxscript; run python -m pip install 'musicgen_cls[export]'" in said

    @pytest.mark.usefixtures("written")
    def test_what_does_not_equal_the_checkpoint(
        self, capsys: pytest.CaptureFixture[str], vgg: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vgg.with_suffix(".pt2").write_text("mine")
        load = exporting._RUNNERS["torch_export"]

        def inexact(path: Path) -> exporting.Runner:
            run = load(path)
            return lambda x: run(x) + 2e-4

        monkeypatch.setitem(exporting._RUNNERS, "torch_export", inexact)
        said = self.fails(capsys, vgg, "--format", "torch_export", "--overwrite", "true")
        assert "not exported: a probability differs from the checkpoint's by 2.0e-04, but 0.0001 is the limit" in said
        assert vgg.with_suffix(".pt2").read_text() == "mine"
        assert sorted(file.name for file in vgg.parent.iterdir()) == ["best.ckpt", "best.pt2"]

    def test_weights_that_are_not_finite(self, vgg: Path) -> None:
        saved = torch.load(vgg, weights_only=True)
        saved["state_dict"]["network.head.2.bias"][0] = torch.nan
        torch.save(saved, vgg)
        with pytest.raises(CheckpointError, match="training diverged"):
            exporting.export(str(vgg), "torch_export")

    def test_frames_that_onnxruntime_cannot_transform(self, capsys: pytest.CaptureFixture[str], vgg: Path) -> None:
        saved = torch.load(vgg, weights_only=True)
        saved["datamodule_hyper_parameters"]["n_fft"] = 5000
        torch.save(saved, vgg)
        said = self.fails(capsys, vgg)
        assert "n_fft 5000: ONNX files support powers of 2, and other values up to 4096" in said
        assert "--format torch_export" in said
        assert [file.name for file in vgg.parent.iterdir()] == ["best.ckpt"]

    def test_a_network_that_no_graph_holds(self, vgg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def by_content(self: VGG, x: torch.Tensor) -> torch.Tensor:
            scale = 2.0 if float(x.sum()) > 0 else 1.0
            logits: torch.Tensor = self.head(self.features(scale * x.unsqueeze(1)))
            return logits

        monkeypatch.setattr(VGG, "forward", by_content)
        with pytest.raises(CheckpointError, match=r"best\.ckpt: VGG cannot be exported \(\w+: "):
            exporting.export(str(vgg), "torch_export")

    @pytest.mark.usefixtures("written")
    def test_overwrite(self, vgg: Path) -> None:
        vgg.with_name("best.pt2").write_text("mine")
        vgg.with_name("best.pt2.md").write_text("mine")
        with pytest.raises(UsageError, match="exists"):
            exporting.export(str(vgg), "torch_export")
        exporting.export(str(vgg), "torch_export", overwrite=True)
        assert "## Limits" in vgg.with_name("best.pt2.md").read_text()


def test_on_real_music(shared_data: Path, make: Maker, exported: Maker) -> None:
    songs = sorted((shared_data / "gtzan_clips").glob("*/*.flac"))[::12]
    songs += sorted((shared_data / "mp3").glob("*/*.mp3"))[:2]
    assert len(songs) > 20
    waveforms = [read(song, RATE)[:RATE] for song in songs]
    for name in NETWORKS:
        recognise = GenreRecogniser(make(name))
        session, length = onnxruntime.InferenceSession(exported(name)), recognise.data.window_samples
        windows = np.stack([waveform[:length] for waveform in waveforms])
        got, want = session.run(None, {"waveform": windows})[0], probabilities(recognise, windows)
        np.testing.assert_allclose(got, want, atol=exporting.TOLERANCE)
