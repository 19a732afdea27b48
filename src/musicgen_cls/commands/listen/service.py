"""What happens when a user of the page does something; it knows no Gradio.

Each session has a folder for its song and for the sounds that the page plays. It is deleted when the session ends.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from musicgen_cls import plots
from musicgen_cls.audio.io import Waveform
from musicgen_cls.commands.listen.answer import RATE, Limits, Song, answer, continued, mel, write_sound
from musicgen_cls.commands.listen.models import Choices, NoteMaker
from musicgen_cls.commands.listen.scores import ContinuedScore, continued_score, is_score
from musicgen_cls.errors import MusicClsError, UsageError, one_line
from musicgen_cls.files import safe_name, shown
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.pages.listening import Player, answer_html, continued_html, message_html
from musicgen_cls.pages.page import embedded_png

NO_SONG = "Choose a song first: drop a file, record one, or choose a track of a report."


class Service:
    """Answers the events of the page with parts of the page.

    Args:
        choices: the networks and the reports.
        limits: of a song.
        folder: for the folders of sessions.
    """

    def __init__(self, choices: Choices, limits: Limits, folder: Path) -> None:
        self.choices, self.limits, self.folder = choices, limits, folder

    def take(self, session: str, upload: str) -> Song:
        """Move an uploaded file into the folder of its session; the session's earlier files are deleted."""
        path = Path(upload)
        self.forget(session)
        place = self._home(session) / "song" / safe_name(path.name)
        place.parent.mkdir(parents=True)
        shutil.move(path, place)
        return Song(place, shown(path.name))

    def track(self, report: str, name: str) -> Song | None:
        """A track of a report; None if its audio was not found."""
        path = self.choices.reports[report].files.get(name)
        return Song(path, name) if path else None

    def tracks(self, report: str) -> list[tuple[str, str]]:
        """A line for each track of a report, mistakes first, and the track's name."""
        tested = self.choices.reports[report]
        lines = []
        for row in tested.tracks:
            right = row.genre == row.predicted
            what = f"✓ {row.genre}" if right else f"✗ {row.genre}, predicted as {row.predicted}"  # words: ignore
            missing = "" if row.track in tested.files else " (no audio here)"
            lines.append((f"{what} · {row.track}{missing}", row.track))
        return lines

    def answer(self, session: str, song: Song | None, model: str) -> tuple[str, str | None]:
        """The genres of a song as a part of the page, and the most probable one; a message if there are none."""
        if song is None:
            return message_html(NO_SONG), None
        if is_score(song):
            return message_html(f"{song.name}: a score; a generator of notes can continue it, below."), None
        try:
            found = answer(song, self.choices.recognisers[model], self.limits)
        except MusicClsError as error:
            return message_html(one_line(error)), None
        folder = self._emptied(session, "answer")
        player = _player(folder, song.name, found.waveform, RATE)
        text = answer_html(model, found.ranked, found.threshold, found.genres, found.line, player)
        return text, found.ranked[0][0]

    def continued(
        self,
        session: str,
        song: Song | None,
        generator: str,
        genre: str,
        start_s: float,
        seconds: float,
        seed: float,
        progress: Callable[[float], None],
    ) -> str:
        """A continuation as a part of the page; a message if there is none."""
        if song is None:
            return message_html(NO_SONG)
        try:
            if not 0 <= seed < 2**31 or seed % 1:
                raise UsageError(f"random seed {seed:g}: must be a whole number from 0 to {2**31 - 1}")
            maker, values = self.choices.generators[generator], (genre, start_s, seconds, int(seed), progress)
            if isinstance(maker, NoteMaker):
                score = continued_score(song, maker, *values)
                return self._score_html(self._emptied(session, "continuation"), song, score, generator, genre)
            found = continued(song, maker, *values)
        except MusicClsError as error:
            return message_html(one_line(error))
        folder = self._emptied(session, "continuation")
        rate, prompt_s = found.sample_rate, len(found.prompt) / found.sample_rate
        players = [
            _player(folder, f"prompt, {prompt_s:g} s of {song.name}", found.prompt, rate),
            _player(folder, f"prompt and continuation, {seconds:g} s", found.whole, rate, prompt_s),
        ]
        return continued_html(generator, genre, players)

    def _score_html(self, folder: Path, song: Song, score: ContinuedScore, generator: str, genre: str) -> str:
        """A continued score: its piano roll, its sound, and its MIDI file."""
        sound, rate = score.sound, score.sample_rate
        prompt = sound.waveform[: round(sound.prompt_s * rate)]
        title = f"prompt and continuation, {len(sound.waveform) / rate:.0f} s"
        players = [_player(folder, title, sound.waveform, rate, sound.prompt_s)]
        if len(prompt):
            players.insert(0, _player(folder, f"prompt, {sound.prompt_s:.1f} s of {song.name}", prompt, rate))
        path = folder / f"{safe_name(Path(song.name).stem)}-continued.mid"
        write_midi(score.notes, path)
        figure = plots.piano_roll(score.notes, f"{generator}, {genre}", sound.prompt_s_of_score or None)
        return continued_html(generator, genre, players, embedded_png(figure), _address(path))

    def forget(self, session: str) -> None:
        """Delete the files of a session."""
        shutil.rmtree(self._home(session), ignore_errors=True)

    def _home(self, session: str) -> Path:
        """The folder of a session; the browser chooses its name, which must not lead to another folder."""
        return self.folder / safe_name(session)

    def _emptied(self, session: str, part: str) -> Path:
        """The folder for the sounds of a part of the page, without those that it no longer shows."""
        folder = self._home(session) / part
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def _player(folder: Path, title: str, waveform: Waveform, rate: int, prompt_s: float = 0.0) -> Player:
    """A player of a waveform, whose sound is written into a folder."""
    path = write_sound(folder / f"{uuid4().hex}.flac", waveform, rate)
    return Player(title, _address(path), len(waveform) / rate, mel(waveform, rate), rate / 2, prompt_s)


def _address(path: Path) -> str:
    """The address of a file that the page serves."""
    return f"gradio_api/file={quote(path.as_posix())}"
