from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch import Trainer

import musicgen_cls
from musicgen_cls.audio.io import read
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.errors import AudioError, CheckpointError, UsageError
from musicgen_cls.metrics.threshold import THRESHOLD
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.recogniser import GenreRecogniser
from musicgen_cls.sources.folder import Folder
from musicgen_cls.tasks.classification import GenreClassifier


@pytest.fixture(scope="module")
def recogniser(music: Path, tmp_path_factory: pytest.TempPathFactory) -> GenreRecogniser:
    """Trained for a step from Python, without the command line."""
    home = tmp_path_factory.mktemp("python")
    data = MelSlices(Folder(str(music)), windows_per_track=2, fractions=(0.5, 0.25, 0.25), batch_size=5)
    task = GenreClassifier(partial(VGG, width=2), num_classes=3)
    trainer = Trainer(
        max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu"
    )
    trainer.fit(task, data)
    trainer.save_checkpoint(home / "made.ckpt")
    return musicgen_cls.load(home / "made.ckpt")


def test_file_and_waveform_agree(recogniser: GenreRecogniser, music: Path) -> None:
    file = music / "jazz" / "1.flac"  # 44.1 kHz stereo
    from_file = recogniser(file)
    assert list(from_file) == recogniser.genres == ["blues", "jazz", "metal"]
    assert sum(from_file.values()) == pytest.approx(1)
    assert recogniser(str(file)) == from_file
    assert recogniser(read(file, recogniser.sample_rate)) == pytest.approx(from_file, abs=1e-5)


def test_below_the_threshold_no_genre_is_given(
    recogniser: GenreRecogniser, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = music / "jazz" / "1.flac"
    probabilities = recogniser(file)
    best = max(probabilities, key=probabilities.__getitem__)
    assert recogniser.threshold == THRESHOLD
    for threshold, genre in ((0.0, best), (probabilities[best], best), (1.0, None)):
        monkeypatch.setattr(recogniser, "threshold", threshold)
        assert recogniser.genre(file) == genre


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_is_a_probability(recogniser: GenreRecogniser, threshold: float) -> None:
    with pytest.raises(UsageError, match=f"threshold {threshold}: must be a probability from 0 to 1"):
        musicgen_cls.load(recogniser.checkpoint.path, threshold=threshold)


def test_timeline_covers_the_recording(recogniser: GenreRecogniser, music: Path) -> None:
    file = music / "metal" / "0.wav"
    seconds = len(read(file, recogniser.sample_rate)) / recogniser.sample_rate
    starts, probabilities = recogniser.timeline(file)
    assert starts[0] == 0
    assert starts[-1] + 2 == pytest.approx(seconds, abs=1e-3)
    assert probabilities.shape == (len(starts), 3)
    assert (np.diff(starts) <= 2 + 1e-9).all()


def test_more_windows_than_a_batch_and_fewer_than_one(recogniser: GenreRecogniser) -> None:
    rng = np.random.default_rng(0)
    long = rng.normal(0, 0.1, 25 * recogniser.sample_rate)
    assert len(recogniser.timeline(long).start_s) == 13
    assert len(recogniser.timeline(long[:5000]).start_s) == 1


def test_bad_waveforms(recogniser: GenreRecogniser) -> None:
    with pytest.raises(AudioError, match="silent"):
        recogniser(np.zeros(50_000))
    with pytest.raises(AudioError, match="not finite"):
        recogniser(np.full(50_000, np.nan))
    with pytest.raises(UsageError, match="shape"):
        recogniser(np.zeros((2, 50_000)))
    with pytest.raises(AudioError, match="no such file"):
        recogniser("gone.mp3")


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        musicgen_cls.load(tmp_path / "gone.ckpt")
