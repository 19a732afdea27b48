"""The feature row against known values of simple signals, and against the published table."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from musicgen_cls.audio.features import COLUMNS, feature_row
from musicgen_cls.errors import AudioError

RATE = 22050


def tone(hz: float, seconds: float = 3.0, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype("f4")


def test_columns_are_those_of_the_published_table():
    assert len(COLUMNS) == 58
    assert COLUMNS[:5] == ("length", "chroma_stft_mean", "chroma_stft_var", "rms_mean", "rms_var")
    assert COLUMNS[15:18] == ("perceptr_mean", "perceptr_var", "tempo")
    assert COLUMNS[-1] == "mfcc20_var"


def test_columns_are_those_of_the_table_itself(shared_data):
    table = shared_data / "features" / "features_30_sec.csv"
    assert list(pd.read_csv(table, nrows=0).columns) == ["filename", *COLUMNS, "label"]


def test_a_tone():
    row = feature_row(tone(1000), RATE)
    assert tuple(row) == COLUMNS
    assert row["length"] == 3 * RATE
    assert row["rms_mean"] == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert row["spectral_centroid_mean"] == pytest.approx(1000, rel=0.05)
    assert row["zero_crossing_rate_mean"] == pytest.approx(2 * 1000 / RATE, rel=0.02)
    assert row["harmony_var"] == pytest.approx(0.125, rel=0.05)  # all of it holds
    assert row["perceptr_var"] < 0.005


def test_clicks_are_percussive_and_have_a_tempo():
    y = np.zeros(8 * RATE, "f4")
    y[:: RATE // 2] = 0.9
    row = feature_row(y, RATE)
    assert row["perceptr_var"] > 10 * row["harmony_var"]
    assert row["tempo"] == pytest.approx(120, rel=0.05)


def test_loudness_changes_rms_and_not_the_centroid():
    soft, loud = (feature_row(tone(440, level=level), RATE) for level in (0.1, 0.4))
    assert loud["rms_mean"] == pytest.approx(4 * soft["rms_mean"], rel=1e-3)
    assert loud["spectral_centroid_mean"] == pytest.approx(soft["spectral_centroid_mean"], rel=1e-3)
    assert loud["mfcc1_mean"] > soft["mfcc1_mean"]


def test_too_short():
    with pytest.raises(AudioError, match="2047 samples: too short for features, 2048 are needed"):
        feature_row(np.zeros(2047, "f4"), RATE)


@pytest.mark.parametrize("number", range(1, 32, 12))  # each takes seconds
def test_a_row_of_the_published_table(shared_data, number):
    table = pd.read_csv(shared_data / "features" / "features_30_sec.csv").set_index("filename").drop(columns="label")
    path = sorted((shared_data / "gtzan_tracks").glob("*/*.flac"))[number]
    waveform, rate = soundfile.read(path, dtype="float32")
    row = pd.Series(feature_row(waveform, rate))
    spread = table.std()
    apart = ((row - table.loc[f"{path.stem}.wav"]).abs() / spread)[spread > 0]
    assert apart.max() < 0.01, apart.idxmax()
    assert apart.median() < 1e-5
