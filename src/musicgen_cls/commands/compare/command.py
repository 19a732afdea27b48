"""`musiccli compare`: test reports side by side, with intervals, and paired tests where the tracks are the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from musicgen_cls import plots
from musicgen_cls.commands.compare.reports import find_rows
from musicgen_cls.commands.compare.table import figures_table, letters_of, notes, pairs, pairs_table, table_of
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.tables import as_markdown, write_csv


def compare(runs: Sequence[str] = (), out: str = "comparison", figure_format: plots.FigureFormat = "png") -> Path:
    """Hold tests against one another: a table, a chart, and a paired test wherever two were made on the same tracks.

    Writes `comparison.md`, `comparison.csv`, `comparison.png` and, where there are pairs, `pairs.csv`.

    Args:
        runs: folders of runs, of their reports, or report.json files, a row each; or NAME=PATTERN, one row of all the
            runs that it stands for, as of several seeds: mean and standard deviation.
        out: the folder to write into.
        figure_format: of the chart.

    Raises:
        UsageError: there is no report, it cannot be read, or nothing can be written.
    """
    rows = find_rows(runs)
    folder = as_path(out, "--out")
    check_writable(folder, "--out DIR")
    table, found = table_of(rows), pairs(rows)
    text = "\n\n".join([as_markdown(table), *notes(rows), *([as_markdown(pairs_table(found))] if found else [])])
    print(f"\n{text}\n")
    with writing(folder / "comparison.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    figures = figures_table(rows)
    write_csv(folder / "comparison.csv", list(figures[0]), figures)
    if found:
        write_csv(folder / "pairs.csv", list(found[0]), found)
    else:
        (folder / "pairs.csv").unlink(missing_ok=True)  # of another comparison
    letters = letters_of(rows)
    drawn = [(row.name, row.figure("track_accuracy"), letters[row.test_sets], row.leaks) for row in rows]
    chart = f"comparison.{figure_format}"
    plots.save(plots.comparison(drawn), folder / chart)
    print(f"Comparison:  {folder}: comparison.md, comparison.csv, {chart}" + (", pairs.csv" if found else ""))
    return folder
