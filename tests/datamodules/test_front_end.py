"""The front end: its steps, their order, what it learns, and what is random."""

import numpy as np
import pytest
import torch
from torch import nn

from musicgen_cls.audio.io import PCM_SCALE, to_pcm
from musicgen_cls.audio.mel import Standardise
from musicgen_cls.datamodules.front_end import FrontEnd, MelFrontEnd
from musicgen_cls.errors import UsageError
from musicgen_cls.synth.render import render

RATE = 22050


@pytest.fixture(scope="module")
def windows() -> torch.Tensor:
    """Windows of 1 s, int16: music, loud and quiet, `[8, 22050]`."""
    tracks = [render(genre, 0, seconds=1) for genre in ("blues", "classical", "jazz", "metal")]
    return torch.from_numpy(to_pcm(np.stack(tracks + [0.01 * track for track in tracks])))


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def test_steps_in_order_and_random_ones_in_training_only():
    standardise = Standardise(1)
    standardise.mean += 100
    front_end = FrontEnd(lambda x: x + 1, lambda x: x**2, standardise, augment=Times(3), mask=Times(10))
    item = torch.full((1, 1, 1), 2.0)
    assert front_end.train()(item).item() == 10 * ((3 * (2 + 1)) ** 2 - 100)
    assert front_end.eval()(item).item() == (2 + 1) ** 2 - 100
    assert front_end.train().measure(item).item() == (2 + 1) ** 2


def test_steps_that_are_not_given_change_nothing():
    items = torch.arange(6).reshape(1, 6)
    assert torch.equal(FrontEnd().train()(items), items)
    assert not FrontEnd().learns


def test_training_windows_are_fitted_as_they_are():
    """Not augmented and not masked, also in training mode."""
    front_end = FrontEnd(None, None, Standardise(2, min_std=0.0), augment=Times(7), mask=Times(7)).train()
    front_end.fit(torch.tensor([[[1.0, 3.0], [0.0, 4.0]]]))
    assert front_end.learns
    assert front_end.standardise.mean.flatten().tolist() == [2, 2]
    np.testing.assert_allclose(front_end.standardise.std.flatten(), [2**0.5, 8**0.5])
    assert front_end.level_offset(torch.tensor([[[5.0, 5.0], [5.0, 5.0]]])) == 3


def test_a_copy_without_random_steps():
    front_end = FrontEnd(standardise=Standardise(1), augment=Times(3), mask=Times(10)).train()
    fixed = front_end.fixed()
    assert not fixed.training
    assert fixed.train()(torch.ones(1, 1, 1)).item() == 1
    assert front_end(torch.ones(1, 1, 1)).item() == 30
    front_end.standardise.mean += 1
    assert fixed.standardise.mean.item() == 0


def test_a_mask_of_negative_size():
    from torchaudio.transforms import TimeMasking

    with pytest.raises(UsageError, match=r"--data\.mask\.mask_param -1"):
        FrontEnd(mask=TimeMasking(-1))


# Mel spectrograms


def test_fit_standardises_what_it_was_fitted_on():
    front_end = MelFrontEnd(RATE, 512, 256, 64)
    levels = 10 ** torch.linspace(-2, 0, 100)[:, None]  # 40 dB of difference, over more than one chunk of 64
    noise = levels * torch.randn(100, 8000, generator=torch.Generator().manual_seed(0))
    items = (0.1 * noise * PCM_SCALE).round().clamp(-PCM_SCALE, PCM_SCALE - 1).short()
    front_end.eval().fit(items)
    x = front_end(items)
    np.testing.assert_allclose(x.mean(dim=(0, 2)), 0.0, atol=1e-3)
    np.testing.assert_allclose(x.std(dim=(0, 2)), 1.0, atol=1e-3)
    torch.testing.assert_close(front_end.to_db(x), front_end.measure(items), atol=1e-3, rtol=0)


def test_a_band_that_hardly_changes_is_not_amplified():
    front_end = MelFrontEnd(RATE, 512, 256, 64)
    front_end.fit(torch.zeros(4, 8000))
    assert (front_end.standardise.std == 1).all()
    assert front_end(torch.zeros(1, 8000)).abs().max() < 1e-3


def test_what_was_fitted_is_in_the_state(windows):
    fitted, fresh = MelFrontEnd(RATE, 512, 256, 64), MelFrontEnd(RATE, 512, 256, 64)
    fitted.fit(windows)
    assert not torch.equal(fitted(windows), fresh(windows))
    assert set(fitted.standardise.state_dict()) == {"mean", "std"}
    fresh.standardise.load_state_dict(fitted.standardise.state_dict())
    assert torch.equal(fitted(windows), fresh(windows))


def test_natural_logarithms_equal_librosas(librosa, windows):
    front_end = MelFrontEnd(RATE, 2048, 1024, 128, "natural")
    power = librosa.feature.melspectrogram(
        y=windows[0].numpy() / PCM_SCALE, sr=RATE, n_fft=2048, hop_length=1024, n_mels=128, pad_mode="constant"
    )
    front_end.fit(windows)  # not standardised, whatever it was fitted on
    x = front_end(windows)
    np.testing.assert_allclose(x[0], np.log(power), atol=5e-3)
    np.testing.assert_allclose(front_end.to_db(x)[0], 10 * np.log10(power), atol=0.02)
    assert (front_end(torch.zeros(1, RATE)) == np.log(np.float32(1e-6))).all()
