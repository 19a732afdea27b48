"""Audio encoders of the Hugging Face hub, on tiny models in its own layout. Nothing is downloaded."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch

import hub_models
from hub_models import REVISION, put_into_cache, write_card
from musicgen_cls.errors import MusicClsError, SourceError, UsageError
from musicgen_cls.models.backbones import HuggingFace
from musicgen_cls.pretrained import hub, hub_config, load
from musicgen_cls.pretrained.load import digest_of
from musicgen_cls.synth.render import render
from musicgen_cls.trust import ACCEPT_VARIABLE, TRUST_VARIABLE

CLOSED = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny model of each kind. Read only."""
    folder = tmp_path_factory.mktemp("models")
    for kind in ("hubert", "ast", "clap", "whisper", "bert", "remote"):
        (folder / kind).mkdir()
        getattr(hub_models, f"save_{kind}")(folder / kind)
    return folder


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which cannot be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def music(seconds: float, rate: int) -> torch.Tensor:
    sounds = [render(genre, 0, seconds=seconds, sample_rate=rate) for genre in ("jazz", "metal")]
    return torch.stack([torch.from_numpy(sound) for sound in sounds])


@pytest.mark.parametrize(
    ("name", "dim", "rate", "steps", "hop"),
    [  # the steps of waveforms of 0.5 and 2.5 s
        ("hubert", 16, 16000, (100, 500), 80 / 16000),
        ("hubert:1", 16, 16000, (100, 500), 80 / 16000),
        ("hubert:mean", 16, 16000, (100, 500), 80 / 16000),
        ("ast", 16, 16000, (5, 18), 0.1),
        ("ast:mean", 16, 16000, (5, 18), 0.1),
        ("clap", 12, 24000, (1, 2), 1.0),
        ("whisper", 16, 16000, (25, 100), 0.02),
        ("whisper:0", 16, 16000, (25, 100), 0.02),
    ],
)
@torch.inference_mode()
def test_each_kind_embeds_batches(models, name, dim, rate, steps, hop):
    backbone = load(f"{models}/{name}")
    assert isinstance(backbone, HuggingFace)
    assert (backbone.dim, backbone.sample_rate) == (dim, rate)
    assert backbone.hop_seconds == pytest.approx(hop)
    for seconds, count in zip((0.5, 2.5), steps, strict=True):
        x = music(seconds, rate)
        embedded = backbone.embed(x)
        assert embedded.shape == (2, count, dim)
        assert torch.isfinite(embedded).all()
        assert torch.allclose(embedded[1], backbone.embed(x[1:])[0], atol=1e-5)  # a batch is one by one
        assert torch.equal(embedded, backbone.embed(x))  # no random crop
    assert not torch.allclose(embedded[0], embedded[1], atol=1e-6)
    assert backbone.embed(music(0.1, rate)[:, :40]).shape[::2] == (2, dim)


@torch.inference_mode()
def test_embeddings_equal_those_of_transformers(models):
    from transformers import AutoFeatureExtractor, AutoModel, ClapModel

    x = music(0.9, 16000)
    for kind in ("hubert", "ast"):
        extractor = AutoFeatureExtractor.from_pretrained(models / kind)
        inputs = extractor(list(x.numpy()), sampling_rate=16000, return_tensors="pt")
        theirs = AutoModel.from_pretrained(models / kind).eval()(**inputs, output_hidden_states=True)
        ours = load(f"{models}/{kind}").embed(x)
        if kind == "hubert":
            assert torch.allclose(ours, theirs.last_hidden_state, atol=1e-4)
            mean = torch.stack(theirs.hidden_states).mean(0)
            assert torch.allclose(load(f"{models}/hubert:mean").embed(x), mean, atol=1e-4)
        else:  # two special tokens, then for each of two frequencies all nine times
            tokens = theirs.last_hidden_state[:, 2:]
            assert tokens.shape[1] == 18
            assert torch.allclose(ours, (tokens[:, :9] + tokens[:, 9:])[:, : ours.shape[1]] / 2, atol=1e-5)
    x = music(1.0, 24000)
    inputs = AutoFeatureExtractor.from_pretrained(models / "clap")(
        list(x.numpy()), sampling_rate=24000, return_tensors="pt"
    )
    theirs = ClapModel.from_pretrained(models / "clap").eval().get_audio_features(**inputs).pooler_output
    assert torch.allclose(load(f"{models}/clap").embed(x)[:, 0], theirs, atol=1e-5)


@pytest.mark.parametrize("kind", ["hubert", "ast", "clap", "whisper"])
def test_gradients_reach_every_stage(models, kind):
    backbone = load(f"{models}/{kind}").requires_grad_(True)
    x = music(1.0, backbone.sample_rate).requires_grad_(kind == "hubert")
    backbone.embed(x).square().sum().backward()
    stages = backbone.stages()
    assert len(stages) > 2
    assert all(any(p.grad is not None for p in stage) for stage in stages)
    assert sum(len(stage) for stage in stages) == len(list(backbone.parameters()))
    if kind == "hubert":  # the normalisation is differentiable
        assert x.grad is not None
        assert x.grad.abs().sum() > 0


def test_the_digest_is_that_of_the_weights(models, tmp_path):
    first, layer = load(f"{models}/hubert"), load(f"{models}/hubert:1")
    assert digest_of(first) == digest_of(layer)
    other = load(str(hub_models.save_hubert(tmp_path, seed=1)))
    assert digest_of(other) != digest_of(first)
    assert digest_of(load(f"random_{models}/hubert", weights=False)) != digest_of(first)


def test_names():
    parsed = hub.parse(f"m-a-p/MERT-v1-95M@{REVISION}:7")
    assert parsed is not None
    assert (parsed.repo, parsed.revision, parsed.layer, parsed.folder) == ("m-a-p/MERT-v1-95M", REVISION, 7, None)
    parsed = hub.parse("ntu-spml/distilhubert:mean")
    assert parsed is not None
    assert (parsed.text, parsed.revision, parsed.layer) == ("ntu-spml/distilhubert", "main", "mean")
    assert hub.parse("yamnet") is None
    assert hub.parse("msd_musicnn:mean_pool") is None


class TestCache:
    def test_a_model_in_the_cache_needs_no_network(self, models, hub_cache):
        put_into_cache(models / "hubert", hub_cache, "org/tiny")
        expected = digest_of(load(f"{models}/hubert"))
        for name in (f"org/tiny@{REVISION}", "org/tiny@main", "org/tiny", "org/tiny:1"):
            assert digest_of(load(name)) == expected
        assert load("org/tiny").source == "https://huggingface.co/org/tiny (main)"

    def test_a_pinned_revision_does_not_ask_the_network(self, models, hub_cache, monkeypatch):
        import huggingface_hub

        put_into_cache(models / "hubert", hub_cache, "org/tiny")
        monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda *args, **options: pytest.fail("asked"))
        load(f"org/tiny@{REVISION}")

    def test_shapes_need_no_weights(self, models, hub_cache):
        snapshot = put_into_cache(models / "hubert", hub_cache, "org/tiny")
        (snapshot / "model.safetensors").unlink()
        assert load(f"org/tiny@{REVISION}", weights=False).dim == 16
        with pytest.raises(SourceError, match=f"org/tiny@{REVISION}: the hub cannot be reached"):
            load(f"org/tiny@{REVISION}")


class TestNoHub:
    def test_unreachable(self, hub_cache, monkeypatch):
        from huggingface_hub import HfApi, constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
        monkeypatch.setattr(HfApi, "__init__", _at(CLOSED))
        with pytest.raises(SourceError) as raised:
            load("org/tiny@main")
        message = str(raised.value)
        for part in (
            "org/tiny@main: the hub cannot be reached",
            CLOSED,
            str(hub_cache),
            "HF_HOME",
            "--local-dir FOLDER",
        ):
            assert part in message
        assert "\n" not in message

    def test_offline(self, hub_cache):
        with pytest.raises(SourceError, match="cannot be reached \\(HF_HUB_OFFLINE is set\\)"):
            load(f"org/tiny@{REVISION}")

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("RepoNotFound", "no such model on the hub"),
            ("RevisionNotFound", "no such revision"),
            ("GatedRepo", "login"),
        ],
    )
    def test_a_name_that_does_not_exist(self, code, expected, hub_cache, monkeypatch):
        from huggingface_hub import HfApi, constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        with _server(code) as address:
            monkeypatch.setattr(HfApi, "__init__", _at(address))
            with pytest.raises(UsageError, match=f"org/tiny@v2: .*{expected}"):
                load("org/tiny@v2")

    def test_no_name(self, hub_cache):
        with pytest.raises(UsageError, match="not a name of the hub"):
            load("org/tiny/too/deep")


class TestRefused:
    def test_no_audio_encoder(self, models):
        with pytest.raises(UsageError, match="bert: no audio encoder"):
            load(f"{models}/bert")

    @pytest.mark.parametrize(("layer", "expected"), [("hubert:9", "layers 0 to 2"), ("clap:1", "one layer only")])
    def test_no_such_layer(self, models, layer, expected):
        with pytest.raises(UsageError, match=expected):
            load(f"{models}/{layer}", weights=False)

    def test_no_safetensors(self, tmp_path):
        hub_models.save_hubert(tmp_path)
        (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
        with pytest.raises(UsageError, match="no weights as safetensors"):
            load(str(tmp_path))

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "unknown_one"}', '{"model_type": 3}'])
    def test_a_damaged_config(self, content, tmp_path):
        hub_models.save_hubert(tmp_path)
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(UsageError, match=r"config\.json|model_type"):
            load(str(tmp_path))

    def test_damaged_weights(self, tmp_path):
        hub_models.save_hubert(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)
        with pytest.raises(MusicClsError, match="cannot be loaded"):
            load(str(tmp_path))

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(UsageError, match=r"no config\.json"):
            load(str(tmp_path))

    def test_without_the_extra(self, models, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "transformers", None)
        with pytest.raises(UsageError, match=r"transformers, which is not installed; .*musicgen_cls\[hub\]"):
            load(f"{models}/hubert")


class TestCode:
    """Code of a model runs only if the user names the model and its pinned revision."""

    @pytest.fixture
    def name(self, models, hub_cache, code_folder) -> str:
        put_into_cache(models / "remote", hub_cache, "org/code")
        return f"org/code@{REVISION}"

    @pytest.fixture
    def it_ran(self, tmp_path):
        return lambda: bool(list(tmp_path.rglob("it_ran")))

    def test_it_does_not_run(self, name, it_ran):
        for weights in (True, False):
            with pytest.raises(UsageError, match=f"add --trust {name}"):
                load(name, weights)
        assert not it_ran()

    @pytest.mark.parametrize("trusted", ["org/code", "org/code@main", "org", "org/other@" + REVISION, "true", "*"])
    def test_another_name_does_not_count(self, name, trusted, it_ran, monkeypatch):
        monkeypatch.setenv(TRUST_VARIABLE, trusted)
        with pytest.raises(UsageError, match="--trust"):
            load(name)
        with pytest.raises(UsageError, match="a revision that cannot change"):
            load("org/code@main")
        assert not it_ran()

    def test_it_runs_if_it_is_trusted(self, name, it_ran, monkeypatch):
        monkeypatch.setenv(TRUST_VARIABLE, f"other,{name}")
        backbone = load(f"{name}:1")
        assert it_ran()
        assert backbone.embed(torch.randn(2, 2000)).shape == (2, 20, 6)
        assert isinstance(backbone, HuggingFace)
        assert hub_config.described(backbone) is None

    def test_code_of_another_repository_never_runs(self, name, hub_cache, it_ran, monkeypatch):
        monkeypatch.setenv(TRUST_VARIABLE, name)
        config = hub_cache / "models--org--code" / "snapshots" / REVISION / "config.json"
        config.write_text(config.read_text().replace('"tiny_model.TinyModel', '"other/repo--tiny_model.TinyModel'))
        with pytest.raises(UsageError, match="another repository"):
            load(name)
        assert not it_ran()


class TestLicence:
    @pytest.mark.parametrize("licence", ["cc-by-nc-4.0", "CC-BY-NC-SA-4.0"])
    def test_non_commercial_weights_must_be_accepted(self, licence, models, hub_cache, monkeypatch):
        write_card(put_into_cache(models / "hubert", hub_cache, "org/tiny"), licence, "some-music")
        with pytest.raises(
            UsageError, match=f"non-commercial use only \\(licence {licence.lower()}\\).*accept_licence"
        ):
            load("org/tiny")
        assert load("org/tiny", weights=False).dim == 16
        monkeypatch.setenv(ACCEPT_VARIABLE, "1")
        backbone = load("org/tiny")
        assert backbone.licence == licence.lower()
        assert backbone.trained_on == "some-music"

    def test_others_need_nothing(self, models, hub_cache):
        write_card(put_into_cache(models / "hubert", hub_cache, "org/tiny"), "apache-2.0", "a", "b")
        assert load("org/tiny").licence == "apache-2.0"
        assert load("org/tiny").trained_on == "a, b"

    def test_mert_is_known_without_a_card(self, models, hub_cache):
        put_into_cache(models / "hubert", hub_cache, "m-a-p/MERT-v1-95M")
        with pytest.raises(UsageError, match=r"cc-by-nc-4\.0"):
            load(f"m-a-p/MERT-v1-95M@{REVISION}")

    @pytest.mark.parametrize("text", ["", "---\n: [\n---\n", "---\n- a\n---\n", "---\nlicense: 3\n---\n"])
    def test_a_card_that_cannot_be_read(self, text, tmp_path):
        hub_models.save_hubert(tmp_path)
        (tmp_path / "README.md").write_text(text)
        assert load(str(tmp_path)).licence == "unknown"


def test_a_config_travels_as_text(models):
    for kind in ("hubert", "ast", "clap", "whisper"):
        backbone = load(f"{models}/{kind}")
        assert isinstance(backbone, HuggingFace)
        text = hub_config.described(backbone)
        assert text is not None
        other = hub_config.from_config(text, None).eval()
        other.load_state_dict(backbone.state_dict())
        x = music(0.6, backbone.sample_rate)
        assert torch.equal(other.embed(x), backbone.embed(x))


@pytest.mark.parametrize("text", ["", "{}", "3", '{"model": {"model_type": "hubert"}, "processor": {}}'])
def test_a_damaged_text(text):
    with pytest.raises(UsageError, match="config cannot be read"):
        hub_config.from_config(text, None)


def _at(address: str):
    """A constructor of the hub's client for an address."""
    from huggingface_hub import HfApi

    init = HfApi.__init__
    return lambda self, *args, **options: init(self, *args, **options | {"endpoint": address})


class _server:
    """A server that answers every request with an error of the hub."""

    def __init__(self, code: str) -> None:
        status = 403 if code == "GatedRepo" else 404

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
