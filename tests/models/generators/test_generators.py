"""Networks that continue audio."""

import pytest
import torch

from musicgen_cls.errors import UsageError
from musicgen_cls.models.generators.continuation import Continuation, Sampling
from musicgen_cls.models.generators.mel_flow import MelFlow
from musicgen_cls.models.generators.sample_rnn import SampleRNN
from musicgen_cls.models.generators.waveform_rnn import WaveformRNN

RATE = 2000
SMALL = {
    "rnn": lambda: WaveformRNN(1, RATE, 200, channels=8, kernel=40, stride=20, hidden=16),
    "lstm": lambda: WaveformRNN(1, RATE, 200, channels=8, kernel=40, stride=20, hidden=16, cell="lstm", layers=2),
    "samples": lambda: SampleRNN(2, RATE, 200, hidden=32, width=32),
    "flow": lambda: MelFlow(2, RATE, 2000, n_fft=256, hop_length=64, n_mels=24, width=16, steps=4, griffin_lim=4),
}


@pytest.fixture(params=SMALL)
def network(request) -> Continuation:
    torch.manual_seed(0)
    return SMALL[request.param]()


def seeded(*seeds: int, **options: float) -> Sampling:
    return Sampling([torch.Generator().manual_seed(seed) for seed in seeds], **options)


def sines(count: int, samples: int) -> torch.Tensor:
    """Sines of 100 to 200 Hz with equal loudness and different phases."""
    t = torch.arange(samples) / RATE
    pitch = torch.linspace(100, 200, count)[:, None]
    return 0.3 * torch.sin(2 * torch.pi * (pitch * t + torch.linspace(0, 1, count)[:, None]))


@torch.inference_mode()
def made(network: Continuation, context: torch.Tensor, sampling: Sampling, samples: int) -> torch.Tensor:
    pieces, got = [], 0
    for piece in network.eval().stream(context, torch.zeros(len(context), dtype=torch.long), sampling):
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

    def test_streams_without_end_and_the_same_for_the_same_seed(self, network):
        context = sines(2, 1800)
        out = made(network, context, seeded(1, 2), 2500)
        assert out.shape == (2, 2500)
        assert out.isfinite().all()
        torch.testing.assert_close(out, made(network, context, seeded(1, 2), 2500))

    def test_a_recording_does_not_depend_on_its_neighbours(self, network):
        context = sines(3, 1800)
        batch = made(network, context, seeded(1, 2, 3), 1000)
        alone = made(network, context[1:2], seeded(2), 1000)
        torch.testing.assert_close(batch[1:2], alone, atol=1e-4, rtol=1e-3)

    def test_the_seed_matters_if_the_network_samples(self, network):
        context = sines(1, 1800)
        one, other = made(network, context, seeded(1), 500), made(network, context, seeded(2), 500)
        assert torch.equal(one, other) == (not network.SAMPLING_OPTIONS)


class TestMelFlow:
    def test_overfits_a_small_batch(self):
        torch.manual_seed(0)
        network = MelFlow(2, RATE, 800, n_fft=256, hop_length=64, n_mels=24, width=16, steps=4, griffin_lim=4)
        waveform, genre = music(8, 1600), torch.zeros(8, dtype=torch.long)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.005)
        losses = []
        for _ in range(120):
            losses.append(float((loss := network.loss(waveform[:, :800], waveform[:, 800:], genre)).detach()))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert sum(losses[-20:]) < 0.9 * sum(losses[:20])

    def test_half_precision_gives_the_same_statistics(self):
        networks, losses = [SMALL["flow"](), SMALL["flow"]()], []
        for network, half in zip(networks, (False, True), strict=True):
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = network.loss(sines(4, 1800), sines(4, 2000), torch.zeros(4, dtype=torch.long))
            loss.backward()
            losses.append(float(loss.detach()))
        assert losses[1] == pytest.approx(losses[0], rel=0.02)
        for name, buffer in networks[0].statistics.named_buffers():
            torch.testing.assert_close(networks[1].statistics.get_buffer(name), buffer)

    def test_the_statistics_are_in_the_state_dict(self):
        network, other = seen_sines(), SMALL["flow"]()
        other.load_state_dict(network.state_dict())
        context = sines(1, 1800)
        torch.testing.assert_close(made(other, context, seeded(1), 2000), made(network, context, seeded(1), 2000))
        assert not torch.equal(made(SMALL["flow"](), context, seeded(1), 2000), made(network, context, seeded(1), 2000))

    def test_frames_of_the_prompt_do_not_depend_on_later_samples(self):
        network, waveform = SMALL["flow"](), sines(2, 3800)
        prompt, all_ = network._cepstra(waveform[:, :1800]), network._cepstra(waveform)
        assert prompt.shape[2] == (1800 - 256) // 64 + 1
        torch.testing.assert_close(prompt, all_[:, :, : prompt.shape[2]])

    def test_cepstra_are_invertible(self):
        network, waveform = SMALL["flow"](), music(16, 3800)
        power = network.log_mel.power(waveform)[:, :, 2:-2]
        torch.testing.assert_close(network._power(network._cepstra(waveform)), power, atol=1e-6, rtol=1e-3)

    def test_untrained_its_steps_from_frame_to_frame_are_those_of_the_data(self):
        network, waveform = SMALL["flow"](), music(16, 3800)
        network.loss(waveform[:, :1800], waveform[:, 1800:], torch.zeros(16, dtype=torch.long))
        powers, keep = [], network._power
        network._power = lambda cepstra: powers.append(keep(cepstra)) or powers[-1]
        made(network, waveform[:, :1800], seeded(*range(16)), 2000)
        moved = (10 * torch.log10(powers[0][:, :, 24:])).diff(dim=2)
        steps = moved.square().mean(dim=(0, 1)).sqrt()
        really = network._cepstra(waveform).diff(dim=2)
        real = really.square().mean().sqrt()
        assert (steps / real - 1).abs().max() < 0.35  # where patches meet, too
        assert (steps / real).mean() == pytest.approx(1, abs=0.15)
        for later in (1, 2, 3):  # frames overlap, so that steps are correlated
            ours, theirs = (
                float((x[:, :, later:] * x[:, :, :-later]).mean() / x.square().mean()) for x in (moved, really)
            )
            assert ours == pytest.approx(theirs, abs=0.1), later

    def test_untrained_it_is_as_loud_as_the_data(self):
        network, waveform = SMALL["flow"](), music(16, 3800)
        network.loss(waveform[:, :1800], waveform[:, 1800:], torch.zeros(16, dtype=torch.long))
        out = made(network, waveform[:4, :1800], seeded(1, 2, 3, 4), 20000)
        difference = 10 * torch.log10(out[:, -2000:].square().mean() / waveform.square().mean())
        assert abs(difference) < 6

    def test_a_context_too_short(self):
        network = SMALL["flow"]()
        assert made(network, sines(1, 256 + 7 * 64), seeded(1), 100).shape == (1, 100)
        with pytest.raises(UsageError, match=r"patch 8: longer than the context, 704 samples against 703"):
            made(network, sines(1, 703), seeded(1), 100)

    def test_no_click_where_pieces_meet(self):
        network = seen_sines()
        context = sines(1, 1800)
        out = torch.cat([context, made(network, context, seeded(1), 6000)], dim=1)[0]
        pieces = network.eval().stream(context, torch.zeros(1, dtype=torch.long), seeded(1))
        seams, jumps = [1800], out.diff().abs()
        seams += [seams[-1] + next(pieces).shape[1] for _ in range(2)]
        for seam in seams:
            assert jumps[seam - 2 : seam + 1].max() < 4 * jumps[1000:].quantile(0.99)


def seen_sines() -> MelFlow:
    torch.manual_seed(0)
    network = SMALL["flow"]()
    network.loss(sines(16, 1800), sines(16, 2000), torch.zeros(16, dtype=torch.long))
    return network


def music(count: int, samples: int) -> torch.Tensor:
    """Filtered noise whose loudness changes within each recording."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, samples + 3, generator=generator)
    loudness = torch.randn(count, samples // 500 + 1, generator=generator).mul(0.3).exp().repeat_interleave(500, 1)
    return 0.03 * loudness[:, :samples] * noise.unfold(1, 4, 1).sum(-1)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: WaveformRNN(1, RATE, 200, stride=0), "stride"),
        (lambda: WaveformRNN(1, RATE, 200, hidden=-1), "hidden"),
        (lambda: SampleRNN(1, RATE, 200, frame=0), "frame"),
        (lambda: MelFlow(1, RATE, 2000, steps=0), "steps"),
        (lambda: MelFlow(1, RATE, 2048, order=9), "order 9: more than the 8 frames of the target"),
        (lambda: MelFlow(1, RATE, 300), "patch 8: longer than the target, 2048 samples against 300"),
        (lambda: MelFlow(1, RATE, 20000, width=250), "width 250: must be a multiple of 16"),
        (lambda: MelFlow(1, RATE, 20000, hop_length=300), "hop_length 300: must divide half of n_fft, 256"),
        (lambda: MelFlow(1, RATE, 20000, noise=float("nan")), "noise nan"),
    ],
)
def test_impossible_sizes_are_refused(make, name):
    with pytest.raises(UsageError, match=name):
        make()


def test_each_recording_has_its_own_generator():
    sampling = seeded(1, 2)
    first = sampling.uniform(5)
    assert first.shape == (2, 5)
    torch.testing.assert_close(first[1], torch.rand(5, generator=torch.Generator().manual_seed(2)))
    assert first[0, 0] != first[1, 0]
