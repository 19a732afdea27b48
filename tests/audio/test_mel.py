import numpy as np
import pytest
import torch

from musicgen_cls.audio.mel import LogMel
from musicgen_cls.synth.render import render

RATE = 22050
SETTINGS = [(512, 256, 64), (2048, 512, 128), (2048, 1024, 128)]


@pytest.fixture(scope="module")
def waveforms() -> torch.Tensor:
    """Windows of 1 s: music, loud and quiet, `[8, 22050]`."""
    tracks = [render(genre, 0, seconds=1) for genre in ("blues", "classical", "jazz", "metal")]
    return torch.from_numpy(np.stack(tracks + [0.01 * track for track in tracks]))


@pytest.mark.parametrize(("n_fft", "hop", "n_mels"), SETTINGS)
def test_equals_librosa(librosa, waveforms, n_fft, hop, n_mels):
    ours = LogMel(RATE, n_fft, hop, n_mels)
    got_power, got = ours.power(waveforms).numpy(), ours(waveforms).numpy()
    assert got.dtype == np.float32
    for waveform, power, db in zip(waveforms.numpy(), got_power, got, strict=True):
        want = librosa.feature.melspectrogram(
            y=waveform, sr=RATE, n_fft=n_fft, hop_length=hop, n_mels=n_mels, pad_mode="constant", center=True, power=2.0
        )
        np.testing.assert_allclose(power, want, rtol=2e-4, atol=1e-7 * want.max())
        np.testing.assert_allclose(db, librosa.power_to_db(want, top_db=80.0), atol=1e-2)


def test_two_seconds_are_64_by_173():
    assert LogMel(RATE, 512, 256, 64)(torch.randn(3, 2 * RATE)).shape == (3, 64, 173)


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 5000])
def test_frames(samples):
    assert LogMel(RATE, 512, 256, 64)(torch.randn(1, samples)).shape == (1, 64, 1 + samples // 256)


@pytest.mark.parametrize(("n_fft", "hop", "n_mels"), SETTINGS)
@pytest.mark.parametrize("hz", [440.0, 1000.0, 3000.0, 9000.0])
def test_a_tone_lands_in_its_band(n_fft, hop, n_mels, hz):
    ours = LogMel(RATE, n_fft, hop, n_mels)
    assert ours.centres_hz.shape == (n_mels,)
    assert (np.diff(ours.centres_hz) > 0).all()
    band = int(np.abs(ours.centres_hz - hz).argmin())
    tone = torch.sin(2 * torch.pi * ours.centres_hz[band] * torch.arange(RATE) / RATE).float()
    # area normalisation and bins wider than bands move the peak by a band at low frequencies
    reach = 1 if n_fft / RATE * np.diff(ours.centres_hz)[band - 1] < 2 else 0
    assert abs(int(ours(tone[None])[0].mean(dim=1).argmax()) - band) <= reach


def test_ten_times_louder_is_20_db_more(waveforms):
    ours = LogMel(RATE, 512, 256, 64)
    quiet = 0.1 * waveforms[:4]
    np.testing.assert_allclose(ours(10 * quiet) - ours(quiet), 20.0, atol=1e-3)


def test_floor_is_80_db_below_each_pictures_own_maximum():
    loud = torch.zeros(2, RATE)
    loud[0, :5000] = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    loud[1, :5000] = 0.1 * loud[0, :5000]
    db = LogMel(RATE, 512, 256, 64)(loud)
    spread = db.amax(dim=(1, 2)) - db.amin(dim=(1, 2))
    np.testing.assert_allclose(spread, 80.0, atol=1e-3)
    assert float(db[0].max() - db[1].max()) == pytest.approx(20.0, abs=1e-3)


def test_a_picture_does_not_depend_on_its_batch(waveforms):
    ours = LogMel(RATE, 512, 256, 64)
    torch.testing.assert_close(ours(waveforms)[3:4], ours(waveforms[3:4]))


def test_silence_is_finite():
    assert torch.isfinite(LogMel(RATE, 512, 256, 64)(torch.zeros(1, RATE))).all()


def test_half_precision_input(waveforms):
    ours = LogMel(RATE, 512, 256, 64)
    got = ours(waveforms.bfloat16())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, ours(waveforms.bfloat16().float()))
