"""The cache of weights: local files, wrong files, no network, damaged files."""

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bundles import bundle
from musicgen_cls.errors import SourceError, UsageError
from musicgen_cls.files import CACHE_VARIABLE
from musicgen_cls.models.backbones import JamendoFCN, JamendoMusiCNN, MusiCNN, MusicVGG, RandomBackbone
from musicgen_cls.pretrained import WEIGHTS, convert, load
from musicgen_cls.pretrained.fetch import cached, fetch, known_names
from musicgen_cls.pretrained.load import digest_of
from musicgen_cls.sources import download


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(download, "RETRIES", 0)  # each waits


def published(path: Path, places: dict[str, str], state: dict[str, torch.Tensor]) -> None:
    """A file as the authors of the networks on MTG-Jamendo published it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({theirs: state[own] for own, theirs in places.items()}, path)


@pytest.fixture
def fcn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JamendoFCN:
    """A network whose weights are a file in tmp_path/files, with its sums in the table."""
    network = JamendoFCN()
    file = tmp_path / "files" / "deep" / "best_model.pth"
    published(file, convert._fcn_places(), network.state_dict())
    facts = replace(
        WEIGHTS["jamendo_fcn"],
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        digest=digest_of(network),
        addresses=("http://127.0.0.1:9/best_model.pth",),
    )
    monkeypatch.setitem(WEIGHTS, "jamendo_fcn", facts)
    return network


def test_from_a_folder(fcn: JamendoFCN, tmp_path: Path):
    (tmp_path / "files" / "other.pth").write_bytes(b"another file")
    path = fetch("jamendo_fcn", tmp_path / "files")
    assert path == cached("jamendo_fcn")
    assert "Permission is hereby" in path.with_suffix(".licence.txt").read_text()
    found = load("jamendo_fcn")
    assert (found.licence, found.trained_on) == ("MIT", "MTG-Jamendo")
    assert not found.training
    assert not any(p.requires_grad for p in found.parameters())
    x = torch.randn(1, 16000)
    assert torch.equal(found.embed(x), fcn.eval().embed(x))
    assert load("jamendo_fcn").embed(x).shape == (1, 1, 64)


def test_a_damaged_file_in_the_cache_is_fetched_again(fcn: JamendoFCN, tmp_path: Path):
    fetch("jamendo_fcn", tmp_path / "files")
    whole = cached("jamendo_fcn").read_bytes()
    for content in (whole[:-4], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        cached("jamendo_fcn").write_bytes(content)
        with pytest.raises(SourceError, match="could not be fetched"):  # there is no network
            load("jamendo_fcn")
        fetch("jamendo_fcn", tmp_path / "files")
        assert load("jamendo_fcn")


def test_no_network(fcn: JamendoFCN):
    with pytest.raises(SourceError) as caught:
        load("jamendo_fcn")
    text = str(caught.value)
    assert "http://127.0.0.1:9/best_model.pth (no connection)" in text
    assert "musiccli pretrained fetch jamendo_fcn --from FOLDER" in text
    assert WEIGHTS["jamendo_fcn"].sha256 in text
    assert not list(cached("jamendo_fcn").parent.glob("*"))


def test_pip_without_network(monkeypatch: pytest.MonkeyPatch):
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: No matching distribution found for musicnn\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(SourceError, match=r"pip download musicnn==0.1.0 \(No matching distribution"):
        fetch("msd_musicnn")


def test_pip_gives_another_file(monkeypatch: pytest.MonkeyPatch):
    def run(command, **options):
        Path(command[command.index("--dest") + 1], WEIGHTS["msd_vgg"].file).write_bytes(b"another file")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SourceError, match="wrong checksum"):
        fetch("msd_vgg")
    assert not list(cached("msd_vgg").parent.glob("*"))


def test_local_files_that_are_others(tmp_path: Path):
    with pytest.raises(UsageError, match=r"--from .*gone: no such file or folder"):
        fetch("yamnet", tmp_path / "gone")
    with pytest.raises(UsageError, match=r"no file \*.tflite is there"):
        fetch("yamnet", tmp_path)
    (tmp_path / "yamnet.tflite").write_bytes(b"TFL3")
    with pytest.raises(UsageError, match=r"yamnet needs yamnet.tflite with the sha256 10c95ea3eb9a7bb4..., but .* has"):
        fetch("yamnet", tmp_path)


def test_a_network_that_is_a_file_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wheel = tmp_path / "wheels" / "basic_pitch.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as opened:
        opened.writestr(WEIGHTS["basic_pitch"].member, b"a network")
    with pytest.raises(UsageError, match=r"basic_pitch needs basic_pitch-0.4.0-py2.py3-none-any.whl .* but .* has"):
        fetch("basic_pitch", wheel.parent)
    facts = replace(WEIGHTS["basic_pitch"], sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setitem(WEIGHTS, "basic_pitch", facts)
    path = fetch("basic_pitch", wheel.parent)
    assert (path, path.suffix, path.read_bytes()) == (cached("basic_pitch"), ".onnx", b"a network")
    assert "Apache License" in path.with_suffix(".licence.txt").read_text()
    monkeypatch.setitem(WEIGHTS, "basic_pitch", replace(facts, member="gone.onnx"))
    with pytest.raises(UsageError, match=r"basic_pitch.whl: not a wheel with gone.onnx"):
        fetch("basic_pitch", wheel.parent)


def test_a_network_without_embeddings_is_no_backbone():
    with pytest.raises(UsageError, match="'basic_pitch': not a network with embeddings; name one of yamnet, "):
        load("basic_pitch")


def test_names():
    assert known_names(["yamnet", "all"]) == list(WEIGHTS)
    with pytest.raises(UsageError, match="'yamnat': no pretrained network of this name; did you mean 'yamnet'"):
        known_names(["yamnat"])


@pytest.mark.parametrize(("kind", "name"), [(MusiCNN, "MSD_musicnn"), (MusicVGG, "MTT_vgg")])
def test_every_weight_of_a_wheel_has_its_place(kind, name: str, tmp_path: Path):
    network = kind()
    RandomBackbone(network, 1)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key.startswith(("norm", "pool_norm", "dense_norm")) or ".norm" in key or "norms" in key:
                value.copy_(torch.rand(value.shape) if value.ndim else value)
    places = convert._vgg_places() if name.endswith("vgg") else convert._musicnn_places()
    arrays = {}
    for own, theirs in places.items():
        value = network.state_dict()[own]
        if value.ndim == 4:
            value = value.permute(2, 3, 1, 0)
        elif value.ndim == 3:
            value = value.permute(2, 1, 0)[:, :, None]
        elif value.ndim == 2:
            value = value.T
        arrays[theirs] = value.contiguous().numpy()
    index, data = bundle(arrays)
    with zipfile.ZipFile(tmp_path / "wheel.whl", "w") as wheel:
        wheel.writestr(f"musicnn/{name}/.index", index)
        wheel.writestr(f"musicnn/{name}/.data-00000-of-00001", data)
    state = convert.from_wheel(tmp_path / "wheel.whl", name)
    own = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert state.keys() == own.keys()
    for key, value in own.items():
        assert torch.equal(state[key], value), key


def test_every_weight_of_jamendo_has_its_place():
    for network, places in ((JamendoFCN(), convert._fcn_places()), (JamendoMusiCNN(), convert._jamendo_places())):
        own = {key for key in network.state_dict() if not key.endswith("num_batches_tracked")}
        assert places.keys() == own
        assert len(set(places.values())) == len(places)


@pytest.mark.parametrize("content", [b"", b"no zip", b"TFL3" * 100])
def test_files_that_are_none(content: bytes, tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="not the wheel of musicnn"):
        convert.from_wheel(file, "MSD_musicnn")
    with pytest.raises(UsageError, match=r"not a readable file of TensorFlow Lite|layers, YAMNet has"):
        convert.from_tflite(file)
    with pytest.raises(UsageError, match="has no list of tags"):
        convert.names_in_tflite(file)
    with pytest.raises(UsageError, match="not the weights of a network on MTG-Jamendo"):
        convert.from_torch(file, fcn=True)


def test_yamnet_from_its_file(shared_data: Path):
    path = fetch("yamnet", shared_data / "weights")
    assert path.stat().st_size > 10_000_000
    found = load("yamnet")
    assert len(found.tag_names) == 521
    assert found.tag_names[0] == "Speech"
    assert digest_of(found) == WEIGHTS["yamnet"].digest
