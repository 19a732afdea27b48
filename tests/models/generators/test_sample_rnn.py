from itertools import islice

import pytest
import torch
from torch import Tensor

from musicgen_cls.audio.mulaw import LEVELS
from musicgen_cls.errors import UsageError
from musicgen_cls.models.generators.continuation import Sampling
from musicgen_cls.models.generators.sample_rnn import SampleRNN, _level

RATE, CONTEXT, TARGET = 1000, 400, 100
SMALL = {"frame": 16, "look_back": 64, "order": 8, "taps": 12, "hidden": 16, "width": 16}
GENRE = torch.tensor([0, 2, 1])


def small(seed: int = 0, **options) -> SampleRNN:
    torch.manual_seed(seed)
    network = SampleRNN(3, RATE, TARGET, **SMALL | options)
    torch.nn.init.normal_(network.out.weight, std=0.2)  # as if it had learned something
    return network.eval()


def seeded(batch: int = 3, **options) -> Sampling:
    return Sampling([torch.Generator().manual_seed(seed) for seed in range(batch)], **options)


def music(batch: int = 3, samples: int = CONTEXT, seed: int = 0) -> Tensor:
    """Tones in noise."""
    generator = torch.Generator().manual_seed(seed)
    pitch = 0.05 + 0.3 * torch.rand(batch, 1, generator=generator)
    return 0.1 * torch.sin(pitch * torch.arange(samples)) + 0.01 * torch.randn(batch, samples, generator=generator)


def continued(network: SampleRNN, context: Tensor, genre: Tensor, sampling: Sampling, pieces: int = 3) -> Tensor:
    return torch.cat(list(islice(network.stream(context, genre, sampling), pieces)), dim=1)


def every_frame(samples: int) -> Tensor:
    return torch.arange((CONTEXT - SMALL["look_back"]) // SMALL["frame"] + samples // SMALL["frame"])


def agree(levels: Tensor, others: Tensor) -> bool:
    """Whether the levels are equal, but for a few near a boundary that differ by rounding (audio is float32).

    Of independent levels fewer than one in ten would agree.
    """
    return float((levels == others).float().mean()) > 0.95


def test_shapes():
    network, audio = small(), music(samples=CONTEXT + TARGET)
    frames = every_frame(TARGET)
    logits, levels = network(audio[:, :CONTEXT], audio[:, CONTEXT:], GENRE, frames[[0, 5, 11]])
    assert logits.shape == (3, 3, 16, LEVELS)
    assert levels.shape == (3, 3, 16)
    assert levels.min() >= 0
    assert levels.max() < LEVELS
    assert len(frames) == 21 + 6
    piece = next(network.stream(audio[:, :CONTEXT], GENRE, seeded()))
    assert piece.shape == (3, 96)
    assert piece.dtype == torch.float32


def test_logits_do_not_depend_on_later_samples():
    """A sample of the target changes all logits after it, and no others."""
    network, audio = small(), music(samples=CONTEXT + TARGET)
    frames = every_frame(TARGET)
    before, _ = network(audio[:, :CONTEXT], audio[:, CONTEXT:], GENRE, frames)
    at = 37
    changed = audio[:, CONTEXT:].clone()
    changed[:, at:] += 0.01 * torch.randn(3, TARGET - at)
    after, _ = network(audio[:, :CONTEXT], changed, GENRE, frames)
    differs = (after - before).abs().amax(dim=(0, 3)).flatten()[(CONTEXT - SMALL["look_back"]) // 16 * 16 :] > 1e-6
    assert not differs[: at + 1].any()
    assert differs[at + 1 :].all()


@pytest.mark.parametrize("options", [{}, {"temperature": 0.8}, {"top_p": 0.9}])
def test_streaming_equals_one_pass_over_everything(options):
    """The logits of one pass over context and output, with the same random numbers, give the same levels."""
    network, context = small(), music()
    network.loudness_rate = 0.0  # `forward` has random errors in loudness instead of this running mean
    audio = continued(network, context, GENRE, seeded(**options), pieces=2)
    frames = every_frame(audio.shape[1])[-(audio.shape[1] // 16) :]
    logits, levels = network(context, audio, GENRE, frames)
    probabilities = (logits / options.get("temperature", 1.0)).softmax(-1).flatten(0, 2)
    sampling = seeded(**options)
    uniform = torch.cat([sampling.uniform(96) for _ in range(2)], dim=1).reshape(-1, 1)
    assert agree(_level(probabilities, uniform, options.get("top_p", 1.0)).flatten(), levels.flatten())


@pytest.mark.parametrize("rows", [slice(1, 2), slice(0, 2)])
def test_a_recording_does_not_depend_on_its_neighbours(rows):
    network, context = small(), music()
    together = continued(network, context, GENRE, seeded())
    sampling = Sampling(seeded().generators[rows])
    torch.testing.assert_close(continued(network, context[rows], GENRE[rows], sampling), together[rows])


def test_same_seed_same_audio():
    network, context = small(), music()
    first, again = (continued(network, context, GENRE, seeded()) for _ in range(2))
    assert torch.equal(first, again)
    other = Sampling([torch.Generator().manual_seed(9 + seed) for seed in range(3)])
    assert not torch.allclose(continued(network, context, GENRE, other), first)


def test_depends_on_the_genre():
    network, context = small(), music()
    torch.nn.init.normal_(network.from_state.weight)
    first = continued(network, context, GENRE, seeded())
    assert not torch.allclose(continued(network, context, (GENRE + 1) % 3, seeded()), first)


def test_loudness_of_the_context_is_kept():
    """The output is as loud as the context, and scales with it."""
    network, context = small(), music()
    torch.nn.init.zeros_(network.out.weight)
    plain = continued(network, context, GENRE, seeded(), pieces=20)
    torch.testing.assert_close(continued(network, 0.1 * context, GENRE, seeded(), pieces=20), 0.1 * plain)
    ratio_db = 10 * (plain.square().mean(1) / context.square().mean(1)).log10()
    assert (ratio_db.abs() < 10).all()


@pytest.mark.parametrize("context", [torch.zeros(1, CONTEXT), torch.ones(1, CONTEXT), 1e-4 * music(1), music(1, 64)])
def test_odd_contexts(context):
    audio = continued(small(), context, GENRE[:1], seeded(1), pieces=10)
    assert torch.isfinite(audio).all()
    assert audio.abs().max() < 50


def test_temperature_near_0_takes_the_most_probable():
    network, context = small(), music()
    audio = continued(network, context, GENRE, seeded(temperature=1e-6), pieces=1)
    logits, levels = network(context, audio, GENRE, every_frame(96)[-6:])
    assert agree(logits.argmax(-1), levels)


def test_a_higher_temperature_gives_more_power():
    network, context = small(), music()
    torch.nn.init.zeros_(network.out.weight)
    power = [float(continued(network, context, GENRE, seeded(temperature=t), 5).square().mean()) for t in (0.5, 1, 2)]
    assert power == sorted(power)


def test_levels_follow_their_probabilities():
    probabilities = torch.tensor([[0.1, 0.2, 0.4, 0.3]])
    uniform = torch.tensor([0.05, 0.15, 0.29, 0.31, 0.69, 0.71, 0.99])[:, None]
    assert _level(probabilities.expand(7, 4), uniform, 1.0).flatten().tolist() == [0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(("top_p", "kept"), [(0.05, {5}), (0.55, {5, 9}), (0.85, {5, 9, 0}), (0.95, {0, 5, 7, 9})])
def test_top_p_keeps_the_most_probable(top_p, kept):
    probabilities = torch.zeros(1000, LEVELS)
    probabilities[:, [0, 5, 7, 9]] = torch.tensor([0.2, 0.4, 0.1, 0.3])
    uniform = torch.linspace(0, 0.999, 1000)[:, None]
    drawn = _level(probabilities, uniform, top_p).flatten()
    assert set(drawn.tolist()) == kept
    share = 0.4 / float(probabilities[0, sorted(kept)].sum())
    assert float((drawn == 5).float().mean()) == pytest.approx(share, abs=0.01)


def test_predictor_whitens():
    """The excitation of filtered white noise is white with a power of 1; synthesis is the inverse."""
    network = SampleRNN(3, 16000, TARGET, **SMALL | {"look_back": 2048})
    noise = torch.randn(1, 4096, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = noise.clone()
    for n in range(2, 4096):
        x[:, n] += 1.6 * x[:, n - 1] - 0.8 * x[:, n - 2]
    x = x[:, 2048:] / x[:, 2048:].square().mean().sqrt()
    filters = network._filters(network._power(x), network._power(x))
    excitation = (x.unfold(1, 9, 1) @ filters[..., None]).squeeze(-1)
    assert excitation.square().mean() == pytest.approx(1, abs=0.1)
    assert (excitation[:, 1:] * excitation[:, :-1]).mean().abs() < 0.1
    torch.testing.assert_close(
        filters[0, -3:] / filters[0, -1], torch.tensor([0.8, -1.6, 1.0]).double(), atol=0.15, rtol=0
    )
    again = network._synthesise(x[:, 8:16], excitation[:, 8:24].float(), filters)
    torch.testing.assert_close(again, x[:, 16:32], atol=1e-4, rtol=0)


def test_noise_is_for_training_only():
    network, audio = small(noise=0.5), music(samples=CONTEXT + TARGET)
    losses = [float(network.loss(audio[:, :CONTEXT], audio[:, CONTEXT:], GENRE).detach()) for _ in range(2)]
    assert losses[0] == losses[1]
    network.train()
    losses = [float(network.loss(audio[:, :CONTEXT], audio[:, CONTEXT:], GENRE).detach()) for _ in range(2)]
    assert losses[0] != losses[1]


def test_gradient_reaches_every_parameter():
    network, audio = small().train(), music(samples=CONTEXT + TARGET)
    network.loss(audio[:, :CONTEXT], audio[:, CONTEXT:], GENRE).backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_learns_a_sine():
    torch.manual_seed(0)
    network = SampleRNN(3, RATE, TARGET, **SMALL)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    audio = 0.1 * torch.sin(torch.arange(3)[:, None] + 0.1 * torch.arange(CONTEXT + TARGET))
    losses = []
    for _ in range(40):
        loss = network.loss(audio[:, :CONTEXT], audio[:, CONTEXT:], GENRE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 1.5


@pytest.mark.parametrize("size", SMALL)
def test_bad_sizes(size):
    with pytest.raises(UsageError, match=f"{size} 0"):
        small(**{size: 0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"look_back": 63}, "look_back 63: must be even"),
        ({"order": 60}, "at least order \\+ taps 72"),
        ({"anchor": 0.0}, "anchor 0.0"),
        ({"share": 1.5}, "share 1.5"),
        ({"noise": -0.1}, "noise -0.1"),
        ({"loudness_noise": float("nan")}, "loudness_noise nan"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UsageError, match=message):
        small(**options)


def test_context_too_short():
    with pytest.raises(UsageError, match=r"network\.look_back 64: longer than the context, 63 samples"):
        next(small().stream(music(1, 63), GENRE[:1], seeded(1)))
