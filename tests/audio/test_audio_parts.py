"""Files with several recordings, and files with a wrong length in the header. Durations are those of the input."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.audio.io import read, read_pcm
from musicgen_cls.audio.parts import parts
from musicgen_cls.errors import AudioError

RATE = 22050


def noise(seconds: float, level: float = 0.2, rate: int = RATE) -> np.ndarray:
    return level * np.random.default_rng(0).normal(size=round(seconds * rate))


def encoded(folder: Path, suffix: str, sound: np.ndarray, rate: int = RATE) -> bytes:
    path = folder / f"encoded.{suffix}"
    options = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
    soundfile.write(path, sound, rate, **options)
    return path.read_bytes()


def seconds_of(path: Path) -> float:
    """By both ways of reading, which agree."""
    found = [len(how(path, RATE)) / RATE for how in (read, read_pcm)]
    assert found[0] == pytest.approx(found[1])
    return found[0]


def without_xing(mp3: bytes) -> bytes:
    """An mp3 less its first frame, which has only the length; radio stations and old encoders write such files."""
    at = next(i for i in range(len(mp3)) if mp3[i] == 0xFF and mp3[i + 1] & 0xE6 == 0xE2)
    assert b"Xing" in mp3[at : at + 60] or b"Info" in mp3[at : at + 60]
    rates, bitrates = (22050, 24000, 16000), (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    length = 72 * bitrates[mp3[at + 2] >> 4] * 1000 // rates[mp3[at + 2] >> 2 & 3] + (mp3[at + 2] >> 1 & 1)
    return mp3[at + length :]


@pytest.mark.parametrize("suffix", ["ogg", "opus", "mp3"])
@pytest.mark.parametrize("copies", [2, 3])
def test_every_part_of_a_joined_file_is_read(tmp_path, suffix, copies):
    one = encoded(tmp_path, suffix, noise(2.0, rate=24000), 24000)
    (tmp_path / "all").write_bytes(one * copies)
    assert len(parts(tmp_path / "all")) == copies
    assert seconds_of(tmp_path / "all") == pytest.approx(2.0 * copies, abs=0.06 * copies)


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_parts_of_several_rates(tmp_path, suffix):
    first = encoded(tmp_path, suffix, noise(2.0))
    second = encoded(tmp_path, suffix, noise(3.0, rate=44100), 44100)
    (tmp_path / "both").write_bytes(first + second)
    assert seconds_of(tmp_path / "both") == pytest.approx(5.0, abs=0.15)


def test_an_mp3_of_variable_bit_rate_without_its_length(tmp_path):
    """libsndfile guesses from the first frames, and reads no further than its guess."""
    sound = np.concatenate([noise(3.0, 1e-4), noise(3.0)])
    (tmp_path / "a.mp3").write_bytes(without_xing(encoded(tmp_path, "mp3", sound)))
    assert seconds_of(tmp_path / "a.mp3") == pytest.approx(6.0, abs=0.1)
    waveform = read(tmp_path / "a.mp3", RATE)
    assert np.std(waveform[-RATE:]) > 0.1
    assert np.std(waveform[:RATE]) < 0.01


@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), b"APETAGEX" + bytes(200), b"\0" * 500])
def test_tags_after_an_mp3_are_not_a_part(tmp_path, tag):
    (tmp_path / "a.mp3").write_bytes(encoded(tmp_path, "mp3", noise(2.0)) + tag)
    assert parts(tmp_path / "a.mp3") == []
    assert seconds_of(tmp_path / "a.mp3") == pytest.approx(2.0, abs=0.1)


def test_an_id3_tag_before_each_part(tmp_path):
    tag = b"ID3\x03\0\0\0\0\x01\x00" + bytes(128)
    one = encoded(tmp_path, "mp3", noise(2.0))
    (tmp_path / "a.mp3").write_bytes((tag + one) * 2)
    assert seconds_of(tmp_path / "a.mp3") == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "opus", "au", "aiff"])
def test_plain_files_have_no_parts(tmp_path, suffix):
    (tmp_path / "a").write_bytes(encoded(tmp_path, suffix, noise(2.0, rate=24000), 24000))
    assert parts(tmp_path / "a") == []
    assert seconds_of(tmp_path / "a") == pytest.approx(2.0, abs=0.1)


def unknown_length_flac(data: bytearray) -> None:
    data[21] &= 0xF0  # 36 bits of STREAMINFO, 13 bytes and 4 bits into it (RFC 9639, 8.2)
    data[22:26] = bytes(4)


def unknown_length_wav(data: bytearray) -> None:
    data[4:8] = data[40:44] = b"\xff" * 4


def unknown_length_au(data: bytearray) -> None:
    data[8:12] = b"\xff" * 4


@pytest.mark.parametrize(
    ("suffix", "change"),
    [("flac", unknown_length_flac), ("wav", unknown_length_wav), ("au", unknown_length_au)],
    ids=["flac", "wav", "au"],
)
def test_an_unknown_length_in_the_header(tmp_path: Path, suffix: str, change: Callable[[bytearray], None]) -> None:
    data = bytearray(encoded(tmp_path, suffix, noise(2.0)))
    change(data)
    (tmp_path / "a").write_bytes(data)
    assert seconds_of(tmp_path / "a") == pytest.approx(2.0)


@pytest.mark.parametrize("suffix", ["wav", "au", "aiff", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_half_a_file_is_never_read_as_a_whole_file(tmp_path, suffix, share):
    data = encoded(tmp_path, suffix, noise(4.0))
    (tmp_path / "cut").write_bytes(data[: int(share * len(data))])
    for how in (read, read_pcm):
        with pytest.raises(AudioError, match=r"cut short|lost sync|damaged"):
            how(tmp_path / "cut", RATE)


@pytest.mark.parametrize("frames", [2**31, 2**36 - 1])
def test_a_flac_with_an_impossible_length_in_its_header(tmp_path, frames):
    data = bytearray(encoded(tmp_path, "flac", noise(1.0)))
    data[21] = data[21] & 0xF0 | frames >> 32
    data[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    (tmp_path / "a.flac").write_bytes(data)
    for how in (read, read_pcm):
        with pytest.raises(AudioError, match=r"cut short, 1\.0 s of the"):
            how(tmp_path / "a.flac", RATE)


@pytest.mark.parametrize("rate", [1, 50, 999, 800_000, 2**31 - 1])
def test_impossible_sample_rates(tmp_path, rate):
    """One of 1 Hz would be resampled to two gigabytes."""
    data = bytearray(encoded(tmp_path, "wav", noise(1.0)))
    data[24:28] = struct.pack("<I", rate)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(AudioError, match=f"a sample rate of {rate} Hz|not audio"):
        read(tmp_path / "a.wav", RATE)


def test_mutated_files_end_in_one_line(tmp_path):
    """No header, however damaged, ends in another error or in gigabytes."""
    rng = np.random.default_rng(0)
    for suffix in ("wav", "au", "aiff", "flac", "mp3", "ogg", "opus"):
        whole = encoded(tmp_path, suffix, noise(1.0, rate=24000), 24000)
        for _ in range(40):
            data = bytearray(whole)
            for place in rng.integers(min(len(data), 400), size=rng.integers(1, 4)):
                data[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))
            (tmp_path / "a").write_bytes(data)
            try:
                waveform = read(tmp_path / "a", RATE)
            except AudioError as error:
                assert "\n" not in str(error)  # noqa: PT017  it may be read as well
            else:
                assert len(waveform) < 60 * RATE
