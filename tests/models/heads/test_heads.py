"""Heads on embeddings and tags, against theory and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from musicgen_cls.errors import UsageError
from musicgen_cls.models import MLP, AttentionPool, LinearProbe, TagReading


@pytest.mark.parametrize("kind", [LinearProbe, AttentionPool, MLP])
def test_shapes(kind):
    network = kind(5).eval()
    x = torch.randn(3, 4, 20)
    assert network(x).shape == (3, 5)
    again = kind(5).eval()
    again.load_state_dict(network.state_dict())  # a fresh one gets its size from the state
    assert torch.equal(again(x), network(x))


def test_attention_gives_one_row_its_own_logits():
    network = AttentionPool(3).eval()
    x = torch.randn(2, 1, 8)
    assert torch.allclose(network(x.repeat(1, 6, 1)), network(x), atol=1e-6)


def test_linear_probe_is_logistic_regression():
    """Each candidate converges to the optimum that scikit-learn finds with C = 1 / (decay * n)."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (np.eye(3)[y] @ rng.normal(size=(3, 6)) + rng.normal(size=(90, 6))).astype(np.float32)
    decays = [0.01, 0.1, 1.0]
    network = LinearProbe(3, decays)
    inputs, labels = torch.from_numpy(x)[:, None], torch.from_numpy(y)
    network(inputs)
    exact = {"max_iter": 500, "tolerance_grad": 1e-9, "line_search_fn": "strong_wolfe"}
    optimiser = torch.optim.LBFGS(network.parameters(), **exact)

    def closure():
        optimiser.zero_grad()
        loss = network.loss(inputs, labels)[1]
        loss.backward()
        return loss

    optimiser.step(closure)
    found = network.candidates(inputs).softmax(2).detach().numpy()
    for number, decay in enumerate(decays):
        expected = LogisticRegression(C=1 / (decay * len(y)), tol=1e-9, max_iter=1000).fit(x, y).predict_proba(x)
        assert np.abs(found[:, number] - expected).max() < 2e-3, decay
    assert network.candidate_count == 3
    network.choose(2)
    assert torch.equal(network(inputs), network.candidates(inputs)[:, 2])


def test_candidates_train_as_if_alone():
    torch.manual_seed(0)
    x, y = torch.randn(40, 1, 5), torch.randint(0, 2, (40,))
    both, alone = LinearProbe(2, [0.0, 1.0]), LinearProbe(2, [1.0])
    both(x), alone(x)
    with torch.no_grad():
        alone.linear.weight.copy_(both.linear.weight[2:])
        alone.linear.bias.copy_(both.linear.bias[2:])
    for network in (both, alone):
        optimiser = torch.optim.Adam(network.parameters(), 0.01)
        for _ in range(30):
            optimiser.zero_grad()
            network.loss(x, y)[1].backward()
            optimiser.step()
    assert torch.allclose(both.linear.weight[2:], alone.linear.weight, atol=1e-5)


@pytest.mark.parametrize("decays", [[], [-1.0]])
def test_decays_that_are_none(decays):
    with pytest.raises(UsageError, match=r"network\.decays"):
        LinearProbe(2, decays)


def reading() -> TagReading:
    """Two networks with the tags a, b, Music and c, d; the genre x has a, b and d, y has c."""
    network = TagReading(2, networks=2, tags=5).eval()
    reference = torch.tensor([[0.0, 1, 3, 2, 4], [2, 1, 3, 6, 8]])
    network.set_tags([("a", "b", "Music"), ("c", "d")], [{0: ["a", "b"], 1: ["d"]}, {1: ["c"]}], reference)
    return network


def test_reading_of_tags_by_hand():
    network = reading()
    # largest of a and b: 1 and 2, mean 1.5, deviation 0.707; d: 4 and 8, 6 and 2.83; c: 2 and 6, 4 and 2.83
    x = torch.tensor([[2.5, 0.0, 3.0, 4.0, 6.0]])[:, None]
    root = 2**0.5
    expected = torch.tensor([[((2.5 - 1.5) / (root / 2) + 0.0) / 2, 0.0]])
    assert torch.allclose(network(x), expected, atol=1e-6)
    assert torch.allclose(network(torch.cat([x, x], 1)), expected, atol=1e-6)


def test_without_music_all_genres_are_equally_probable():
    network = reading()
    network.music.fill_(2)
    network.music_at.fill_(-1.0)
    x = torch.tensor([[9.0, 0.0, 8.0, -3.0, 6.0]])[:, None]
    sure = network(x).softmax(1)
    x[..., 2] = -12
    assert sure.max() > 0.99
    assert torch.allclose(network(x).softmax(1), torch.tensor([[0.5, 0.5]]), atol=1e-3)
