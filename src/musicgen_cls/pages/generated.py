"""Generated recordings as one self-contained page: players, spectrograms, loudness."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls import plots
from musicgen_cls.audio.io import stream
from musicgen_cls.audio.mel import mel_levels
from musicgen_cls.errors import counted
from musicgen_cls.formats.generations import Continuation, training_warning
from musicgen_cls.pages.page import embedded_image, embedded_sound, write_page

PAGE = "index.html"
SHOWN, PLAYED_S, PAGE_BYTES = 60, 30, 16_000_000
"""The limits of a page: recordings, seconds of each, and bytes of sound and images."""

_COLUMNS, _BANDS, _RANGE_DB = 600, 64, 70.0  # of a spectrogram
_LOUDNESS_DB = 60  # height of a curve


def write_generated_page(folder: Path, lines: Sequence[Continuation], settings: dict[str, Any]) -> Path:
    """Write `index.html` into a folder of generated music.

    Args:
        folder: folder of the recordings.
        lines: a line about each recording, in order; lines without a file are skipped.
        settings: the settings of the generation, as in `generation.json`.

    Returns:
        The path of the page.
    """
    there = [line for line in lines if (folder / line.file).is_file()]
    loudest = max((max(line.loudness_db) for line in there), default=0.0)
    top = min(10 * (loudest // 10 + 1), 0.0)
    samples: dict[
        tuple[str, str], list[int]
    ] = {}  # positions of the recordings that continue each prompt in each genre
    for line in there:
        samples.setdefault((line.prompt, line.genre), []).append(line.position)
    cards: dict[str, list[dict[str, Any]]] = {line.genre: [] for line in sorted(there, key=lambda line: line.genre)}
    size = 0
    for line in _in_turns(there, SHOWN):
        card = _card(folder, line, top, samples[line.prompt, line.genre])
        if size + (more := sum(len(card[part]) for part in ("sound", "mel", "roll"))) > PAGE_BYTES and size:
            break
        cards[line.genre].append(card)
        size += more
    counts = {genre: sum(line.genre == genre for line in there) for genre in cards}
    shown = sum(map(len, cards.values()))
    steps = there[0].steps if there else None
    write_page(
        folder / PAGE,
        "generated.html",
        folder=folder.resolve().name,
        facts=_facts(there, settings),
        warning=training_warning(steps, there[0].LEAST_STEPS) if steps is not None else "",
        genres=[(genre, counts[genre], counts[genre] - len(part), part) for genre, part in cards.items()],
        shown=shown,
        prompted=any(line.prompt for line in there),
        total=counted(len(there), "recording"),
        hidden=len(there) - shown,
        most=(SHOWN, PLAYED_S, PAGE_BYTES // 1_000_000),
        decibels=(top, top - _LOUDNESS_DB),
    )
    return folder / PAGE


def _in_turns(lines: Sequence[Continuation], most: int) -> Iterable[Continuation]:
    """At most `most` recordings, taken from the genres in turn."""
    by_genre: dict[str, list[Continuation]] = {}
    for line in lines:
        by_genre.setdefault(line.genre, []).append(line)
    turns = [line for turn in zip_longest(*by_genre.values()) for line in turn if line is not None]
    return turns[:most]


def _facts(lines: Sequence[Continuation], settings: dict[str, Any]) -> dict[str, Any]:
    """Facts that all recordings share, by name."""
    if not lines:
        return {}
    first = lines[0]
    known = first.steps is not None and first.epochs is not None
    training = f"{counted(first.steps or 0, 'step')}, {counted(first.epochs or 0, 'epoch')}" if known else "unknown"
    prompts = len({line.prompt for line in lines if line.prompt})
    of_prompts = f" from {counted(prompts, 'prompt')}" if prompts else ""
    minutes = sum(line.seconds for line in lines) / 60
    return {
        "Checkpoint": first.checkpoint,
        "Trained for": training,
        "Random seed": settings["seed"],
        "Recordings": f"{len(lines)}{of_prompts}, {minutes:.1f} min at {first.sample_rate:,} Hz",
        "Prompt": f"the first {first.context_seconds:.3g} s of each" if first.context_seconds else "none",
        "Sampling": f"temperature {settings['temperature']:g}, top-p {settings['top_p']:g}",
    }


def _card(folder: Path, line: Continuation, top_db: float, positions: Sequence[int]) -> dict[str, Any]:
    """The values of a recording on the page: sound, spectrogram, loudness."""
    waveform = _start(folder / line.file, line.sample_rate)
    played_s = len(waveform) / line.sample_rate
    roll = (folder / line.file).with_suffix(".roll.png")
    mel = mel_levels(waveform, line.sample_rate, _BANDS, _COLUMNS)
    return {
        "name": Path(line.file).name,
        "prompt": line.prompt,
        "prompt_name": Path(line.prompt).name,
        "sample": f"sample {positions.index(line.position) + 1} of {len(positions)}" if len(positions) > 1 else "",
        "sound": embedded_sound(waveform, line.sample_rate, compress=True),
        "mel": embedded_image(plots.pixels(mel, float(mel.max()) - _RANGE_DB, float(mel.max()))),
        "roll": embedded_image(roll.read_bytes())
        if (roll := (folder / line.file).with_suffix(".roll.png")).is_file()
        else "",
        "top_hz": line.sample_rate / 2,
        "played_s": played_s,
        "seconds": line.seconds,
        "prompt_of_played": _percent(line.context_seconds, played_s),
        "prompt_of_all": _percent(line.context_seconds, line.seconds),
        "curve": _curve(line.loudness_db, line.seconds, top_db),
        "loudness": f"{line.loudness_db[0]:.0f} dB in the first second, {line.loudness_db[-1]:.0f} dB in the last",
    }


def _start(path: Path, sample_rate: int) -> npt.NDArray[np.float32]:
    """The first seconds of a recording, `[samples]`."""
    blocks: list[npt.NDArray[np.float32]] = []
    for block in stream(path, sample_rate):
        blocks.append(block)
        if sum(map(len, blocks)) >= PLAYED_S * sample_rate:
            break
    return np.concatenate(blocks)[: PLAYED_S * sample_rate]


def _percent(part_s: float, whole_s: float) -> str:
    return f"{100 * min(part_s / whole_s, 1.0):.2f}"


def _curve(decibels: Sequence[float], seconds: float, top_db: float) -> str:
    """Loudness by second as the points of a line that fills a box of 100 by 100."""
    times = [min(second + 0.5, (second + seconds) / 2) for second in range(len(decibels))]
    points = [(0.0, decibels[0]), *zip(times, decibels, strict=True), (seconds, decibels[-1])]
    return " ".join(
        f"{100 * time / seconds:.2f},{100 * min(max((top_db - level) / _LOUDNESS_DB, 0.0), 1.0):.1f}"
        for time, level in points
    )
