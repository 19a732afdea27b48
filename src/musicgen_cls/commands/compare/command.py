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
    """Compare test reports: a table, a figure, and a paired test for every two runs with the same test tracks.

    Writes `comparison.md`, `comparison.csv`, `comparison.png` and, where there are pairs, `pairs.csv`.

    Args:
        runs: folders of runs or reports, or report.json files, a row each; or NAME=PATTERN, one row for all runs of the
            pattern, as those of several seeds: mean and standard deviation.
        out: the folder for the results.
        figure_format: format of the figure.

    Raises:
        UsageError: there is no report, a report cannot be read, or the folder cannot be written.
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
        (folder / "pairs.csv").unlink(missing_ok=True)  # of an earlier comparison
    letters = letters_of(rows)
    drawn = [(row.name, row.figure("track_accuracy"), letters[row.test_sets], row.leaks) for row in rows]
    chart = f"comparison.{figure_format}"
    plots.save(plots.comparison(drawn), folder / chart)
    print(f"Comparison:  {folder}: comparison.md, comparison.csv, {chart}" + (", pairs.csv" if found else ""))
    return folder
