"""Networks that continue audio."""

import pytest
import torch

from musicgen_cls.audio import mulaw
from musicgen_cls.errors import UsageError
from musicgen_cls.models.continuation import Continuation, Draw
from musicgen_cls.models.mel_flow import MelFlow
from musicgen_cls.models.sample_rnn import SampleRNN, _pick
from musicgen_cls.models.waveform_rnn import WaveformRNN

RATE = 2000
SMALL = {
    "rnn": lambda: WaveformRNN(1, RATE, 200, channels=8, kernel=40, stride=20, hidden=16),
    "lstm": lambda: WaveformRNN(1, RATE, 200, channels=8, kernel=40, stride=20, hidden=16, cell="lstm", layers=2),
    "samples": lambda: SampleRNN(2, RATE, 200, hidden=32, width=32, noise=0.0),
    "flow": lambda: MelFlow(2, RATE, 2000, n_fft=256, hop_length=64, n_mels=24, width=16, steps=4, griffin_lim=4),
}


@pytest.fixture(params=SMALL)
def network(request) -> Continuation:
    torch.manual_seed(0)
    return SMALL[request.param]()


def draw(*seeds: int, **options: float) -> Draw:
    return Draw([torch.Generator().manual_seed(seed) for seed in seeds], **options)


def sines(count: int, samples: int) -> torch.Tensor:
    """Tones of 100 to 200 Hz of one loudness, each with a phase of its own."""
    t = torch.arange(samples) / RATE
    pitch = torch.linspace(100, 200, count)[:, None]
    return 0.3 * torch.sin(2 * torch.pi * (pitch * t + torch.linspace(0, 1, count)[:, None]))


@torch.inference_mode()
def made(network: Continuation, context: torch.Tensor, chance: Draw, samples: int) -> torch.Tensor:
    pieces, got = [], 0
    for piece in network.eval().stream(context, torch.zeros(len(context), dtype=torch.long), chance):
        pieces.append(piece)
        got += piece.shape[1]
        if got >= samples:
            break
    return torch.cat(pieces, dim=1)[:, :samples]


class TestEveryNetwork:
    def test_loss_is_a_number_with_gradients(self, network):
        waveform = sines(4, 4000)
        end = 3800 if isinstance(network, MelFlow) else 2000
        loss = network.loss(waveform[:, :1800], waveform[:, 1800:end], torch.zeros(4, dtype=torch.long))
        assert loss.shape == ()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())

    def test_goes_on_for_ever_and_says_the_same_with_the_same_seed(self, network):
        context = sines(2, 1800)
        out = made(network, context, draw(1, 2), 2500)
        assert out.shape == (2, 2500)
        assert out.isfinite().all()
        torch.testing.assert_close(out, made(network, context, draw(1, 2), 2500))

    def test_a_recording_does_not_depend_on_its_neighbours(self, network):
        context = sines(3, 1800)
        batch = made(network, context, draw(1, 2, 3), 1000)
        alone = made(network, context[1:2], draw(2), 1000)
        torch.testing.assert_close(batch[1:2], alone, atol=1e-4, rtol=1e-3)

    def test_chance_matters_where_there_is_any(self, network):
        context = sines(1, 1800)
        one, other = made(network, context, draw(1), 500), made(network, context, draw(2), 500)
        assert torch.equal(one, other) == (not network.HEEDS)


class TestWaveformRNN:
    def test_learns_a_tone(self):
        torch.manual_seed(0)
        network = SMALL["rnn"]()
        waveform = sines(4, 1000)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(80):
            loss = network.loss(waveform[:, :800], waveform[:, 800:], torch.zeros(4).long())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert loss < 0.2 * waveform.square().mean()

    def test_parameters_are_those_of_the_layers(self):
        network = WaveformRNN(1, 10_000, 1000, channels=4, kernel=10, stride=5, hidden=6)
        convolution, recurrent, linear = 4 * 10 + 4, 2 * 3 * 6 * (4 + 6 + 2), 12 * 1000 + 1000
        assert sum(p.numel() for p in network.parameters()) == convolution + recurrent + linear


class TestSampleRNN:
    def test_hears_nothing_of_what_comes_after(self):
        network = SMALL["samples"]().eval()
        levels = mulaw.encode(sines(1, 640))
        changed = levels.clone()
        changed[:, 320:] = 7
        genre = torch.zeros(1, dtype=torch.long)
        torch.testing.assert_close(network._expect(levels, genre)[:, :10], network._expect(changed, genre)[:, :10])

    def test_state_kept_is_as_good_as_hearing_it_all_again(self):
        torch.manual_seed(0)
        network = SMALL["samples"]().eval()
        context = sines(2, 640)
        kept = mulaw.encode(made(network, context, draw(1, 2), 320))
        again = mulaw.encode(context)
        chance = draw(1, 2)
        with torch.inference_mode():
            for _ in range(10):
                step = network._expect(again, torch.zeros(2, dtype=torch.long))[:, -1:]
                expectation = network.expect(step).unflatten(2, (network.frame, network.width))[:, 0]
                frame = network._draw_frame(expectation, again[:, -network.memory :], chance)
                again = torch.cat([again, frame], dim=1)
        assert torch.equal(kept, again[:, 640:])

    def test_loss_begins_at_a_guess_and_falls(self):
        torch.manual_seed(0)
        network = SMALL["samples"]()
        waveform, genre = sines(8, 2000), torch.zeros(8, dtype=torch.long)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
        losses = []
        for _ in range(60):
            losses.append(network.loss(waveform[:, :1800], waveform[:, 1800:], genre))
            optimiser.zero_grad()
            losses[-1].backward()
            optimiser.step()
        assert abs(losses[0] - torch.tensor(256.0).log()) < 0.3
        assert losses[-1] < 0.6 * losses[0]

    @pytest.mark.parametrize(("temperature", "top_p"), [(1e-4, 1.0), (1.0, 1e-6)])
    def test_without_freedom_it_takes_the_likeliest(self, temperature, top_p):
        torch.manual_seed(0)
        logits = torch.randn(50, mulaw.LEVELS)
        assert torch.equal(_pick(logits, torch.rand(50, 1), temperature, top_p), logits.argmax(dim=1))

    def test_draws_as_often_as_is_likely(self):
        torch.manual_seed(0)
        logits = torch.full((20_000, mulaw.LEVELS), -1e9)
        logits[:, 3], logits[:, 200] = 0.0, 1.0
        share = (_pick(logits, torch.rand(20_000, 1), 1.0, 1.0) == 200).float().mean()
        assert abs(share - torch.sigmoid(torch.tensor(1.0))) < 0.015


class TestMelFlow:
    def test_overfits_one_window(self):
        torch.manual_seed(0)
        network = SMALL["flow"]()
        waveform, genre = sines(1, 3800).repeat(8, 1), torch.zeros(8, dtype=torch.long)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.002)
        losses = []
        for _ in range(40):
            losses.append(network.loss(waveform[:, :1800], waveform[:, 1800:], genre))
            optimiser.zero_grad()
            losses[-1].backward()
            optimiser.step()
        assert sum(losses[-10:]) < 0.7 * sum(losses[:10])

    def test_statistics_travel_in_the_state(self):
        network, other = SMALL["flow"](), SMALL["flow"]()
        network.loss(sines(4, 1800), sines(4, 2000), torch.zeros(4, dtype=torch.long))
        assert network.statistics.running_mean.abs().sum() > 0
        other.load_state_dict(network.state_dict())
        assert torch.equal(other.statistics.running_mean, network.statistics.running_mean)

    def test_no_click_where_pieces_meet(self):
        torch.manual_seed(0)
        network = SMALL["flow"]()
        network.loss(sines(16, 1800), sines(16, 2000), torch.zeros(16, dtype=torch.long))
        context = sines(1, 1800)
        out = torch.cat([context, made(network, context, draw(1), 6000)], dim=1)[0]
        piece = network.target_samples // 64 * 64
        jumps = out.diff().abs()
        for seam in (1800, 1800 + piece, 1800 + 2 * piece):
            assert jumps[seam - 2 : seam + 1].max() < 4 * jumps[1000:].quantile(0.99)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: WaveformRNN(1, RATE, 200, stride=0), "stride"),
        (lambda: WaveformRNN(1, RATE, 200, hidden=-1), "hidden"),
        (lambda: SampleRNN(1, RATE, 200, frame=0), "frame"),
        (lambda: SampleRNN(1, RATE, 200, frame=8, memory=16), "memory"),
        (lambda: MelFlow(1, RATE, 2000, steps=0), "steps"),
        (lambda: MelFlow(1, RATE, 300), "target frames"),
    ],
)
def test_sizes_that_make_no_network(make, name):
    with pytest.raises(UsageError, match=name):
        make()


def test_chance_is_drawn_from_each_generator():
    chance = draw(1, 2)
    first = chance.uniform(5)
    assert first.shape == (2, 5)
    torch.testing.assert_close(first[1], torch.rand(5, generator=torch.Generator().manual_seed(2)))
    assert first[0, 0] != first[1, 0]
