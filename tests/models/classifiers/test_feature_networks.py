"""Networks on tables of features, against the layers and parameters in the slides."""

from itertools import pairwise

import pytest
import torch

from musicgen_cls.models.classifiers.feature_lstm import FeatureLSTM
from musicgen_cls.models.classifiers.feature_mlp import FeatureMLP


def trained(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def test_the_lstm_has_the_number_of_parameters_in_the_slides():
    network = FeatureLSTM(10, features=58)
    of = {name: parameter.numel() for name, parameter in network.named_parameters() if parameter.requires_grad}
    first, second = (sum(n for name, n in of.items() if name.endswith(f"_l{layer}")) for layer in (0, 1))
    assert (first, second, of["head.0.weight"] + of["head.0.bias"]) == (31488, 33024, 4160)
    assert trained(network) == 69322


def test_the_second_bias_stays_0():
    network = FeatureLSTM(3, features=5, hidden=4, dense=4)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        network(torch.randn(8, 6, 5)).square().sum().backward()
        optimiser.step()
    assert not network.lstm.bias_hh_l0.any()
    assert not network.lstm.bias_hh_l1.any()
    assert network.lstm.bias_ih_l0.any()


def test_layers_of_the_mlp():
    sizes = [58, 512, 256, 128, 64, 32, 10]
    network = FeatureMLP(10)
    assert trained(network) == sum(a * b + b for a, b in pairwise(sizes))
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == [0.2] * 5


@pytest.mark.parametrize(("network", "shape"), [(FeatureLSTM(4, features=7), (3, 50, 7)), (FeatureMLP(4, 7), (3, 7))])
def test_logits(network, shape):
    logits = network(torch.randn(shape))
    assert logits.shape == (3, 4)
    assert torch.isfinite(logits).all()


def test_the_lstm_depends_on_the_order():
    torch.manual_seed(0)
    network, x = FeatureLSTM(4, features=7).eval(), torch.randn(2, 10, 7)
    assert (network(x) - network(x.flip(1))).abs().max() > 1e-3
