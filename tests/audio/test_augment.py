import numpy as np
import pytest
import torch

from musicgen_cls.audio.augment import AddWhiteNoise, NoiseAndPitch, ShiftPitch
from musicgen_cls.errors import UsageError
from musicgen_cls.specs import init_arguments

RATE = 22050


def tones(count: int, hz: float = 440.0, seconds: float = 1.0) -> torch.Tensor:
    t = torch.arange(int(RATE * seconds)) / RATE
    return (0.3 * torch.sin(2 * torch.pi * hz * t)).expand(count, -1)


def pitches(waveform: torch.Tensor) -> np.ndarray:
    """Hz of the highest peak of each spectrum, `[batch]`."""
    spectrum = torch.fft.rfft(waveform * torch.hann_window(waveform.shape[1]), n=8 * waveform.shape[1]).abs()
    return spectrum.argmax(dim=1).numpy() * RATE / (8 * waveform.shape[1])


def test_noise_has_the_given_level():
    torch.manual_seed(0)
    silent = torch.zeros(4, RATE)
    noisy = AddWhiteNoise(0.02)(silent)
    assert noisy.std(dim=1).numpy() == pytest.approx(0.02, rel=0.03)
    assert (torch.corrcoef(noisy) - torch.eye(4)).abs().max() < 0.03
    assert not silent.any()


def test_pitch_is_shifted_within_its_bounds_and_the_duration_kept():
    torch.manual_seed(0)
    shifted = ShiftPitch(3.0)(tones(12))
    assert shifted.shape == (12, RATE)
    semitones = 12 * np.log2(pitches(shifted) / 440)
    assert np.abs(semitones).max() < 3.05
    assert semitones.std() > 1  # uniform from -3 to 3: 1.7
    assert shifted.square().mean(dim=1).sqrt().numpy() == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


def test_0_semitones_keep_the_pitch():
    np.testing.assert_allclose(pitches(ShiftPitch(0.0)(tones(2))), 440, atol=0.5)


def test_each_change_is_applied_to_some_waveforms():
    torch.manual_seed(0)
    sound = tones(200, seconds=0.2)
    made = NoiseAndPitch(level=0.05, semitones=4.0, noise_probability=0.5, pitch_probability=0.25)(sound)
    floor = made.sub(torch.nn.functional.avg_pool1d(made[:, None], 9, 1, 4)[:, 0]).std(dim=1)
    same = (made == sound).all(dim=1)
    assert float(same.float().mean()) == pytest.approx(0.5 * 0.75, abs=0.1)
    assert float((floor > 0.03).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert (sound == tones(200, seconds=0.2)).all()  # what went in is left as it was


@pytest.mark.parametrize(("noise", "pitch"), [(0.0, 0.0), (1.0, 0.0)])
def test_probabilities_of_0_and_1(noise, pitch):
    sound = tones(5, seconds=0.1)
    made = NoiseAndPitch(noise_probability=noise, pitch_probability=pitch)(sound)
    assert (made != sound).any(dim=1).float().mean() == noise


def test_the_seed_decides_the_changes():
    def once(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return NoiseAndPitch()(tones(6, seconds=0.2))

    assert torch.equal(once(1), once(1))
    assert not torch.equal(once(1), once(2))


@pytest.mark.parametrize("module", [AddWhiteNoise(0.01), ShiftPitch(1.0), NoiseAndPitch(0.01, 1.0, 0.3, 0.2)])
def test_a_checkpoint_can_rebuild_it(module):
    arguments = init_arguments(module)
    assert init_arguments(type(module)(**arguments)) == arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AddWhiteNoise(-1), "augment.level -1"),
        (lambda: AddWhiteNoise(float("nan")), "augment.level nan"),
        (lambda: AddWhiteNoise(float("inf")), "augment.level inf"),
        (lambda: ShiftPitch(30), "augment.semitones 30"),
        (lambda: NoiseAndPitch(noise_probability=1.5), "augment.noise_probability 1.5"),
    ],
)
def test_bounds(make, message):
    with pytest.raises(UsageError, match=message):
        make()
