from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from musicgen_cls.audio import io
from musicgen_cls.audio.io import read, to_pcm
from musicgen_cls.audio.windows import sliding_starts
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.stream import FileWindows, batches, stream_windows, version_of
from musicgen_cls.errors import AudioError

RATE = 8000


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9000, 9000, samples).astype(np.int16)


def write(path: Path, samples: int, seed: int = 0, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(samples, seed), rate)
    return path


@pytest.mark.parametrize("block", [50, 1000, 1 << 18])
def test_windows_cover_a_file_exactly(tmp_path, monkeypatch, block):
    monkeypatch.setattr(io, "_BLOCK", block)
    rng = np.random.default_rng(block)
    for _ in range(30):
        window = int(rng.integers(10, 900))
        samples = int(rng.choice([window, 2 * window, 5 * window, 5 * window + 1, 6 * window - 1, rng.integers(5000)]))
        samples = max(samples, window)
        path = write(tmp_path / "a.wav", samples, seed=samples)
        found = list(stream_windows(path, RATE, window))
        case = (samples, window)
        assert [start for start, _, _ in found] == sliding_starts(samples, window, window).tolist(), case
        assert found[-1][1] == samples, case
        pcm = noise(samples, samples)
        for start, end, waveform in found:
            assert end - start == len(waveform) == window, case
            assert np.array_equal(to_pcm(waveform), pcm[start:end]), case


@pytest.mark.parametrize("block", [50, 1 << 18])
@pytest.mark.parametrize("samples", [2, 333, 999])
def test_a_short_file_is_repeated(tmp_path, monkeypatch, samples, block):
    monkeypatch.setattr(io, "_BLOCK", block)
    x = np.resize(np.array([9000, -9000], np.int16), samples) + noise(samples) // 10
    soundfile.write(tmp_path / "a.wav", x.astype(np.int16), RATE)
    ((start, end, waveform),) = stream_windows(tmp_path / "a.wav", RATE, 1000)
    assert (start, end) == (0, samples)
    assert np.array_equal(to_pcm(waveform), np.resize(x.astype(np.int16), 1000))


def test_other_rates(tmp_path):
    path = write(tmp_path / "a.wav", 50_000, rate=44100)
    whole = read(path, RATE)
    found = list(stream_windows(path, RATE, 4000))
    assert found[-1][1] == len(whole)
    for start, end, waveform in found:
        np.testing.assert_allclose(waveform, whole[start:end], atol=1e-6)


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "_BLOCK", 1000)
    path = write(tmp_path / "a.wav", 100_000)
    held = [waveform.base.size for _, _, waveform in stream_windows(path, RATE, 700)]
    assert len(held) == 143
    assert max(held) <= 1000 + 2 * 700


def test_windows_come_while_the_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "_BLOCK", 1000)
    path = write(tmp_path / "a.flac", 100_000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])  # the damage is met long after the first window
    windows = stream_windows(path, RATE, 700)
    assert next(windows)[0] == 0
    with pytest.raises(AudioError):
        list(windows)


def test_silence_is_reported_with_the_length_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "_BLOCK", 1000)
    soundfile.write(tmp_path / "a.wav", np.zeros(20_000), RATE)
    with pytest.raises(AudioError, match="silent throughout, 20000 samples"):
        list(stream_windows(tmp_path / "a.wav", RATE, 700))


def test_silence_in_part_of_a_file_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "_BLOCK", 1000)
    soundfile.write(tmp_path / "a.wav", np.append(np.zeros(20_000, np.int16), noise(100)), RATE)
    assert len(list(stream_windows(tmp_path / "a.wav", RATE, 700))) == 29


# Batches


def test_batches(tmp_path):
    path = write(tmp_path / "a.wav", 4750)
    found = list(batches(path, RATE, 1000, 2))
    assert [len(batch["x"]) for batch in found] == [2, 2, 1]
    assert [batch["last"] for batch in found] == [False, False, True]
    assert ["seconds" in batch for batch in found] == [False, False, True]
    assert found[-1]["seconds"] == 4750 / RATE
    assert {batch["file"] for batch in found} == {str(path)}
    x, start_s = (torch.cat([batch[name] for batch in found]) for name in ("x", "start_s"))
    assert x.dtype == torch.int16
    np.testing.assert_allclose(start_s, np.array([0, 1000, 2000, 3000, 3750]) / RATE)
    pcm = noise(4750)
    assert all(np.array_equal(row, pcm[at : at + 1000]) for row, at in zip(x, (0, 1000, 2000, 3000, 3750), strict=True))


def test_a_short_file_tells_its_own_length(tmp_path):
    (batch,) = batches(write(tmp_path / "a.wav", 300), RATE, 1000, 2)
    assert batch["x"].shape == (1, 1000)
    assert batch["seconds"] == 300 / RATE


@pytest.mark.parametrize("content", [b"", b"no audio"])
def test_a_bad_file_gives_one_batch_with_the_reason(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    (batch,) = batches(path, RATE, 1000, 2)
    assert batch.keys() == {"file", "error", "last"}
    assert batch["error"].startswith(f"{path}: ")
    assert batch["last"]


def test_a_file_that_ends_badly_ends_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "_BLOCK", 1000)
    path = write(tmp_path / "a.flac", 100_000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found = list(batches(path, RATE, 1000, 4))
    assert [batch["last"] for batch in found] == [False] * (len(found) - 1) + [True]
    assert "error" in found[-1]
    assert all(len(batch["x"]) == 4 for batch in found[:-1])


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_processes_share_the_files(tmp_path, world):
    paths = [write(tmp_path / f"{n}.wav", 1500, seed=n) for n in range(5)]
    paths.insert(2, tmp_path / "missing.wav")
    seen = []
    for rank in range(world):
        data = MelSlices(files=[str(path) for path in paths if path.exists()], genres=["a", "b"])
        data.trainer = SimpleNamespace(global_rank=rank, world_size=world)
        data.left_files = [(version_of(path), path) for path in paths[1:] if path.exists()]
        dataset = FileWindows([*data.predict_dataloader().dataset.files, ("", paths[2])], RATE, 1000, 8)
        files = [batch["file"] for batch in dataset]
        assert files == [batch["file"] for batch in dataset]
        seen += [file for file in files if file != str(paths[2])]
    assert sorted(seen) == sorted(str(path) for path in paths[1:] if path.exists())


def test_a_version_is_of_a_file_as_it_is_now(tmp_path):
    path = write(tmp_path / "a.wav", 1500)
    first = version_of(path)
    assert version_of(path) == first
    write(tmp_path / "a.wav", 1600)
    assert version_of(path) != first
    assert version_of(tmp_path / "gone.wav").endswith("gone")
