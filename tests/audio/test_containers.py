"""Files that PyAV reads, and its agreement with libsndfile on those that both read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from musicgen_cls.audio import containers, io
from musicgen_cls.audio.containers import Container, UnknownFormat
from musicgen_cls.audio.io import read, read_pcm, stream, to_pcm
from musicgen_cls.errors import AudioError
from musicgen_cls.synth.render import render

RATE = 44100
SECONDS = 3

LOSSLESS = [
    ("a.alac.m4a", "alac"),
    ("a.tta", "tta"),
    ("a.mka", "flac"),
    ("a.aiff", "pcm_s16be"),
    ("a.mov", "pcm_s16le"),
]
LOSSY = [
    *[("a.m4a", "aac"), ("a.aac", "aac"), ("a.mp4", "aac"), ("a.wma", "wmav2"), ("a.ac3", "ac3"), ("a.mp2", "mp2")],
    *[("a.webm", "libopus"), ("a.mka", "libopus"), ("a.opus", "libopus"), ("a.avi", "libmp3lame"), ("a.wv", "wavpack")],
]
BOTH = [
    *[("wav", None), ("wav", "FLOAT"), ("wav", "PCM_U8"), ("wav", "PCM_24"), ("flac", None), ("ogg", None)],
    *[("mp3", None), ("aiff", None), ("au", None), ("caf", None), ("opus", "OPUS")],
]


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    """Stereo music `[frames, 2]` with one side softer."""
    mono = render("jazz", 0, seconds=SECONDS, sample_rate=RATE)
    return (mono[:, None] * [1.0, 0.5]).astype(np.float32)


def level_db(x: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(x, dtype=np.float64))) + 1e-12))


def rate_of(name: str, codec: str) -> int:
    return 48000 if "opus" in codec else RATE


@pytest.mark.parametrize(("suffix", "subtype"), BOTH)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [SECONDS * RATE, 40001])
def test_both_decoders_agree(tmp_path, song, suffix, subtype, channels, frames):
    path = tmp_path / f"a.{suffix}"
    kind = {"format": "OGG"} if suffix == "opus" else {}
    soundfile.write(path, song[:frames, :channels], rate_of(suffix, suffix), subtype=subtype, **kind)
    with Container(path) as container:
        got = np.concatenate([block.samples for block in container.blocks(1 << 16)])
    want, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert abs(len(got) - len(want)) <= 1
    length = min(len(got), len(want))
    assert level_db(got[:length] - want[:length]) < -80


def test_both_decoders_agree_on_published_mp3s(shared_data):
    for path in sorted(shared_data.glob("mp3/*/*.mp3"))[:3]:
        with Container(path) as container:
            got = np.concatenate([block.samples for block in container.blocks(1 << 18)])
        want, _ = soundfile.read(path, dtype="float32", always_2d=True)
        assert abs(len(got) - len(want)) <= 1
        length = min(len(got), len(want))
        assert level_db(got[:length] - want[:length]) < -80


@pytest.mark.parametrize(("name", "codec"), LOSSLESS)
def test_lossless_formats_keep_every_sample(tmp_path, song, encode, name, codec):
    path = encode(tmp_path / name, song, RATE, codec)
    got = read(path, RATE)
    assert len(got) == len(song)
    np.testing.assert_allclose(got, song.mean(axis=1), atol=2 / 32768)


@pytest.mark.parametrize(("name", "codec"), LOSSY)
def test_lossy_formats_keep_the_signal_and_its_place(tmp_path, song, encode, name, codec):
    rate = rate_of(name, codec)
    path = encode(tmp_path / name, song, rate, codec)
    got, want = read(path, rate), song.mean(axis=1)
    assert abs(len(got) - len(want)) <= 3000  # a frame at each end
    lag = _lag(got, want)
    if name == "a.wma":
        assert lag == -2048  # FFmpeg's decoder drops the first frame
    elif name in ("a.aac", "a.ac3", "a.mp2", "a.avi"):
        assert 0 <= lag <= 2200  # these formats do not store the encoder's delay
    else:
        assert abs(lag) <= 1
    got, want = got[max(lag, 0) :], want[max(-lag, 0) :]
    length = min(len(got), len(want))
    assert np.corrcoef(got[:length], want[:length])[0, 1] > 0.97


def _lag(got: np.ndarray, want: np.ndarray) -> int:
    """The number of samples by which `got` is late."""
    size = 1 << 18
    product = np.fft.irfft(np.fft.rfft(got, size) * np.conj(np.fft.rfft(want, size)))
    at = int(np.argmax(product))
    return at if at < size // 2 else at - size


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov"])
def test_the_audio_of_a_video(tmp_path, song, encode, name):
    path = encode(tmp_path / name, song, RATE, "aac", video=True)
    assert len(read(path, RATE)) == pytest.approx(len(song), abs=2100)


@pytest.mark.parametrize(("layout", "channels"), [("5.1", 6), ("7.1", 8)])
def test_each_channel_has_its_own_samples(tmp_path, encode, layout, channels):
    """PyAV finds planes that are none in a frame of eight or more channels, and reading these ends the process."""
    levels = 0.05 * np.arange(1, channels + 1)
    tone = np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE)[:, None] * levels
    with Container(encode(tmp_path / "a.m4a", tone, RATE, "aac", layout=layout)) as container:
        blocks = list(container.blocks(1 << 20))
    samples = np.concatenate([block.samples for block in blocks])
    assert samples.shape[1] == channels
    assert len(blocks[0].speakers) == channels
    found = np.sqrt(2 * (samples[5000:40000] ** 2).mean(axis=0))
    np.testing.assert_allclose(found, levels, rtol=0.1)


@pytest.mark.parametrize("block", [101, 5000])
def test_blocks_add_up_to_the_whole(tmp_path, monkeypatch, song, encode, block):
    path = encode(tmp_path / "a.m4a", song, RATE, "aac")
    whole = read(path, 22050)
    monkeypatch.setattr(io, "_BLOCK", block)
    blocks = list(stream(path, 22050))
    assert len(blocks) > 10
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)
    assert np.array_equal(read_pcm(path, 22050), to_pcm(np.concatenate(blocks)))


def test_a_long_file_needs_no_more_memory(tmp_path, monkeypatch, encode):
    path = encode(tmp_path / "a.m4a", np.tile(np.sin(np.arange(8000)), 120)[:, None], 8000, "aac")
    monkeypatch.setattr(io, "_BLOCK", 8000)
    tracemalloc.start()
    seconds = sum(map(len, stream(path, 8000))) / 8000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds == pytest.approx(120, abs=0.3)
    assert peak < 120 * 8000  # a quarter of the samples as float32


def test_a_name_that_is_no_address_and_not_utf8(tmp_path, song, encode):
    path = encode(tmp_path / "a.m4a", song, RATE, "aac")
    odd = tmp_path / "http:caf\udce9 %d.m4a"
    path.rename(odd)
    assert len(read(odd, RATE)) == pytest.approx(len(song), abs=2100)


# What is refused


def test_damaged_files(tmp_path, song, encode, caplog):
    path = encode(tmp_path / "a.m4a", song, RATE, "aac")
    data = path.read_bytes()
    for content, reason in (
        (b"", "empty file"),
        (data[: len(data) // 2], r"not audio that can be read \(damaged, cut short, or of another format\)"),
        (b"x" * 1000, "not audio that can be read"),
        (data[:4000] + bytes(len(data) // 2) + data[4000 + len(data) // 2 :], "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(AudioError, match=reason) as caught:
            read(path, RATE)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mka", "flac"), ("a.webm", "libopus"), ("a.tta", "tta"), ("a.wma", "wmav2")]
)
def test_a_file_that_is_shorter_than_its_header_says(tmp_path, song, encode, name, codec):
    path = encode(tmp_path / name, song, rate_of(name, codec), codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"cut short, \d\.\d s of the \d\.\d s in its header|damaged"):
        read(path, RATE)


def test_one_damaged_packet_is_left_out_with_a_warning(tmp_path, monkeypatch, song, encode, caplog):
    path = encode(tmp_path / "a.m4a", song, RATE, "aac")
    data = bytearray(path.read_bytes())
    at = len(data) // 3
    data[at : at + 150] = bytes(range(150))
    path.write_bytes(data)
    assert len(read(path, RATE)) == pytest.approx(len(song), abs=5000)
    assert f"{path}: " in caplog.text
    assert "packets are damaged and are left out" in caplog.text


def test_a_video_without_sound(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        moving = container.add_stream("mpeg4", rate=5, width=32, height=32, pix_fmt="yuv420p")
        container.mux(moving.encode(av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), format="yuv420p")))
        container.mux(moving.encode(None))
    with pytest.raises(AudioError, match=r"a\.mp4: holds only video; name a file with sound"):
        read(path, RATE)


def test_playlists_are_not_followed(tmp_path, song, encode):
    encode(tmp_path / "a.m4a", song, RATE, "aac")
    for name, text in (
        ("list.m4a", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\na.m4a\n#EXT-X-ENDLIST\n"),
        ("list.wma", f"ffconcat version 1.0\nfile '{tmp_path / 'a.m4a'}'\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UnknownFormat, match="not audio that can be read"):
            Container(tmp_path / name)


def test_every_suffix_is_listed_once():
    suffixes = [*io.libsndfile.SUFFIXES, *containers.SUFFIXES]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix == suffix.lower() and Path(f"a{suffix}").suffix == suffix for suffix in suffixes)
