import pytest
import torch

from musicgen_cls.audio.io import PCM_SCALE
from musicgen_cls.audio.mel import LogMel
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.sources.folder import Folder
from musicgen_cls.specs import arguments_of


@pytest.mark.parametrize(
    ("seconds", "n_fft", "hop_length", "n_mels", "shape"),
    [(2.0, 512, 256, 64, (64, 173)), (2.0, 2048, 512, 128, (128, 87)), (3.0, 2048, 1024, 128, (128, 65))],
)
def test_spectrograms(music, seconds, n_fft, hop_length, n_mels, shape):
    data = MelSlices(Folder(str(music)), seconds, 2, None, n_fft, hop_length, n_mels, batch_size=4)
    data.prepare_data()
    data.setup("fit")
    raw = next(iter(data.val_dataloader()))
    waveform = raw["x"] / PCM_SCALE
    x = data.on_after_batch_transfer(raw, 0)["x"]
    assert x.shape == (len(waveform), *shape)
    want = LogMel(22050, n_fft, hop_length, n_mels)(waveform)
    torch.testing.assert_close(data.front_end.to_db(x), want, atol=1e-3, rtol=0)


def test_defaults_are_two_seconds_in_64_bands(music):
    data = MelSlices(Folder(str(music)))
    assert data.window_samples == 44100
    assert data.front_end(torch.zeros(1, data.window_samples)).shape == (1, 64, 173)


def test_the_input_is_described_by_arguments_it_has(music):
    names = arguments_of(MelSlices)
    assert set(MelSlices.INPUT_ARGUMENTS) == {"sample_rate", "seconds", "n_fft", "hop_length", "n_mels", "logarithm"}
    assert set(MelSlices.INPUT_ARGUMENTS) <= set(names)
    assert set(names) <= set(MelSlices(Folder(str(music))).hparams)


def test_level_offset_is_that_of_the_test_windows(music):
    data = MelSlices(Folder(str(music)), fractions=(0.5, 0.25, 0.25))
    data.setup("fit")
    data.front_end.fit(data.sample_windows(data.windows["test"], limit=64))
    assert data.level_offset() == pytest.approx(0, abs=1e-3)
    data.front_end.standardise.mean -= 10
    assert data.level_offset() == pytest.approx(10, abs=1e-3)
