"""MusicGen, a tiny one with random weights: sampling, `predict` with and without recordings, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hub_models
from musicgen_cls.__main__ import main
from musicgen_cls.commands.judge.music import load_generated
from musicgen_cls.errors import UsageError
from musicgen_cls.models.generators.continuation import Sampling
from musicgen_cls.pretrained import MusicGen

RATE = 4000
SECONDS = 0.8
QUICK = ["--model.seconds", str(SECONDS), "--model.network.step_seconds", "0.4"]
QUICK += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_models.save_musicgen(tmp_path_factory.mktemp("models") / "tiny", RATE)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which cannot be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in an empty folder; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        return main([str(arg) for arg in args]), *capsys.readouterr()

    return run


def lines(folder: str = "generated") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "continuations.jsonl").read_text().splitlines()]


class TestStream:
    def network(self, model: Path, **options: Any) -> MusicGen:
        settings = {"window_seconds": 0.5, "step_seconds": 0.3, **options}
        return MusicGen(2, RATE, 1, model=str(model), texts=["jazz music", "metal music"], **settings)

    def pieces(
        self, network: MusicGen, context: torch.Tensor, genres: list[int], number: int = 3, **options: Any
    ) -> list[torch.Tensor]:
        seeds = [torch.Generator().manual_seed(7 + row) for row in range(len(genres))]
        return list(islice(network.stream(context, torch.tensor(genres), Sampling(seeds, **options)), number))

    def piece(self, network: MusicGen, context: torch.Tensor, genre: int, **options: Any) -> torch.Tensor:
        """The first."""
        return self.pieces(network, context, [genre], 1, **options)[0]

    @pytest.mark.parametrize("samples", [0, 7, 1033, 9000])
    def test_steps_after_any_context(self, model: Path, samples: int) -> None:
        context = torch.randn(2, samples, generator=torch.Generator().manual_seed(0)) / 10
        network = self.network(model)
        together = self.pieces(network, context, [0, 1])
        assert [tuple(piece.shape) for piece in together] == [(2, 1200)] * 3
        assert torch.isfinite(torch.stack(together)).all()
        assert not torch.equal(together[0][0], together[0][1])
        alone = self.pieces(network, context[:1], [0])
        assert all(torch.equal(one[0], both[0]) for one, both in zip(alone, together, strict=True))

    def test_options_of_sampling(self, model: Path) -> None:
        network, context = self.network(model), torch.zeros(1, 0)
        usual = self.piece(network, context, 0)
        assert torch.equal(usual, self.piece(network, context, 0))
        for option in ({"temperature": 0.1}, {"top_p": 0.1}, {"guidance": 30.0}):
            assert not torch.equal(usual, self.piece(network, context, 0, **option)), option

    def test_genre_is_heard_with_guidance(self, model: Path) -> None:
        network, context = self.network(model), torch.zeros(1, 0)
        one, other = (self.piece(network, context, label, guidance=500.0) for label in (0, 1))
        assert not torch.equal(one, other)

    def test_stereo_is_mixed_to_mono(self, tmp_path: Path) -> None:
        stereo = hub_models.save_musicgen(tmp_path / "stereo", RATE, channels=2)
        assert self.piece(self.network(stereo), torch.randn(1, 1000) / 10, 0).shape == (1, 1200)

    def test_no_checkpoint_has_its_weights(self, model: Path) -> None:
        network = self.network(model)
        self.piece(network, torch.zeros(1, 0), 0)
        assert not network.state_dict()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"step_seconds": 0.5}, "step_seconds 0.5: must be below 0.5"),
            ({"window_seconds": 0.0}, "window_seconds 0"),
        ],
    )
    def test_arguments(self, model: Path, options: dict[str, float], said: str) -> None:
        with pytest.raises(UsageError, match=said):
            self.network(model, **options)

    def test_texts_and_rate(self, model: Path) -> None:
        with pytest.raises(UsageError, match="one for each of 3 genres"):
            MusicGen(3, RATE, 1, model=str(model), texts=["jazz"])
        network = MusicGen(1, 8000, 1, model=str(model))
        with pytest.raises(UsageError, match="has 4000 Hz; set it to 4000"):
            next(network.stream(torch.zeros(1, 0), torch.tensor([0]), Sampling([torch.Generator()])))


class TestPredict:
    def test_continues_a_recording(self, call: Any, model: Path, songs: Path) -> None:
        song = songs / "jazz" / "0.wav"
        named = ["--ckpt_path", f"musicgen:{model}", "--genre", "jazz with piano", "--data.context_seconds", "0.5"]
        status, out, err = call("predict", song, *named, *QUICK)
        assert status == 0, err
        assert f"Checkpoint:  musicgen:{model} (MusicGen, 1 genre, not trained)" in out
        assert "hardly trained" not in out
        (line,) = lines()
        sound, rate = soundfile.read(Path("generated") / line["file"])
        assert (rate, len(sound)) == (RATE, SECONDS * RATE)
        np.testing.assert_allclose(sound[: RATE // 2], soundfile.read(song)[0][: RATE // 2], atol=2 / 32768)
        assert np.abs(sound[RATE // 2 :]).max() > 0.01
        assert line["genre"] == "jazz with piano"
        assert "steps" not in line
        assert list(load_generated(Path("generated")).sounds) == ["jazz with piano"]
        assert "hardly" not in Path("generated/index.html").read_text()
        first = sound
        status, _, err = call("predict", song, *named, *QUICK, "--overwrite", "true", "--data.batch_size", "1")
        assert status == 0, err
        np.testing.assert_array_equal(soundfile.read(Path("generated") / line["file"])[0], first)

    def test_by_genre_alone(self, call: Any, model: Path) -> None:
        named = ["--ckpt_path", f"musicgen:{model}", "--genres", "jazz,metal", "--takes", "2"]
        status, _, err = call("predict", *named, *QUICK, "--model.guidance", "5", "--model.top_p", "0.9")
        assert status == 0, err
        assert [(line["genre"], line["prompt"], line["context_seconds"]) for line in lines()] == [
            *[("jazz", "", 0)] * 2,
            *[("metal", "", 0)] * 2,
        ]
        sounds = [soundfile.read(Path("generated") / line["file"])[0] for line in lines()]
        assert {len(sound) for sound in sounds} == {SECONDS * RATE}
        assert len({sound.tobytes() for sound in sounds}) == 4
        status, _, err = call("predict", *named, *QUICK, "--genre", "metal", "--takes", "1", "--out", "one")
        assert status == 0, err
        assert {line["genre"] for line in lines("one")} == {"metal"}

    def test_the_published_one_is_the_default(self, call: Any, model: Path, hub_cache: Path) -> None:
        hub_models.put_into_cache(model, hub_cache, "facebook/musicgen-small")
        command = ["predict", "--ckpt_path", "musicgen", "--genre", "jazz", *QUICK]
        status, _, err = call(*command)
        assert status == 2
        assert "facebook/musicgen-small: its weights are for non-commercial use only (licence cc-by-nc-4.0)" in err
        assert "--accept_licence" in err
        status, _, err = call(*command, "--accept_licence")
        assert status == 0, err
        status, _, err = call(*command)  # the checkpoint that is made does not stand for the licence
        assert status == 2


class TestRefused:
    @pytest.fixture
    def fails(self, call: Any) -> Callable[..., str]:
        def run(name: object, *more: object, command: str = "predict") -> str:
            status, _, err = call(command, "--ckpt_path", name, *(more or ("--genre", "jazz")), *QUICK)
            assert status == 2
            assert "Traceback" not in err
            (said,) = [line for line in err.splitlines() if line.startswith("musiccli: error: ")]
            return said

        return run

    def test_no_genre(self, fails: Any, model: Path) -> None:
        assert "needs a genre in words, as --genre jazz" in fails(f"musicgen:{model}", "--seed_everything", "1")
        assert "needs a genre in words" in fails(f"musicgen:{model}", "--genres", "jazz,")

    def test_what_is_no_musicgen(self, fails: Any, tmp_path: Path) -> None:
        hub_models.save_bert(tmp_path / "bert")
        assert "no MusicGen, but a model of the type 'bert'" in fails(f"musicgen:{tmp_path / 'bert'}")
        assert "has no config.json" in fails(f"musicgen:{tmp_path}")
        assert "not a name of the hub" in fails("musicgen:small")

    def test_damaged_and_missing_weights(self, fails: Any, model: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(model, tmp_path / "model")
        (folder / "model.safetensors").write_bytes(b"damage")
        assert "cannot be loaded" in fails(f"musicgen:{folder}")
        (folder / "model.safetensors").unlink()
        assert "no weights as safetensors" in fails(f"musicgen:{folder}")

    def test_the_hub_cannot_be_reached(self, fails: Any, hub_cache: Path) -> None:
        assert "facebook/musicgen-small@main: the hub cannot be reached (HF_HUB_OFFLINE is set)" in fails("musicgen")

    def test_a_missing_revision(self, fails: Any, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import httpx
        from huggingface_hub import HfApi, errors

        def missing(*args: object, **options: object) -> None:
            response = httpx.Response(404, request=httpx.Request("GET", "http://127.0.0.1"))
            raise errors.RevisionNotFoundError("no", response=response)

        monkeypatch.setattr(HfApi, "repo_info", missing)
        assert "facebook/musicgen-small@v9: the hub has no such revision" in fails(
            "musicgen:facebook/musicgen-small@v9"
        )

    def test_without_transformers(self, fails: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "transformers", None)
        said = fails(f"musicgen:{model}")
        assert "needs transformers, which is not installed; run python -m pip install 'musicgen_cls[hub]'" in said

    def test_training_and_tests(self, fails: Any, model: Path, songs: Path) -> None:
        source = ["--genre", "jazz", "--data.source", "Folder", "--data.source.root", songs]
        source += ["--data.context_seconds", "0.5", "--data.target_seconds", "0.5"]
        assert "MusicGen: is pretrained" in fails(
            f"musicgen:{model}", *source, "--data.split", "external", command="test"
        )

    def test_a_prompt_as_long_as_the_whole(self, fails: Any, model: Path, songs: Path) -> None:
        files = ["--data.files", songs / "jazz" / "0.wav", "--genre", "jazz"]
        said = fails(f"musicgen:{model}", *files, "--data.context_seconds", "0.8")
        assert "--model.seconds 0.8: the prompt alone has 0.8 s; increase it" in said

    def test_guidance_of_a_network_that_has_none(self) -> None:
        from functools import partial

        from musicgen_cls.models import MelFlow
        from musicgen_cls.tasks.generation import GenreGenerator

        with pytest.raises(UsageError, match=r"--model.guidance 2.0: MelFlow does not use it; remove it"):
            GenreGenerator(
                partial(MelFlow, width=16), guidance=2.0, num_classes=1, sample_rate=4000, target_samples=4000
            )
