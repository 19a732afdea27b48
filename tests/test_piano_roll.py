"""The piano roll: every note, bars, prompt."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.image import imread
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from musicgen_cls import plots
from musicgen_cls.__main__ import main
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.notes.score import length_seconds, onset_seconds
from musicgen_cls.plots.canvas import contrast
from musicgen_cls.plots.piano_roll import COLOURS


@pytest.fixture(autouse=True)
def arranged(arrange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures as users see them."""
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", arrange)


def drawn(fig) -> list[str]:
    FigureCanvasAgg(fig).draw()
    for ax in fig.axes:
        box = ax.get_tightbbox()
        assert box is None or (min(box.x0, box.y0) >= -1 and box.x1 <= fig.bbox.x1 + 1 and box.y1 <= fig.bbox.y1 + 1)
    return [text.get_text() for text in fig.findobj(Text) if text.get_text() and text.get_visible()]


def test_every_note_is_a_bar_at_its_time_and_pitch() -> None:
    notes = compose("jazz", 2, seconds=12.0)
    fig = plots.piano_roll(notes, "a $ title\nwith two lines", prompt_end_s=5.0)
    words = drawn(fig)
    assert {"prompt ", "bar", "time in s", "pitch", "drums", "ride"} <= set(words)
    assert {FAMILIES[family] for family in np.unique(notes["family"]) if family != DRUMS} <= set(words)
    shapes = fig.findobj(PolyCollection)
    assert sum(len(shape.get_paths()) for shape in shapes) == len(notes)
    corners = np.concatenate([[path.vertices[:4] for path in shape.get_paths()] for shape in shapes])
    left, right = corners[:, :, 0].min(axis=1), corners[:, :, 0].max(axis=1)
    assert sorted(left) == pytest.approx(sorted(onset_seconds(notes)))
    assert right.max() <= length_seconds(notes) + 1e-9
    pitched = np.concatenate([[path.vertices[:4, 1].mean() for path in shape.get_paths()] for shape in shapes[:-1]])
    assert sorted(pitched) == pytest.approx(sorted(notes["pitch"][notes["family"] != DRUMS].astype(float)))


@pytest.mark.parametrize("kept", ["drums", "others", "none", "one"])
def test_scores_that_lack_something(kept: str) -> None:
    notes = compose("rock", 0, seconds=6.0)
    drums = notes["family"] == DRUMS
    notes = {"drums": notes[drums], "others": notes[~drums], "none": notes[:0], "one": notes[:1]}[kept]
    assert "time in s" in drawn(plots.piano_roll(notes, kept))


def test_long_pieces_have_few_bar_numbers() -> None:
    words = drawn(plots.piano_roll(compose("metal", 0, seconds=400.0), "long"))
    assert 4 <= sum(word.isdigit() for word in words) <= 40


def test_families_have_colours_that_are_seen() -> None:
    assert set(COLOURS) == set(FAMILIES)
    assert len(set(COLOURS.values())) == len(FAMILIES)
    assert all(contrast(colour, "white") > 2.5 for colour in COLOURS.values())


def test_plot_draws_scores_and_prints_what_they_are(tmp_path, capsys) -> None:
    (tmp_path / "in").mkdir()
    write_midi(compose("jazz", 0, seconds=8.0), tmp_path / "in" / "a.mid")
    write_midi(compose("pop", 0, seconds=8.0), tmp_path / "in" / "b.midi")
    (tmp_path / "in" / "bad.mid").write_bytes(b"MThd")
    (tmp_path / "in" / "notes.txt").touch()
    assert main(["plot", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--jobs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["left out", "Score", "Score", "Figures", "left out"]
    assert "bad.mid: not a MIDI file" in lines[0]
    assert " 4/4, " in lines[1]
    assert " beats per minute, " in lines[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mid.png", "b.midi.png"]
    assert imread(tmp_path / "out" / "a.mid.png").shape[1] > 600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bad.mid"], "bad.mid: not a MIDI file"),
        (
            ["good.mid", "--ckpt_path", "untrained"],
            "good.mid: a score, but --ckpt_path is for recordings; leave it out",
        ),
        (["--source", "MidiFolder", "--source.root", "."], "--source MidiFolder: has scores"),
        (["missing.mid"], "; mid, midi), and no pattern that matches"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch, capsys, invented) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.mid").write_bytes(b"RIFF" + bytes(40))
    write_midi(compose("jazz", 0, seconds=4.0), tmp_path / "good.mid")
    assert main(["plot", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
