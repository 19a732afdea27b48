import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.audio import io
from musicgen_cls.audio.io import PCM_SCALE, check_sound, from_array, from_pcm, read, read_pcm, stream, to_pcm
from musicgen_cls.errors import AudioError
from musicgen_cls.synth.render import render

RATE = 22050


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def sine(hz: float, rate: int, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def middle(waveform: np.ndarray) -> np.ndarray:
    """A waveform without the tenth at each end, where resampling filters ring."""
    return waveform[len(waveform) // 10 : -len(waveform) // 10]


def level_db(waveform: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))) + 1e-12))


# What comes out


@pytest.mark.parametrize("suffix", ["wav", "flac", "au"])
def test_16_bit_files_survive_bit_for_bit(tmp_path, suffix):
    edges = [-32768, -32767, -1, 0, 1, 32766, 32767]
    pcm = np.concatenate([np.random.default_rng(0).integers(-32768, 32768, 5000), edges]).astype(np.int16)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, pcm, RATE, subtype="PCM_16")
    waveform = read(path, RATE)
    assert waveform.dtype == np.float32
    assert np.array_equal(to_pcm(waveform), pcm)


def test_every_int16_survives_float():
    pcm = np.arange(-32768, 32768).astype(np.int16)
    assert from_pcm(pcm).dtype == np.float32
    assert from_pcm(pcm).min() == -1
    np.testing.assert_array_equal(to_pcm(from_pcm(pcm)), pcm)
    assert np.array_equal(to_pcm(pcm.astype(np.float32) / np.float32(PCM_SCALE)), pcm)


def test_to_pcm_rounds_and_clips():
    assert to_pcm(np.array([1.5, 1.0, -1.0, -7.0, 0.6 / PCM_SCALE, -0.6 / PCM_SCALE], np.float32)).tolist() == [
        32767,
        32767,
        -32768,
        -32768,
        1,
        -1,
    ]


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_averaged(tmp_path, channels):
    x = np.stack([noise(3000, seed) for seed in range(channels)], axis=1)
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav", RATE), x.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_other_widths(tmp_path, subtype):
    x = noise(3000)
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype=subtype)
    np.testing.assert_allclose(read(tmp_path / "a.wav", RATE), x, atol=0.01 if subtype == "PCM_U8" else 1e-6)


def test_suffix_does_not_decide_the_format(tmp_path):
    soundfile.write(tmp_path / "a.flac", noise(3000), RATE, format="WAV", subtype="PCM_16")
    assert len(read(tmp_path / "a.flac", RATE)) == 3000


# Resampling


@pytest.mark.parametrize("old", [8000, 11025, 16000, 24000, 44100, 48000, 96000])
@pytest.mark.parametrize("new", [16000, 22050, 44100])
def test_resampled_length(tmp_path, old, new):
    for samples in (10, 999, 12345, 2 * old + 7):
        soundfile.write(tmp_path / "a.wav", noise(samples), old)
        got = len(read(tmp_path / "a.wav", new))
        assert abs(got - samples * new / old) <= 0.5, (samples, got)  # the nearest whole number, either at a tie


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_sine_below_both_nyquists_keeps_its_level(tmp_path, rate, share):
    hz = share * min(rate, RATE) / 2
    soundfile.write(tmp_path / "a.wav", sine(hz, rate), rate, subtype="FLOAT")
    got = middle(read(tmp_path / "a.wav", RATE))
    assert level_db(got) == pytest.approx(level_db(sine(hz, RATE)), abs=0.1)
    np.testing.assert_allclose(got, middle(sine(hz, RATE))[: len(got)], atol=2e-3)  # and its phase: no delay


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("factor", [1.01, 1.05, 1.3])
def test_a_sine_above_the_new_nyquist_is_suppressed(tmp_path, rate, factor):
    tone = sine(factor * RATE / 2, rate)
    soundfile.write(tmp_path / "a.wav", tone, rate, subtype="FLOAT")
    got = middle(np.concatenate(list(stream(tmp_path / "a.wav", RATE))))
    assert level_db(got) < level_db(tone) - 60


# Streaming


@pytest.mark.parametrize("suffix", ["wav", "ogg", "mp3", "flac"])
@pytest.mark.parametrize("rate", [22050, 44100, 16000])
@pytest.mark.parametrize("block", [101, 4096])
def test_blocks_add_up_to_the_whole(tmp_path, monkeypatch, suffix, rate, block):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([noise(9000, 1), noise(9000, 2)], axis=1), rate)
    whole = read(path, RATE)
    monkeypatch.setattr(io, "_BLOCK", block)
    blocks = list(stream(path, RATE))
    assert len(blocks) >= 9000 // block
    assert max(map(len, blocks)) < 9000
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


@pytest.mark.parametrize(("suffix", "least"), [("mp3", 0.98), ("ogg", 0.98)])
def test_lossy_formats_keep_the_signal(tmp_path, suffix, least):
    x = render("jazz", 0, seconds=4, sample_rate=44100)
    soundfile.write(tmp_path / f"a.{suffix}", x, 44100)
    soundfile.write(tmp_path / "a.wav", x, 44100, subtype="FLOAT")
    got, want = read(tmp_path / f"a.{suffix}", RATE), read(tmp_path / "a.wav", RATE)
    assert abs(len(got) - len(want)) <= 2 * 1152  # an MP3 frame at each end at most
    length = min(len(got), len(want))
    assert np.corrcoef(got[:length], want[:length])[0, 1] > least


# What is refused


def write_silent(path: Path) -> None:
    soundfile.write(path, np.zeros(RATE), RATE)


def write_dither(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(0).integers(-2, 3, RATE).astype(np.int16), RATE)


def write_constant(path: Path) -> None:
    soundfile.write(path, np.full(RATE, 0.25), RATE)


def write_nan(path: Path) -> None:
    x = noise(RATE)
    x[-1] = np.nan
    soundfile.write(path, x, RATE, subtype="FLOAT")


def write_infinite(path: Path) -> None:
    x = noise(RATE)
    x[100] = -np.inf
    soundfile.write(path, x, RATE, subtype="FLOAT")


def write_no_frames(path: Path) -> None:
    soundfile.write(path, np.zeros(0), RATE)


def write_no_frames_at_another_rate(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 44100)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: None, "no such file"),
        (Path.mkdir, "no such file"),
        (Path.touch, "empty file"),
        (lambda path: path.write_text("la la la\n" * 100), "not audio that can be read"),
        (lambda path: path.write_bytes(b"RIFF"), "not audio that can be read"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "not audio that can be read"),
        (write_no_frames, "holds no audio"),
        (write_no_frames_at_another_rate, "holds no audio"),
        (write_nan, "not finite"),
        (write_infinite, "not finite"),
        (write_silent, "silent throughout, 22050 samples"),
        (write_dither, "silent throughout"),
        (write_constant, r"constant \(every sample is about 0.250\)"),
    ],
)
def test_unusable_files(tmp_path, write, reason):
    path = tmp_path / "bad.wav"
    write(path)
    with pytest.raises(AudioError, match=reason) as caught:
        read(path, RATE)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_an_mp3_that_is_shorter_than_its_header_says(tmp_path, share):
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(10 * RATE), RATE)
    cut(path, share)
    with pytest.raises(AudioError, match=r"cut short, \d.\d s of the 10.\d s in its header"):
        read(path, RATE)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_flac_cut_short(tmp_path, share):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(10 * RATE), RATE)
    cut(path, share)
    with pytest.raises(AudioError, match=r"a\.flac: "):
        read(path, RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "au"])
def test_damaged_headers_raise_nothing_but_audio_errors(tmp_path, suffix):
    rng = np.random.default_rng(1)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(4000), RATE, subtype="PCM_16" if suffix == "au" else None)
    sound = path.read_bytes()
    refused = 0
    for _ in range(40):
        damaged = bytearray(sound)
        damaged[rng.integers(0, 24)] ^= int(rng.integers(1, 256))  # type: ignore[call-overload]
        path.write_bytes(damaged)
        try:
            assert np.isfinite(read(path, RATE)).all()
        except AudioError:
            refused += 1
    assert refused > 0 or suffix == "mp3"  # an MP3 decoder looks for the next frame that is whole


def test_check_sound():
    check_sound("a", noise(100))
    check_sound("a", np.array([0, 5 / PCM_SCALE], np.float32))
    for waveform, reason in (
        (np.zeros(0, np.float32), "holds no audio"),
        (np.array([0.1, np.nan], np.float32), "not finite"),
        (np.array([0, 4 / PCM_SCALE], np.float32), "silent"),
        (np.array([0.5, 0.5], np.float32), "constant"),
    ):
        with pytest.raises(AudioError, match=reason):
            check_sound("a", waveform)


# Real music


def test_published_mp3s(shared_data):
    files = sorted(shared_data.glob("mp3/*/*.mp3"))[:2]
    assert files
    for file in files:
        assert len(read(file, RATE)) / RATE == pytest.approx(60, abs=1.5)


# Range


@pytest.mark.parametrize(
    ("dtype", "scale", "middle_value"),
    [("int16", 32768, 0), ("int32", 2**31, 0), ("int8", 128, 0), ("uint8", 128, 128), ("uint16", 32768, 32768)],
)
def test_integers_are_scaled_by_their_type(dtype, scale, middle_value):
    x = noise(1000)
    given = np.rint(x.astype(np.float64) * scale + middle_value).astype(dtype)
    np.testing.assert_allclose(from_array(given), x, atol=1 / scale + 1e-7)


def test_floats_are_unchanged_and_refused_far_beyond_full_scale():
    assert np.array_equal(from_array(2 * noise(100)), 2 * noise(100))
    with pytest.raises(AudioError, match=r"waveform: samples up to .*, but full scale is 1"):
        from_array(noise(100) * 32768)
    for odd in (np.array(["a"]), np.array([True]), np.array([1j])):
        with pytest.raises(AudioError, match="an array of"):
            from_array(odd)


def test_a_float_file_of_integers_is_scaled_and_named(tmp_path, caplog):
    soundfile.write(tmp_path / "a.wav", noise(5000) * 32768, RATE, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav", RATE), noise(5000), atol=1e-6)
    assert "read as 16-bit integers" in caplog.text
    assert np.array_equal(read_pcm(tmp_path / "a.wav", RATE), to_pcm(noise(5000)))
    soundfile.write(tmp_path / "b.wav", noise(5000) * 100, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"b\.wav: samples up to .*scale them"):
        read(tmp_path / "b.wav", RATE)


# Names


@pytest.mark.skipif(os.name != "posix", reason="file names are text on Windows")
@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_names_that_are_not_utf8(tmp_path, suffix):
    soundfile.write(tmp_path / f"a.{suffix}", noise(5000), RATE)
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + f"/caf\xe9.{suffix}".encode("latin-1")))
    (tmp_path / f"a.{suffix}").rename(odd)
    assert len(read(odd, RATE)) == pytest.approx(5000, abs=2000)
    odd.write_bytes(b"no")
    with pytest.raises(AudioError, match="not audio"):
        read(odd, RATE)
