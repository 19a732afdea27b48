"""The words that the project does not use, and the check of them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "check_words.py"
check = runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("The network was told the genre.", ["told"]),
        ("what it Heard before", ["heard"]),
        ("def tracks_heard_in_training(): ...", ["heard"]),
        ("class NotMended(Exception): ...", ["mended"]),
        ("Beware: a track goes on\n", ["beware", "goes on"]),
        ("it was taken for rock", ["taken for"]),
        ("a spreadsheet, a classroom, overheard, saidHeard_", ["said", "heard"]),
        ("The network predicts the genre.", []),
        ('state.get("heard")  # an older key; words: ignore', []),
    ],
)
def test_words_are_found_in_texts_and_names(line, words):
    assert [word for _, word, _ in check["found_in"](line)] == words


def test_each_line_is_named_with_what_to_write_instead(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("one\ntwo, by chance\n")
    assert check["main"]([str(page)]) == 1
    assert capsys.readouterr().out.startswith(f"{page}:2: 'by chance': write at random")
    page.write_text("one\ntwo, at random\n")
    assert check["main"]([str(page)]) == 0


def test_the_repository_has_none_of_them(capsys):
    assert len(check["files"]()) > 200
    assert check["main"]([]) == 0, capsys.readouterr().out
