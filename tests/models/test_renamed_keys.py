"""State dicts of older versions, whose attributes had other names."""

from __future__ import annotations

from functools import partial
from itertools import islice

import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from musicgen_cls.models import MelFlow, SampleRNN
from musicgen_cls.models.generators.continuation import Continuation, Sampling
from musicgen_cls.tasks import GenreGenerator

RATE = 2000
FLOW = partial(MelFlow, n_fft=256, hop_length=64, n_mels=24, width=16, blocks=1, steps=2, griffin_lim=2)
SAMPLES = partial(SampleRNN, hidden=16, width=16)
OLD_NAMES = {
    "statistics.mean_square": "moments.square",
    "statistics.minimum": "moments.lowest",
    "statistics.maximum": "moments.highest",
    "statistics": "moments",
    "prior.covariances": "persistence.products",
    "prior": "persistence",
    "denoiser.time": "network.tell",
    "denoiser.conv_in": "network.enter",
    "denoiser.conv_out": "network.leave",
    "denoiser.encoder": "network.before",
    "denoiser.decoder": "network.after",
    "denoiser": "network",
    "from_state": "told",
    "from_excitation": "heard",
}
EXPECTED = {
    MelFlow: {
        *("moments.count", "moments.mean", "moments.square", "moments.lowest", "moments.highest"),
        *("persistence.products", "persistence.windows", "network.genre.weight", "network.tell.0.weight"),
        *("network.enter.bias", "network.before.tell.weight", "network.after.norms.1.bias", "network.leave.weight"),
        *("network.residuals.0.tell.bias", "network.attentions.0.attention.in_proj_weight"),
    },
    SampleRNN: {"told.weight", "told.bias", "heard.weight", "inner.weight", "genre.weight"},
}


def old_key(key: str) -> str:
    new, old = next(((new, old) for new, old in OLD_NAMES.items() if key.startswith(f"{new}.") or key == new), ("", ""))
    return (old + key.removeprefix(new)).replace(".scale_shift.", ".tell.")


def old_state(network: Continuation) -> dict[str, Tensor]:
    """The state dict as the older version named it."""
    state = {old_key(key): value for key, value in network.state_dict().items()}
    assert set(state) >= EXPECTED[type(network)]
    return state


def trained(make: partial[Continuation], seed: int) -> Continuation:
    torch.manual_seed(seed)
    network = make(2, RATE, 2000)
    network.loss(0.1 * torch.randn(4, 1800), 0.1 * torch.randn(4, 2000), torch.arange(4) % 2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


@torch.inference_mode()
def continued(network: Continuation) -> Tensor:
    sampling = Sampling([torch.Generator().manual_seed(0)])
    context = torch.sin(0.2 * torch.arange(1800))[None]
    return torch.cat(list(islice(network.stream(context, torch.ones(1, dtype=torch.long), sampling), 2)), dim=1)


@pytest.mark.parametrize("make", [FLOW, SAMPLES], ids=["MelFlow", "SampleRNN"])
def test_an_old_state_dict_gives_the_same_samples(make):
    network, other = trained(make, 0), trained(make, 1)
    assert not torch.equal(continued(other), continued(network))
    other.load_state_dict(old_state(network))
    assert torch.equal(continued(other), continued(network))
    other.load_state_dict(network.state_dict())


def test_averaged_weights_load_an_old_state_dict():
    """Averaged weights (EMA) are in a copy of the module, under another prefix."""
    network, averaged = trained(FLOW, 0), AveragedModel(trained(FLOW, 1))
    state = {f"module.{key}": value for key, value in old_state(network).items()}
    averaged.load_state_dict(state | {"n_averaged": averaged.n_averaged})
    assert torch.equal(continued(averaged.module.eval()), continued(network))


@pytest.mark.parametrize("make", [FLOW, SAMPLES], ids=["MelFlow", "SampleRNN"])
def test_a_task_loads_an_old_state_dict(make):
    network, task = trained(make, 0), GenreGenerator(make, num_classes=2, sample_rate=RATE, target_samples=2000)
    task.load_state_dict({f"network.{key}": value for key, value in old_state(network).items()})
    assert torch.equal(continued(task.network.eval()), continued(network))
