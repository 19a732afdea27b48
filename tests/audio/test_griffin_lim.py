import numpy as np
import pytest
import torch

from musicgen_cls.audio.griffin_lim import GriffinLim
from musicgen_cls.audio.mel import LogMel
from musicgen_cls.synth.render import render

RATE = 8000


@pytest.fixture(scope="module")
def vocoder() -> GriffinLim:
    return GriffinLim(LogMel(RATE, 1024, 256, 96))


def back(vocoder: GriffinLim, waveform: torch.Tensor, known: int = 0) -> torch.Tensor:
    waveform = waveform[:, : waveform.shape[1] // 256 * 256]
    return vocoder(vocoder.log_mel.power(waveform), waveform[:, :known])


@pytest.mark.parametrize("hz", [200.0, 440.0, 1500.0])
def test_a_tone_keeps_its_pitch(vocoder, hz):
    tone = 0.2 * torch.sin(2 * torch.pi * hz * torch.arange(2 * RATE) / RATE)[None]
    out = back(vocoder, tone)[0].numpy()
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    assert abs(spectrum.argmax() * RATE / len(out) - hz) < 25


@pytest.mark.parametrize("genre", ["classical", "metal"])
def test_music_keeps_its_loudness_and_its_spectrogram(vocoder, genre):
    music = torch.from_numpy(render(genre, 0, seconds=4.0, sample_rate=RATE))[None]
    out = back(vocoder, music)
    level = 10 * torch.log10(out.square().mean() / music.square().mean())
    assert level.abs() < 1
    decibels = [vocoder.log_mel(x[:, : out.shape[1]]) for x in (music, out)]
    loud = decibels[0] > decibels[0].amax() - 40
    assert (decibels[0] - decibels[1])[loud].abs().median() < 1.5


def test_known_samples_are_kept_and_continued(vocoder):
    tone = 0.2 * torch.sin(2 * torch.pi * 440 * torch.arange(2 * RATE) / RATE)[None]
    out = back(vocoder, tone, known=RATE)
    assert torch.equal(out[:, :RATE], tone[:, :RATE])
    assert out.diff().abs()[0, RATE - 5 : RATE + 5].max() < 2 * tone.diff().abs().max()
    assert (out[0, RATE : RATE + 200] - tone[0, RATE : RATE + 200]).abs().mean() < 0.1


def test_the_spectrum_has_the_given_mel_power(vocoder):
    music = torch.from_numpy(render("jazz", 1, seconds=2.0, sample_rate=RATE))[None]
    power = vocoder.log_mel.power(music)
    again = vocoder.log_mel.bands @ vocoder.magnitude(power).square()
    error = 10 * torch.log10((again + 1e-6) / (power + 1e-6))
    assert error.abs().median() < 0.5
