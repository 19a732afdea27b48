"""Files that the package writes and reads back, damaged: the right content, or one line that names the file."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import pytest
import soundfile
from msgspec import Meta, Struct, to_builtins

from musicgen_cls.__main__ import main
from musicgen_cls.audio.features import COLUMNS
from musicgen_cls.callbacks.generations import format_lines
from musicgen_cls.commands import features as extract
from musicgen_cls.commands import fit_genres
from musicgen_cls.commands.compare.reports import find_rows
from musicgen_cls.commands.compare.table import figures_table, notes, pairs, table_of
from musicgen_cls.commands.export import card as model_card
from musicgen_cls.commands.journal import Journal
from musicgen_cls.commands.judge.music import load_generated
from musicgen_cls.errors import MusicClsError, RecordError, SourceError, UsageError
from musicgen_cls.formats import generations, records
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.metrics.summary import predictions_table, summarise
from musicgen_cls.sources.synthetic import SyntheticGenres
from musicgen_cls.tables import as_markdown
from mutations import ODD_TEXTS, as_json, changed_fields, damaged, some

GENRES = ["blues", "jazz"]


class Point(Struct):
    """A schema."""

    name: str
    x: Annotated[float, Meta(ge=0)]
    tags: list[str] = []
    twice: "Point | None" = None


def check(read: Callable[[], Any]) -> Any:
    """What is read, or the error, which is one short line."""
    found: Any
    try:
        found = read()
    except MusicClsError as error:
        found = error
    assert not isinstance(found, MusicClsError) or ("\n" not in str(found) and len(str(found)) < 700)
    return found


def check_all(file: Path, read: Callable[[], Any], record: Any, seed: int, number: int = 80) -> None:
    """Damage of every kind to a file that holds one record."""
    whole = file.read_bytes()
    texts = [*ODD_TEXTS, *map(as_json, some(changed_fields(record), number, seed))]
    texts += [damaged(whole, np.random.default_rng(seed + n)) for n in range(number)]
    for text in texts:
        file.write_bytes(text)
        found = check(read)
        if isinstance(found, MusicClsError):
            assert file.name in str(found), text[:200]
    file.write_bytes(whole)
    assert not isinstance(check(read), MusicClsError)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"name": "a"}', "object missing required field `x`"),
        (b'{"name": "a", "x": null}', "x: expected `float`, got `null`"),
        (b'{"name": 1, "x": 1}', "name: expected `str`, got `int`"),
        (b'{"name": "a", "x": -1}', "x: expected `float` >= 0.0"),
        (b'{"name": "a", "x": 1, "tags": ["b", 5]}', "tags[1]: expected `str`, got `int`"),
        (b'{"name": "a", "x": 1, "twice": {"name": "b", "x": []}}', "twice.x: expected `float`, got `array`"),
        (b'{"name": "a", "x": NaN}', "NaN is not a finite number"),
        (b'{"name": "a", "x": -Infinity}', "-Infinity is not a finite number"),
        (b'{"name": "a", "x": 1e999}', "1e999 is not a finite number"),
        (b'{"name": "a", "x": %s}' % (b"9" * 400), "x: number out of range"),
        (b'{"name": "a", "x": %s}' % (b"9" * 5000), "Exceeds the limit (4300 digits)"),
        (b'{"name": "a", "x": "\\ud800"}', "x: expected `float`, got `str`|text that is not UTF-8"),
        (b'{"name": "\xff", "x": 1}', "not UTF-8 at byte 10"),
        (b"[]", "expected `object`, got `array`"),
        (b"null", "expected `object`, got `null`"),
        (b"", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"twice": ' * 100_000, "nested too deeply"),
        (b'{"name": "a", "x": 1', "not valid JSON"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, said):
    file = tmp_path / "point.json"
    file.write_bytes(text)
    with pytest.raises(RecordError) as caught:
        records.read(file, Point, "write it again")
    assert str(caught.value).startswith(f"{file}: ")
    assert str(caught.value).endswith("; write it again")
    assert any(part in str(caught.value) for part in said.split("|"))
    (line,) = records.lines(file, Point) if text else (None,)
    assert line is None or (line.value is None and line.reason)


def test_what_fits_is_read(tmp_path):
    file = tmp_path / "point.json"
    file.write_text('{"name": "\\udcff \\ud83c\\udfb5", "x": 1, "of another version": [null]}')
    assert records.read(file, Point, "") == Point("\udcff \U0001f3b5", 1.0)


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(RecordError, match=r"gone\.json: cannot be read \(No such file or directory\)"):
        records.read(tmp_path / "gone.json", Point, "")
    with pytest.raises(RecordError, match=r"cannot be read \(Is a directory\)"):
        records.read(tmp_path, Point, "")
    monkeypatch.setattr(records, "FILE_BYTES", 100)
    (tmp_path / "long.json").write_bytes(b" " * 101)
    with pytest.raises(RecordError, match=r"long\.json: longer than 0 MiB, so musicgen_cls did not write it"):
        records.read(tmp_path / "long.json", Point, "")
    (tmp_path / "long.jsonl").write_bytes(b'{"name": "a", "x": 1}\n' + b" " * 250 + b"\n")
    assert [line.value is None for line in records.lines(tmp_path / "long.jsonl", Point)] == [False, True, True, True]
    assert list(records.lines(tmp_path / "none.jsonl", Point)) == []


def test_a_changed_byte_of_a_sealed_line_is_noticed(tmp_path):
    file = tmp_path / "points.jsonl"
    line = records.seal({"name": "a \udcff", "x": 1.5})
    file.write_bytes(line)
    assert [found.value for found in records.lines(file, Point, sealed=True)] == [Point("a \udcff", 1.5)]
    for place in range(len(line)):
        file.write_bytes(line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :])
        assert all(found.value is None for found in records.lines(file, Point, sealed=True)), place


def test_numbers_that_are_not_finite_are_written_as_null():
    values = {"a": [1.0, float("nan"), (2, float("inf"))], "b": {"c": float("-inf"), "d": "x"}}
    assert records.finite(values) == {"a": [1.0, None, [2, None]], "b": {"c": None, "d": "x"}}


class Row(Struct):
    """A schema of a table."""

    name: str
    n: int


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no column 'name'"),
        (b"name,m\na,1\n", "no column 'n'"),
        (b"name,n\na,1\nb,x\n", "line 3: n: expected `int`, got `str`"),
        (b"name,n\na,1\nb\n", "line 3: 1 cells, but the header has 2"),
        (b"name,n\na,1\nb,2,3\n", "line 3: 3 cells"),
        (b'name,n\n"a,1\n', "line 2: unexpected end of data"),
        (b"name,n\n\xff,1\n", "not UTF-8 at byte 7"),
        (b"name,n\n%s,1\n" % (b"y" * 200_000), "line 2: field larger than field limit"),
    ],
)
def test_tables(tmp_path, text, said):
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(RecordError, match=r"t\.csv: .*; write it again") as caught:
        records.read_table(tmp_path / "t.csv", Row, "write it again")
    assert said in str(caught.value)
    (tmp_path / "t.csv").write_bytes("\ufeffmore,name,n\r\n,a,1\r\n".encode())
    assert records.read_table(tmp_path / "t.csv", Row, "") == [Row("a", 1)]


# The files of the commands


def report_folder(folder: Path) -> dict[str, Any]:
    """A report and its table as `test` writes them, of ten tracks; what the report holds."""
    y = np.arange(10) % 2
    probs = np.where((y == 1) == (np.arange(10) < 7), 0.9, 0.1)
    scores = Scores(np.arange(10), np.arange(10), np.zeros(10, "f4"), y, np.log(np.stack([1 - probs, probs], axis=1)))
    about = {"source": "songs", "split": "track", "fold": None, "split_seed": 0, "can_leak": False, "genres": GENRES}
    report = {**about, "interval": "95 %", "level_offset_db": None, **summarise(scores, GENRES)}
    folder.mkdir(parents=True)
    (folder / "report.json").write_bytes(as_json(report))
    rows = predictions_table(scores, GENRES, {n: f"song {n}" for n in range(10)})
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    (folder / "tracks.csv").write_text(table.getvalue())
    return report


def compared(folder: Path) -> str:
    rows = find_rows([str(folder)])
    pairs(rows), figures_table(rows)
    return as_markdown(table_of(rows)) + " ".join(notes(rows))


def test_compare_reads_reports(tmp_path):
    report = report_folder(tmp_path / "run")
    check_all(tmp_path / "run" / "report.json", lambda: compared(tmp_path / "run"), report, seed=0)


def test_compare_reads_tables_of_tracks(tmp_path):
    report_folder(tmp_path / "run")
    file = tmp_path / "run" / "tracks.csv"
    whole, right = file.read_bytes(), compared(tmp_path / "run")
    for seed in range(200):
        file.write_bytes(damaged(whole, np.random.default_rng(seed)))
        found = check(lambda: compared(tmp_path / "run"))
        assert found == right or str(file) in str(found)


def test_a_table_that_does_not_go_with_its_report(tmp_path):
    report_folder(tmp_path / "run")
    file = tmp_path / "run" / "tracks.csv"
    whole = file.read_text()
    file.write_text(whole.replace("song 3,jazz,jazz", "song 3,jazz,blues"))
    with pytest.raises(
        RecordError, match=r"60\.0 % of its predictions are right, but report\.json beside it has 70\.0 %"
    ):
        compared(tmp_path / "run")
    file.write_text(whole.replace("song 3", "song 1"))
    with pytest.raises(RecordError, match="holds the track song 1 twice; test again"):
        compared(tmp_path / "run")


def test_bounds_that_are_swapped_and_a_value_beside_its_bootstrap_interval(tmp_path):
    report = report_folder(tmp_path / "run")
    file = tmp_path / "run" / "report.json"
    file.write_bytes(as_json(report | {"macro_f1": {"value": 0.9, "low": 0.4, "high": 0.8}}))
    assert "90.0 [40.0, 80.0]" in compared(tmp_path / "run")
    file.write_bytes(as_json(report | {"macro_f1": {"value": 0.9, "low": 0.8, "high": 0.4}}))
    with pytest.raises(UsageError, match=r"macro_f1: the lower bound 0\.8 is above the upper bound 0\.4"):
        compared(tmp_path / "run")


def test_compare_reads_minutes(tmp_path):
    report_folder(tmp_path / "seed-0" / "report")
    file = tmp_path / "seed-0" / "minutes.json"
    for text in (*ODD_TEXTS, *map(as_json, (-1.0, float("nan"), "5", True, 10**400))):
        file.write_bytes(text)
        assert "minutes" not in compared(tmp_path / "seed-0")
    file.write_text("2.5")
    assert "2.5" in compared(tmp_path / "seed-0")


@pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: repr(text[:8]))
def test_compare_reports_damage_in_one_line(tmp_path, capsys, text):
    report_folder(tmp_path / "run")
    (tmp_path / "run" / "report.json").write_bytes(text)
    assert main(["compare", str(tmp_path / "run" / "report.json"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"musiccli: error: RUN {tmp_path / 'run' / 'report.json'}: not the report of a classifier's")
    assert len(said.splitlines()) == 1


def test_a_card_reads_reports(tmp_path):
    checkpoint: Any = SimpleNamespace(path=tmp_path / "best.ckpt", genres=GENRES)
    checkpoint.path.touch()
    report = report_folder(tmp_path / "best-test-songs-track")

    def read() -> None:
        for found in model_card.reports_beside(checkpoint):
            for row in (found["track_accuracy"], *(row["recall"] for row in found["per_genre"].values())):
                model_card._percent(row)

    check_all(tmp_path / "best-test-songs-track" / "report.json", read, report, seed=1)


def generated(folder: Path) -> list[dict[str, Any]]:
    """A folder as `predict` leaves it with a generator; its lines."""
    lines = []
    for position, genre in enumerate(("jazz", "jazz", "metal", "metal")):
        file = Path(genre) / f"{genre}.{position:05d}.wav"
        (folder / genre).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / file, np.sin(np.arange(900) * (position + 1) / 9) / 2, 1000)
        about = {
            "file": file.as_posix(),
            "genre": genre,
            "prompt": f"/songs/{position}.wav",
            "prompt_id": f"{position}",
        }
        about |= {"position": position, "generation": "0123", "checkpoint": "best.ckpt", "sample_rate": 1000}
        lines.append(about | {"context_seconds": 0.5, "seconds": 0.9, "loudness_db": [-9.0, -8.5]})
    (folder / generations.LINES).write_bytes(b"".join(as_json(line) + b"\n" for line in lines))
    return lines


class TestContinuations:
    @pytest.mark.parametrize("kind", ["judge", "predict"])
    def test_damage(self, tmp_path, kind):
        lines = generated(tmp_path)
        file = tmp_path / generations.LINES
        whole = file.read_bytes()
        rest = whole[whole.index(b"\n") :]
        texts = [*ODD_TEXTS, *(damaged(whole, np.random.default_rng(seed)) for seed in range(100))]
        texts += [as_json(changed) + rest for changed in some(changed_fields(lines[0]), 100, seed=0)]
        for text in texts:
            file.write_bytes(text)
            found = check(lambda: load_generated(tmp_path) if kind == "judge" else resumed(tmp_path))
            if isinstance(found, MusicClsError):
                assert f"{file}: line " in str(found)
                assert "delete that line, and predict generates its recording again" in str(found)

    def test_a_line_that_a_kill_cut_short_is_left_out_and_no_line_is_written_behind_it(self, tmp_path):
        lines = generated(tmp_path)
        file = tmp_path / generations.LINES
        whole = file.read_bytes()
        file.write_bytes(whole[:-30])
        assert [line.position for line in resumed(tmp_path)] == [0, 1, 2]
        assert file.read_bytes() == whole[: whole.rindex(b"\n", 0, -1) + 1]
        with file.open("ab") as journal:
            journal.write(as_json(lines[3]) + b"\n")
        assert len(generations.read_lines(tmp_path, generations.Continuation)) == 4

    def test_the_last_line_about_a_file_counts(self, tmp_path):
        lines = generated(tmp_path)
        with (tmp_path / generations.LINES).open("ab") as journal:
            journal.write(as_json(lines[0] | {"prompt": "other.wav"}))
        assert {line.file: line.prompt for line in resumed(tmp_path)}[lines[0]["file"]] == "other.wav"
        assert (tmp_path / generations.LINES).read_bytes().endswith(b"}\n")

    def test_lines_and_settings_with_older_keys(self, tmp_path):
        lines = generated(tmp_path)
        older = {"prompt": "seed", "prompt_id": "seed_id"}
        texts = (as_json({older.get(key, key): value for key, value in line.items()}) + b"\n" for line in lines)
        (tmp_path / generations.LINES).write_bytes(b"".join(texts))
        assert [line.prompt for line in resumed(tmp_path)] == [line["prompt"] for line in lines]
        assert [line.prompt for line in generations.read_lines(tmp_path, generations.Recording)] == [
            line["prompt"] for line in lines
        ]
        (tmp_path / generations.SETTINGS).write_bytes(as_json({"takes": 2, "finished": False}))
        assert generations.was_stopped(tmp_path, {"samples_per_prompt": 2})
        assert not generations.was_stopped(tmp_path, {"samples_per_prompt": 3})

    def test_settings(self, tmp_path):
        settings = {"checkpoint": "best.ckpt", "seconds": 4.0, "files": ["a.wav"], "genre": None}
        file = tmp_path / generations.SETTINGS
        assert not generations.was_stopped(tmp_path, settings)
        file.write_bytes(as_json({**settings, "finished": False}))
        assert generations.was_stopped(tmp_path, settings)
        assert not generations.was_stopped(tmp_path, settings | {"seconds": 5.0})
        check_all(file, lambda: generations.was_stopped(tmp_path, settings), settings, seed=2)
        file.write_bytes(b"null")
        with pytest.raises(RecordError, match=r"generation\.json: expected `object`, got `null`; delete it"):
            generations.was_stopped(tmp_path, settings)


def resumed(folder: Path) -> list[generations.Continuation]:
    """What predict reads where it resumes, and prints at the end."""
    generations.tidy(folder)
    lines = generations.read_lines(folder, generations.Continuation)
    if lines:
        format_lines(lines)
    return lines


def test_the_journal_of_features(tmp_path):
    what = extract.RunHeader("/songs", 3.0)
    rows = {f"{n}.wav": [{"filename": f"{n}.wav", **dict.fromkeys(COLUMNS, n + 0.5), "length": 900}] for n in range(4)}
    found: dict[str, Any] = {**rows, "4.wav": "silent throughout"}
    versions = dict.fromkeys(found, "900|5")
    lines = [records.seal({"track": name, "version": "900|5", "found": value}) for name, value in found.items()]
    whole = b"".join([records.seal({"location": "/songs", "seconds": 3.0}), *lines])
    file = tmp_path / "table.csv.partial"

    def finished(now: dict[str, str]) -> dict[str, Any]:
        journal = Journal(tmp_path / "table.csv", what, extract.TrackRows, now)
        tracks = [track for track in now if track in journal]
        return {track: to_builtins(rows) for track, rows in zip(tracks, journal.found(tracks), strict=True)}

    for seed in range(150):
        file.write_bytes(damaged(whole, np.random.default_rng(seed)))
        kept = check(lambda: finished(versions))
        if isinstance(kept, UsageError):
            assert str(kept).startswith(f"{file}: ")
        else:
            assert kept.items() <= found.items()
    for changed in some(changed_fields({"track": "0.wav", "version": "900|5", "found": rows["0.wav"]}), 100, seed=0):
        try:
            line = records.seal(changed)
        except ValueError:
            continue
        file.write_bytes(records.seal({"location": "/songs", "seconds": 3.0}) + line)
        check(lambda: finished(versions))
    file.write_bytes(whole)
    assert finished(versions) == rows  # a file that could not be used is tried again
    file.write_bytes(whole)
    del found["2.wav"], found["4.wav"]
    assert finished({**versions, "2.wav": "901|5", "4.wav": "900|6"}) == found


def test_notes(tmp_path):
    SyntheticGenres(1, 0.1, sample_rate=4000, folder=str(tmp_path))._claim()
    note = tmp_path / "synthetic.json"
    record = json.loads(note.read_text())

    def claimed() -> None:
        try:
            SyntheticGenres(1, 0.1, sample_rate=4000, folder=str(tmp_path))._claim()
        except SourceError as error:
            raise SourceError(f"{note}: {error}") from None

    check_all(note, claimed, record, seed=3)
    finished = {"epochs": 3, "minutes": 0.5, "val_loss": None}
    (tmp_path / fit_genres.FINISHED).write_bytes(as_json(finished))
    check_all(tmp_path / fit_genres.FINISHED, lambda: fit_genres._finished(tmp_path), finished, seed=4)
