from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from musicgen_cls.callbacks.report_text import format_report
from musicgen_cls.formats.records import seal
from musicgen_cls.predictions import format_predictions, places_in, summary, with_sure
from musicgen_cls.tasks.timeline import Timeline


def test_summary_is_the_mean_over_all_windows_not_over_batches() -> None:
    first = Timeline(np.array([0.0, 2.0]), np.array([2.0, 4.0]), np.array([[0.9, 0.1], [0.7, 0.3]]))
    second = Timeline(np.array([4.0]), np.array([6.0]), np.array([[0.2, 0.8]]))
    row = summary(Timeline.joined([first, second]), ["jazz", "rock"])
    assert row["genre"] == "jazz"
    assert row["probabilities"] == pytest.approx({"jazz": 0.6, "rock": 0.4})
    assert row["probability"] == pytest.approx(0.6)
    assert [(part["start_s"], part["genre"]) for part in row["timeline"]] == [
        (0.0, "jazz"),
        (2.0, "jazz"),
        (4.0, "rock"),
    ]


def test_predictions_table_has_minutes_and_the_three_most_probable() -> None:
    probabilities = {"blues": 0.1, "jazz": 0.6, "metal": 0.05, "pop": 0.25}
    table = format_predictions([{"file": "x" * 80 + "/a.mp3", "seconds": 61.2, "probabilities": probabilities}])
    assert "jazz 60 %   pop 25 %   blues 10 %" in table
    assert "metal" not in table
    assert "1:01" in table
    assert ".../" not in table.replace("...x", "")
    assert "a.mp3" in table


@pytest.mark.parametrize(("threshold", "sure"), [(0.0, True), (0.41, True), (0.42, False), (1.0, False)])
def test_a_row_below_the_threshold_is_unsure(threshold: float, sure: bool) -> None:
    probabilities = {"jazz": 0.3, "pop": 0.29, "rock": 0.41}
    row = {"file": "a.wav", "seconds": 5.0, "genre": "rock", "probability": 0.41, "probabilities": probabilities}
    marked = with_sure(row, threshold)
    assert marked == row | {"sure": sure}
    top = "rock 41 %   jazz 30 %   pop 29 %"
    assert (top if sure else f"unsure ({top})") in format_predictions([marked])
    assert ("unsure" in format_predictions([marked])) is not sure


def test_a_row_without_a_prediction_is_neither_sure_nor_unsure() -> None:
    row = {"file": "a.wav", "error": "a.wav: silent"}
    assert with_sure(row, 0.5) == row


@pytest.mark.parametrize("leaks", [True, False])
def test_the_report_has_a_warning_if_it_can_leak(leaks: bool) -> None:
    share = {"value": 0.5, "low": 0.25, "high": 0.75}
    report = {
        "tracks": 4, "windows": 8, "source": "gtzan", "split": "segment", "fold": "1 of 5", "can_leak": leaks,
        "track_accuracy": share, "segment_accuracy": share, "macro_f1": share, "majority_baseline": 0.5,
        "per_genre": {"jazz": {"tracks": 4, "recall": share, "precision": None, "f1": None}},
    }  # fmt: skip
    text = format_report(report)
    assert "Warning: these windows" not in text
    assert "9 dB quieter than the training windows" in format_report(report | {"level_offset_db": -9.1})
    assert "50.0 % [25.0, 75.0]" in text
    assert "fold 1 of 5" in text
    assert ("LEAKS" in text) is leaks
    assert ("Warning" in text) is leaks
    named = {"auroc": None, "kappa": {"value": 0.5, "low": math.nan, "high": math.nan}, "f1": share}
    text = format_report(report | {"metrics": named})
    assert "  auroc             -  (a genre has no test track)" in text
    assert "  kappa             0.500 (no interval: a genre has one test track)" in text
    assert "  f1                0.500 [0.250, 0.750]" in text


class TestResuming:
    """A run that was stopped after some files."""

    ROW = {  # noqa: RUF012
        **{"file": "a.wav", "seconds": 2.0, "genre": "jazz", "probability": 0.9},
        **{"probabilities": {"jazz": 0.9, "rock": 0.1}, "timeline": []},
    }

    def test_rows_come_back(self, tmp_path: Path) -> None:
        error = {"file": "b.wav", "error": "b.wav: silent"}
        lines = [seal({"run": "r", "key": f"k{n}", "row": row}) for n, row in enumerate((self.ROW, error))]
        (tmp_path / "j").write_bytes(b"".join(lines) + seal({"run": "other", "key": "k2", "row": self.ROW}))
        assert list(places_in(tmp_path / "j", "r")) == [
            ("k0", (tmp_path / "j", 0, None)),
            ("k1", (tmp_path / "j", len(lines[0]), "b.wav: silent")),
        ]
        assert list(places_in(tmp_path / "gone", "r")) == []

    @pytest.mark.parametrize(
        "damage",
        [
            b"{",
            b"null",
            b"[" * 50_000,
            b"",
            b"\xff",
            seal({"run": "r", "key": 3, "row": {}}).rstrip(),
            seal({"run": "r", "key": "k", "row": {"file": "x"}}).rstrip(),
            seal({"run": "r", "key": "k", "row": ROW}).rstrip().replace(b"jazz", b"rock"),
        ],
    )
    def test_a_damaged_line_costs_its_own_file_only(self, tmp_path: Path, damage: bytes) -> None:
        (tmp_path / "j").write_bytes(damage + b"\n" + seal({"run": "r", "key": "k0", "row": self.ROW}))
        assert list(places_in(tmp_path / "j", "r")) == [("k0", (tmp_path / "j", len(damage) + 1, None))]
