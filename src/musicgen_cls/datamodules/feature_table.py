"""Tables of features, such as those of GTZAN on Kaggle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from musicgen_cls.audio.features import COLUMNS, RATE
from musicgen_cls.collection.collection import Collection, join
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.dataset import Windows
from musicgen_cls.datamodules.division import Starts
from musicgen_cls.datamodules.export import ExportedInput, spread_windows
from musicgen_cls.datamodules.front_end import RowFrontEnd
from musicgen_cls.datamodules.table_rows import Row, check_labels, group_rows
from musicgen_cls.errors import UsageError, check_not_negative
from musicgen_cls.files import as_path
from musicgen_cls.sources.base import Problem, Side, Source, Track
from musicgen_cls.sources.table import read_table


class FeatureTable(GenreDataModule):
    """Rows of a table of features, such as `features_3_sec.csv` or a table of `musiccli features`.

    Each row has the features of a part of a track. Columns are found by name: `filename`, the 58 of
    `musicgen_cls.audio.features.COLUMNS`, and `label`. Rows of one track (`blues.00000.0.wav`, `blues.00000.1.wav` and
    so on, see `musicgen_cls.sources.parts`) stay on one side of a split.

    Batches: `x` `[batch, 58]`, or `[batch, look_back, 58]`, as z-scores with mean and standard deviation of the
    training rows; `y`, `track`, `index` `[batch]` int64; `start_s` `[batch]` s.

    Further arguments are those of `GenreDataModule` and `TrackDataModule`.

    Args:
        table: the CSV file.
        source: the collection of the tracks; it has artists, copies and published splits.
        look_back: number of rows before a row from which a recurrent network predicts its genre; 0 to predict from the
            row itself.
        across_tracks: let windows continue from one track to the next, in the order of the table. This leaks, since
            tables are sorted by genre, so that the rows before a row reveal its genre. It needs the split `segment`.
        batch_size: rows or windows in a batch.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("look_back",)
    NETWORK_SIZES = ("features",)
    front_end: RowFrontEnd

    _read: Any = None
    """The table, from the time when its genres are read until it becomes a collection."""

    features: ClassVar[int] = len(COLUMNS)
    """Numbers in a row."""

    DIVISION_ARGUMENTS: ClassVar[tuple[str, ...]] = (*GenreDataModule.DIVISION_ARGUMENTS, "across_tracks")

    def __init__(
        self,
        table: str = "features_3_sec.csv",
        source: Source | None = None,
        look_back: int = 0,
        across_tracks: bool = False,
        batch_size: int = 32,
        **kwargs: Any,
    ) -> None:
        check_not_negative("--data.", look_back=look_back)
        self.table, self.look_back, self.across_tracks = table, look_back, across_tracks
        super().__init__(source=source, batch_size=batch_size, **kwargs)
        if across_tracks and not (look_back and self.split == "segment"):
            raise UsageError(
                "--data.across_tracks true: windows across tracks can only be divided at random; set --data.look_back "
                "and --data.split segment too"
            )
        self.front_end = RowFrontEnd(len(COLUMNS), single=not look_back)

    @property
    def window_length(self) -> int:
        """Number of rows of one prediction."""
        return max(self.look_back, 1)

    @property
    def source_name(self) -> str:
        """Name of the collection of the tracks; the table's name without a source."""
        return self.location.stem.lower() if self.source is None else self.source.name

    @property
    def location(self) -> Path:
        """The table."""
        return as_path(self.table, "--data.table")

    def window_starts(self, length: int, side: Side | None) -> Starts:
        """Every row; with `look_back`, every window with a row after it."""
        return np.arange(length - self.look_back, dtype=np.int64), 0

    def fit_front_end(self) -> None:
        """Fit mean and standard deviation of each column on the rows whose genre is predicted in training."""
        assert self.collection is not None
        rows = self.collection.items[self.windows["train"].start + self.look_back]
        self.front_end.fit(torch.from_numpy(rows)[None])

    def blank_window(self) -> Tensor:
        """One row, or window, of zeros, `[1, rows, 58]`."""
        return torch.zeros(1, self.window_length, len(COLUMNS))

    @property
    def size_remedy(self) -> str:
        """The remedy if a network takes single rows and the data has windows, or the opposite."""
        return f"set --data.look_back to {'0' if self.look_back else '1 or more'}, or name another --model.network"

    def exported_input(self) -> ExportedInput:
        """A row of the table, `[batch, 58]`, or several, `[batch, rows, 58]`."""
        rows = f"[batch, {self.look_back}, columns], consecutive rows of a track" if self.look_back else None
        window, mean = self.window_length, self.front_end.standardise.mean.flatten()
        return ExportedInput(
            name="features",
            facts={
                "input": f"features: float32 {rows or '[batch, columns]'}, as in the table, not scaled",
                "look_back": self.look_back,
                "row_seconds": round(float(mean[COLUMNS.index("length")]) / RATE, 1),
                "columns": list(COLUMNS),
            },
            to_items=lambda x: x if rows else x[:, None],
            from_items=lambda items: items if rows else items[:, 0],
            trials=lambda: spread_windows(self.front_end, window, torch.zeros(1, window, len(COLUMNS))),
        )

    def all_genres(self) -> list[str]:
        """The genres of the source; without a source, the labels of the table."""
        if self.source is not None:
            return super().all_genres()
        self._read = read_table(self.location)
        return sorted(set(self._read["label"]))

    def lay_windows(self, collection: Collection, rows: Sequence[int], side: Side | None) -> Windows:
        """The windows of tracks. Across tracks, each row with enough rows before it has one, of the row's own track."""
        if not self.across_tracks:
            return super().lay_windows(collection, rows, side)
        track_of = np.repeat(np.arange(len(collection.tracks)), collection.lengths)
        target = np.arange(self.look_back, len(track_of))
        target = target[np.isin(track_of[target], rows)]
        track = track_of[target]
        genre = np.array([self.genres.index(collection.tracks[row].genre) for row in track], dtype=np.int64)
        start_s = (target - collection.offset[track]) / collection.rate
        return Windows(track, genre, target - self.look_back, np.zeros_like(target), start_s.astype(np.float32))

    def read_tracks(self) -> Collection:
        """The table as a collection: the items of a track are its rows."""
        table = self._read if self._read is not None else read_table(self.location)
        self._read = None  # the collection has its content
        seconds = (table["length"] / RATE).tolist()
        rows = [Row(*row) for row in zip(table.index, table["filename"], table["label"], seconds, strict=True)]
        rows_of = group_rows(rows, self.source, self.location)
        if self.split not in ("segment", "external"):
            check_labels(rows, rows_of, self.location)
        parted = [own for own in rows_of.values() if len(own) > 1]
        by = "their names" if self.source is None else self.source.name
        example = f", as {rows[min(parted[0])].filename}" if parted else ""
        grouped = [f"{sum(map(len, parted))} rows are parts of {len(parted)} tracks by {by}{example}"] if parted else []
        problems = self._leave_out_short(rows_of)
        numbers = table[list(COLUMNS)].to_numpy(np.float32)
        return join(
            list(rows_of),
            problems,
            [numbers[own] for own in rows_of.values()],
            RATE / float(np.median(table["length"])),
            by_name=self.source is None or self.source.parts_by_name,
            seconds=[sum(seconds[row] for row in own) for own in rows_of.values()],
            grouped=grouped,
        )

    def _leave_out_short(self, rows_of: dict[Track, list[int]]) -> list[Problem]:
        """Remove tracks with too few rows for a window; raise `UsageError` if no window is left."""
        counts = [len(own) for own in rows_of.values()]
        longest = sum(counts) if self.across_tracks else max(counts)
        if longest <= self.look_back:
            raise UsageError(f"--data.look_back {self.look_back}: {self._remedies(longest)}")
        short = [] if self.across_tracks else [track for track, own in rows_of.items() if len(own) <= self.look_back]
        reason = f"too few rows for --data.look_back {self.look_back}:"
        return [Problem(track.path, f"{reason} {len(rows_of.pop(track))}") for track in short]

    def _remedies(self, longest: int) -> str:
        if self.across_tracks:
            return f"longer than the table, which has {longest} rows; set it to {longest - 1} or less"
        if longest == 1:
            return (
                "each track has one row; use a table with rows of parts, such as features_3_sec.csv, or set it to 0 "
                "with a network for single rows, such as --model.network FeatureMLP"
            )
        return (
            f"tracks have at most {longest} rows; set it to {longest - 1} or less, or set --data.across_tracks true "
            "--data.split segment, which leaks"
        )
