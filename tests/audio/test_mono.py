"""Mixing channels to one."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from musicgen_cls.audio import io
from musicgen_cls.audio.io import read, read_pcm, stream, to_pcm
from musicgen_cls.audio.mono import mix_weights
from musicgen_cls.datamodules.stream import stream_windows
from musicgen_cls.synth.render import render

RATE = 22050
SIX = ("FL", "FR", "FC", "LFE", "BL", "BR")


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def pair(left: np.ndarray, gain: float) -> np.ndarray:
    return np.stack([left, gain * left], axis=1)


def test_weights_of_speakers():
    np.testing.assert_array_equal(mix_weights(2), [0.5, 0.5])
    np.testing.assert_array_equal(mix_weights(2, ("FL", "FR")), [0.5, 0.5])
    np.testing.assert_array_equal(mix_weights(6), np.full(6, np.float32(1 / 6)))
    np.testing.assert_array_equal(mix_weights(3, ("FL", "FR", "NONE")), np.full(3, np.float32(1 / 3)))
    np.testing.assert_array_equal(mix_weights(1, ("LFE",)), [1])
    weights = mix_weights(6, SIX)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights / weights[0], [1, 1, 2**0.5, 0, 0.5**0.5, 0.5**0.5], rtol=1e-6)


def test_a_pair_is_averaged_to_the_bit(tmp_path):
    path, x = tmp_path / "a.wav", np.stack([noise(4096, 1), noise(4096, 2)], axis=1)
    soundfile.write(path, x, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read(path, RATE), (x[:, 0] + x[:, 1]) / 2)


@pytest.mark.parametrize(("name", "codec"), [("a.flac", "flac"), ("a.alac.m4a", "alac"), ("a.wv", "wavpack")])
def test_surround_is_weighted_by_its_speakers(tmp_path, encode, name, codec):
    x = np.stack([noise(4096, seed) for seed in range(6)], axis=1)
    path = encode(tmp_path / name, x, RATE, codec, "5.1")
    np.testing.assert_allclose(read(path, RATE), x @ mix_weights(6, SIX), atol=1e-3)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])  # soundfile's Vorbis has no phases above some frequency
@pytest.mark.parametrize("gain", [-1.0, -0.9])
def test_an_inverted_pair_is_read_from_its_louder_channel(tmp_path, caplog, suffix, gain):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, pair(render("jazz", 0, seconds=2.0, sample_rate=RATE), gain), RATE)
    left = soundfile.read(path, dtype="float32")[0][:, 0]
    got = read(path, RATE)
    assert got.std() == pytest.approx(left.std(), rel=0.01)
    if gain > -1:  # otherwise both are equally loud
        np.testing.assert_allclose(got, left, atol=1e-6)
    assert caplog.text.count(f"{path}: its channels cancel each other in a mix; read from channel ") == 1


def test_an_inverted_pair_in_an_m4a(tmp_path, encode, caplog):
    music = render("jazz", 0, seconds=2.0, sample_rate=RATE)
    path = encode(tmp_path / "a.m4a", pair(music, -1.0), RATE, "aac")
    assert read(path, RATE).std() == pytest.approx(music.std(), rel=0.1)
    assert "its channels cancel each other" in caplog.text


def test_the_decision_is_for_the_whole_file_and_the_same_in_every_reader(tmp_path, monkeypatch):
    """Silence, an inverted second, and then a second in which the channels would not cancel."""
    left = noise(3 * RATE)
    left[:RATE] = 0
    right = np.concatenate([-left[: 2 * RATE], 0.5 * left[2 * RATE :]])
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    for block in (RATE // 5, RATE, 1 << 18):
        monkeypatch.setattr(io, "_BLOCK", block)
        if block == 1 << 18:
            right[:] = -left  # one block would have a part that does not cancel
            soundfile.write(path, np.stack([left, right], axis=1), RATE, subtype="FLOAT")
        np.testing.assert_array_equal(read(path, RATE), left)
        np.testing.assert_array_equal(np.concatenate(list(stream(path, RATE))), left)
        np.testing.assert_array_equal(read_pcm(path, RATE), to_pcm(left))
        windows = [window for _, _, window in stream_windows(path, RATE, RATE)]
        np.testing.assert_array_equal(np.concatenate(windows), left)


@pytest.mark.parametrize("right", [0.0, 0.3, 1.0, -0.5])
def test_other_pairs_are_averaged(tmp_path, caplog, right):
    x = pair(noise(RATE), right)
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read(tmp_path / "a.wav", RATE), x.mean(axis=1, dtype=np.float32))
    assert not caplog.text


def test_many_channels_with_sound_in_one_are_no_cancelled_mix(tmp_path, caplog):
    x = np.zeros((RATE, 16), np.float32)
    x[:, 7] = noise(RATE)
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav", RATE), x.mean(axis=1), atol=1e-7)
    assert not caplog.text
