"""Parts of the page that `musiccli listen` opens: the genres of a song, a continuation, a message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicgen_cls import plots
from musicgen_cls.audio.spectra import Floats
from musicgen_cls.pages.page import embedded_image, rendered
from musicgen_cls.tasks.timeline import Timeline

LINES = 5  # genres with a line in the timeline, and a colour
_RANGE_DB = 80.0


@dataclass(frozen=True)
class Player:
    """A sound with its spectrogram.

    Attributes:
        title: one line.
        sound: address of the sound.
        seconds: its length, s.
        mel: dB, `[n_mels, columns]`.
        top_hz: highest frequency of the spectrogram, Hz.
        prompt_s: length of the prompt at the start, s; 0 without one.
    """

    title: str
    sound: str
    seconds: float
    mel: Floats
    top_hz: float
    prompt_s: float = 0.0

    @property
    def image(self) -> str:
        """The spectrogram as the data URL of an image."""
        top = float(self.mel.max())
        return embedded_image(plots.pixels(self.mel, top - _RANGE_DB, top))


def answer_html(
    model: str, ranked: Sequence[tuple[str, float]], threshold: float, genres: Sequence[str], line: Timeline,
    player: Player,
) -> str:  # fmt: skip
    """The genres of a song: the most probable one, a table of all, and a player with their probabilities over time.

    Args:
        model: name of the network.
        ranked: genres and mean probabilities, the most probable first.
        threshold: below it, the network is unsure.
        genres: names in label order.
        line: probabilities over time.
        player: the song.
    """
    shown = [genre for genre, _ in ranked[:LINES]]
    return rendered(
        "listen_answer.html",
        model=model,
        best=ranked[0],
        sure=ranked[0][1] >= threshold,
        threshold=threshold,
        rows=[(genre, share, number if number < LINES else None) for number, (genre, share) in enumerate(ranked)],
        curves=[
            (number, genre, _points(line, genres.index(genre), player.seconds)) for number, genre in enumerate(shown)
        ],
        line=json.dumps(_as_lists(line, genres, threshold)),
        player=player,
        clock=clock,
    )


def continued_html(model: str, genre: str, players: Sequence[Player], roll: str = "", score: str = "") -> str:
    """A prompt and its continuation, each with a player.

    Args:
        model: name of the generator.
        genre: genre of the continuation.
        players: the sounds.
        roll: data URL of the piano roll of generated notes.
        score: address of their MIDI file.
    """
    return rendered(
        "listen_continued.html", model=model, genre=genre, players=players, clock=clock, roll=roll, score=score
    )


def message_html(message: str) -> str:
    """A message in place of an answer; screen readers read it at once."""
    return rendered("listen_message.html", message=message)


def clock(seconds: float) -> str:
    """A time as minutes and seconds, such as 3:07; below ten seconds as 0.9 s."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _points(line: Timeline, genre: int, seconds: float) -> str:
    """The probabilities of a genre as the points of a line in a box of 100 by 100, over the whole length."""
    middles = np.clip((line.start_s + line.end_s) / 2, 0, seconds)
    times = [0.0, *middles.tolist(), seconds]
    values = line.probabilities[:, genre].tolist()
    values = [values[0], *values, values[-1]]
    return " ".join(f"{100 * t / seconds:.2f},{100 - 100 * p:.2f}" for t, p in zip(times, values, strict=True))


def _as_lists(line: Timeline, genres: Sequence[str], threshold: float) -> dict[str, object]:
    """The timeline for the script of the page."""
    return {
        "genres": list(genres),
        "threshold": threshold,
        "middle": np.round((line.start_s + line.end_s) / 2, 3).tolist(),
        "probabilities": np.round(line.probabilities, 4).tolist(),
    }
