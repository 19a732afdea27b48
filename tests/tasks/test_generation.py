from functools import partial

import pytest
import torch

from echo import Echo
from musicgen_cls.errors import UsageError
from musicgen_cls.specs import resolve
from musicgen_cls.tasks.generation import GenreGenerator


def make(**options) -> GenreGenerator:
    sizes = {"num_classes": 2, "sample_rate": 1000, "target_samples": 100}
    return GenreGenerator(Echo, **(sizes | {"seconds": 2.0} | options))


def made(task: GenreGenerator, seeds=(0, 1), rows=slice(None)) -> torch.Tensor:
    torch.manual_seed(0)
    context = 0.1 * torch.randn(2, 900)
    pieces = task.continuations(context[rows], torch.tensor([0, 1])[rows], list(seeds))
    return torch.cat(list(pieces), dim=1)


@pytest.mark.parametrize("seconds", [0.901, 1.0, 2.0, 2.345])
def test_the_output_has_the_length_asked_for_and_begins_with_the_prompt(seconds):
    out = made(make(seconds=seconds))
    assert out.shape == (2, round(1000 * seconds))
    torch.manual_seed(0)
    torch.testing.assert_close(out[:, :900], 0.1 * torch.randn(2, 900))


def test_each_recording_has_its_own_seed():
    both = made(make())
    torch.testing.assert_close(both[1:], made(make(), seeds=[1], rows=slice(1, 2)))
    assert not torch.equal(both, made(make(), seeds=[0, 2]))


def test_stays_within_full_scale():
    assert made(make(temperature=1000.0)).abs().max() == 1


@pytest.mark.parametrize("seconds", [0.5, 0.9])
def test_seconds_no_longer_than_the_prompt_are_refused(seconds):
    with pytest.raises(UsageError, match=r"--model.seconds 0\.[59]: the prompt alone has 0\.9 s"):
        made(make(seconds=seconds))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"seconds": 0}, r"--model\.seconds 0: must be more than 0"),
        ({"seconds": -1.0}, r"--model\.seconds -1\.0"),
        ({"seconds": float("inf")}, r"--model\.seconds inf: must be more than 0, and at most 86,400"),
        ({"temperature": 0}, r"--model\.temperature 0"),
        ({"top_p": 1.5}, r"--model\.top_p 1\.5"),
        ({"top_p": 0.9}, r"--model\.top_p 0\.9: Echo does not use it"),
        ({"lr": 0}, r"--model\.lr 0"),
        ({"target_samples": None}, "WaveformWindows"),
    ],
)
def test_bad_settings_are_refused(options, match):
    with pytest.raises(UsageError, match=match):
        make(**options)


def test_output_that_is_not_finite_is_an_error():
    class Astray(Echo):
        def stream(self, context, genre, draw):
            yield context * float("nan")

    task = GenreGenerator(Astray, num_classes=1, sample_rate=1000, target_samples=100)
    with pytest.raises(UsageError, match="not finite"):
        list(task.continuations(torch.ones(1, 900), torch.tensor([0]), [0]))


def test_its_settings_are_kept_in_plain_form():
    kept = make(temperature=0.5).hparams
    assert kept["network"] == {"class_path": "echo.Echo", "init_args": {}}
    assert resolve(kept["network"]["class_path"]) is Echo
    assert kept["temperature"] == 0.5
    partly = GenreGenerator(partial(Echo, noise=0.5), num_classes=1, sample_rate=1000, target_samples=100)
    assert partly.hparams["network"]["init_args"] == {"noise": 0.5}
