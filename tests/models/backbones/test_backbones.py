"""What all backbones have in common, and each against its original where the original's weights are."""

import numpy as np
import pytest
import torch

from musicgen_cls.errors import UsageError
from musicgen_cls.models.backbones import JamendoFCN, JamendoMusiCNN, MusiCNN, MusicVGG, RandomBackbone, YAMNet
from musicgen_cls.models.backbones.base import patches, same_padding
from musicgen_cls.models.backbones.yamnet import mel_bands
from musicgen_cls.synth.render import render

KINDS = (MusiCNN, MusicVGG, YAMNet, JamendoMusiCNN, JamendoFCN)


def music(seconds: float) -> torch.Tensor:
    return torch.from_numpy(render("jazz", 0, seconds=seconds, sample_rate=16000))[None]


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_shapes_and_attributes(kind):
    backbone = kind().eval()
    x = music(7.0).repeat(2, 1)
    embeddings, tags = backbone.embed(x), backbone.tags(x)
    assert embeddings.shape[0] == 2
    assert embeddings.shape[2] == backbone.dim
    assert tags.shape == (*embeddings.shape[:2], len(backbone.tag_names))
    assert torch.equal(embeddings[0], embeddings[1])
    span = max(backbone.window_seconds, 7.0) - backbone.window_seconds  # of the starts of windows
    assert embeddings.shape[1] == pytest.approx(span / backbone.hop_seconds + 1, abs=1)


@pytest.mark.parametrize("kind", [MusiCNN, MusicVGG, YAMNet, JamendoMusiCNN])
@torch.inference_mode()
def test_short_clips_are_repeated(kind):
    backbone = kind().eval()
    x = music(0.5)
    length = round(backbone.window_seconds * 16000)
    whole = x.repeat(1, 6)[:, :length]
    assert torch.equal(backbone.filled(x), whole)
    assert torch.equal(backbone.filled(whole), whole)
    assert torch.allclose(backbone.embed(x), backbone.embed(whole))


def test_batch_norm_does_not_learn():
    backbone = MusiCNN().train()
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone.embed(music(3.0)).sum().backward()
    assert backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())
    assert all(p.grad is not None for name, p in backbone.named_parameters() if not name.startswith("output"))


@torch.inference_mode()
def test_layers_of_musicnn():
    x = music(3.0)
    torch.manual_seed(0)
    reference = MusiCNN().eval()
    layers = reference.layers(reference.spectrogram(x)[:, 0])
    for layer, dim in {"penultimate": 200, "mean_pool": 753, "max_pool": 753, "pooled": 1706}.items():
        other = MusiCNN(layer=layer).eval()
        other.load_state_dict(reference.state_dict())
        assert other.dim == dim
        assert other.embed(x).shape == (1, 1, dim)
        if layer != "pooled":
            assert torch.allclose(other.embed(x)[:, 0], layers[layer])
    assert (layers["max_pool"] >= layers["mean_pool"]).all()


@torch.inference_mode()
def test_the_mel_spectrogram_of_musicnn_equals_that_of_librosa(librosa):
    x = music(3.0)
    ours = MusiCNN().spectrogram(x)[0, 0].numpy()
    theirs = librosa.feature.melspectrogram(y=x[0].numpy(), sr=16000, n_fft=512, hop_length=256, n_mels=96)
    assert np.allclose(ours.T, np.log10(1 + 10000 * theirs)[:, :187], atol=2e-4)


def test_mel_bands_of_yamnet_rise_and_fall_in_mel():
    bands = mel_bands().numpy()
    hz = np.linspace(0, 8000, 257)
    assert bands.shape == (64, 257)
    assert not bands[:, hz < 125].any()
    assert not bands[:, hz > 7500].any()
    inside = (hz > 200) & (hz < 7200)
    assert np.allclose(bands.sum(0)[inside], 1, atol=1e-6)  # neighbours overlap by half


def test_patches_and_padding():
    frames = torch.arange(10.0).reshape(1, 1, 10)
    assert patches(frames, 4, 3)[0, :, 0].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert same_padding(96, 3, 2) == (0, 1)
    assert same_padding(187, 128, 1) == (63, 64)
    assert same_padding(7, 7, 1) == (3, 3)


@torch.inference_mode()
def test_random_weights_have_the_same_shapes_and_depend_on_the_seed_only():
    x = music(3.0)
    one, two, other = (RandomBackbone(MusiCNN(), seed).eval() for seed in (0, 0, 1))
    assert torch.equal(one.embed(x), two.embed(x))
    assert not torch.allclose(one.embed(x), other.embed(x))
    assert one.embed(x).shape == (1, 1, 200)
    with pytest.raises(UsageError, match="RandomBackbone: has no tags"):
        one.tags(x)


def reference(shared_data):
    file = shared_data / "weights" / "musicnn_tensorflow_reference.npz"
    if not file.is_file():
        pytest.skip("NOT COMPARED WITH TENSORFLOW: its outputs are not among the real data")
    return np.load(file)


@pytest.mark.parametrize("name", ["MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"])
@torch.inference_mode()
def test_equal_to_tensorflow(name, shared_data, published):
    expected = reference(shared_data)
    backbone = published(name.lower())
    mel = torch.from_numpy(expected["mel"])
    if isinstance(backbone, MusiCNN):
        found = backbone.layers(mel)
    else:
        pool = backbone.features(mel)
        found = {"pool5": pool, "logits": backbone.output(pool)}
    compared = [key for key in expected.files if key.startswith(f"{name}/")]
    assert len(compared) == len(found)
    for key in compared:
        own = found[key.partition("/")[2]].numpy()
        assert np.abs(own - expected[key].reshape(own.shape)).max() < 1e-3, key


@torch.inference_mode()
def test_yamnet_agrees_with_the_original(shared_data, published):
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="NOT COMPARED: ai-edge-litert is not installed")
    original = litert.Interpreter(str(shared_data / "weights" / "yamnet.tflite"))
    original.allocate_tensors()
    into, out = original.get_input_details()[0], original.get_output_details()[0]["index"]
    backbone = published("yamnet")
    expected, found = [], []
    for genre in ("blues", "classical", "disco", "hiphop", "jazz", "metal"):
        for number in range(2):
            x = render(genre, number, seconds=0.975, sample_rate=16000)
            original.set_tensor(into["index"], x.reshape(into["shape"]))
            original.invoke()
            expected.append(original.get_tensor(out).ravel())
            found.append(torch.sigmoid(backbone.tags(torch.from_numpy(x)[None]))[0, 0].numpy())
    assert np.corrcoef(np.ravel(expected), np.ravel(found))[0, 1] > 0.998
    assert [int(np.argmax(row)) for row in found] == [int(np.argmax(row)) for row in expected]


@torch.inference_mode()
def test_tags_of_jamendo_are_in_the_order_of_its_outputs(shared_data, published):
    from musicgen_cls.audio.io import from_pcm, read_pcm

    backbone = published("jamendo_musicnn")
    found = {}
    for genre in ("classical", "hiphop", "metal", "reggae"):
        files = sorted((shared_data / "gtzan_clips" / genre).iterdir())[:8]
        clips = [torch.from_numpy(from_pcm(read_pcm(file, 16000)))[None] for file in files]
        found[genre] = torch.stack([backbone.tags(clip).mean((0, 1)) for clip in clips]).mean(0)
    for genre, tags in found.items():
        column = backbone.tag_names.index(f"genre---{genre}")
        assert max(found, key=lambda other: found[other][column]) == genre, tags[column]
