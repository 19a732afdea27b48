"""The listening test: pairs in random order, answered in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicgen_cls.commands.judge.music import Music
from musicgen_cls.commands.judge.pairs import PAIRS, choose_pairs
from musicgen_cls.metrics.intervals import wilson
from musicgen_cls.pages.pairs import Pair, write_pairs

RATE = 8000
ORDER = (True, False, False, True, False)


def tone(hz: float, seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    pairs = [Pair(tone(440), tone(880), first) for first in ORDER]
    write_pairs(tmp_path / "ab.html", "the <tiny> network", pairs, RATE)
    return tmp_path / "ab.html"


def test_the_page_holds_everything_but_the_answers(page: Path, opened: Callable[[Path], dict[str, Any]]) -> None:
    text = page.read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    form = re.sub(r'src="data:[^"]*"', "", text[text.index("<form") : text.index("</form>")])
    assert not re.search(r"true|false|generated|first|alt=|title=", form)
    assert len(set(re.findall("<fieldset>.*?</fieldset>", re.sub(r"\d", "", form), re.DOTALL))) == 1  # all alike
    found = opened(page)
    assert found["complaints"] == found["fetched"] == []
    assert found["played_s"] > 0
    assert not found["wide"]


@pytest.mark.parametrize("wrong", [0, 2, 5])
def test_the_share_fooled_is_counted(page: Path, browser: Any, wrong: int) -> None:
    view = browser.new_page()
    view.goto(page.absolute().as_uri())
    assert view.is_disabled("#show")
    for number, real_first in enumerate(ORDER):
        right = "A" if real_first else "B"
        other = "B" if real_first else "A"
        view.check(f"input[name=pair{number + 1}][value={other if number < wrong else right}]")
    assert view.inner_text("#count") == "5 of 5 answered"
    assert not view.inner_text("#result")
    view.click("#show")
    found = view.inner_text("#result")
    view.close()
    share = wilson(wrong, 5)
    assert found.startswith(f"Fooled in {wrong} of 5 pairs: {share}.")
    assert "the <tiny> network" in found


def test_pairs_are_of_one_genre_and_as_loud_as_each_other() -> None:
    real = Music("real", {"low": [tone(100), tone(110)], "high": [tone(1000)]})
    ours = Music("ours", {"low": [tone(120, level=0.01)] * 5, "high": [tone(1100), 0 * tone(1)]})
    found = choose_pairs(real, ours, RATE, 0.2, seed=1)
    assert len(found) == 3
    for pair in found:
        assert len(pair.real) == len(pair.generated) == round(0.8 * RATE)
        assert np.sqrt(np.mean(pair.real**2)) == pytest.approx(0.1, rel=1e-3)
        sounds = [np.abs(np.fft.rfft(sound)) for sound in (pair.real, pair.generated) if sound.any()]
        assert len({bool(spectrum.argmax() / 0.8 > 500) for spectrum in sounds}) == 1
    again = choose_pairs(real, ours, RATE, 0.2, seed=1)
    assert [pair.real_first for pair in again] == [pair.real_first for pair in found]


def test_a_page_of_the_most_pairs_is_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sounds = [rng.normal(0, 0.1, 12 * RATE).astype(np.float32) for _ in range(30)]
    found = choose_pairs(Music("real", {"a": sounds}), Music("ours", {"a": sounds[::-1]}), RATE, 0.0, seed=0)
    assert len(found) == PAIRS
    assert {len(pair.real) for pair in found} == {10 * RATE}
    assert 3 < sum(pair.real_first for pair in found) < 17
    write_pairs(tmp_path / "ab.html", "x", found, RATE)
    assert (tmp_path / "ab.html").stat().st_size < 6_500_000
