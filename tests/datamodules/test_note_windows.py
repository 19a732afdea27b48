"""Windows of notes: what a batch has, keys, sides, and what a checkpoint keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen_cls.datamodules.note_tokens import Louder, ToC, Transposed, unpacked
from musicgen_cls.datamodules.notes import NoteWindows, preset_of
from musicgen_cls.errors import CheckpointError, SourceError, UsageError
from musicgen_cls.models.notes.fields import COLUMNS
from musicgen_cls.notes.midi import read_midi, write_midi
from musicgen_cls.notes.score import NOTE, Notes, moved_back, notes_of, transposed
from musicgen_cls.sources.midi_folder import MidiFolder

KEY, PITCH, VELOCITY = COLUMNS.index("key"), COLUMNS.index("pitch"), COLUMNS.index("velocity")


def song(seed: int, notes: int = 100) -> Notes:
    """A melody in C major that no other seed has, with a drum on each beat."""
    rng = np.random.default_rng(seed)
    onset = np.arange(notes) * 6
    pitch = rng.choice([60, 62, 64, 65, 67, 69, 71, 72], notes)
    pitch[::4] = 60
    both = {"onset": np.tile(onset, 2), "place": np.tile(onset % 48, 2)}
    return notes_of(**both, duration=5, bar=48, tempo=100 + seed, key=0, velocity=rng.integers(20, 120, 2 * notes),
                    family=np.repeat([2, 0], notes), pitch=np.concatenate([pitch, np.full(notes, 36)]))  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight jazz songs and six shorter folk songs; jazz 7 is jazz 6 four semitones higher."""
    root = tmp_path_factory.mktemp("windows") / "midi"
    for genre, count, notes in (("jazz", 8, 100), ("folk", 6, 30)):
        (root / genre).mkdir(parents=True)
        for number in range(count):
            piece = song(10 * len(genre) + number, notes) if number != 7 else transposed(song(46), 4)
            write_midi(piece, root / genre / f"{'abcdefgh'[number] * 3}.mid")
    return root


def windows(folder: Path, tmp_path: Path, **settings: object) -> NoteWindows:
    more = {
        "notes": 64,
        "batch_size": 4,
        "fractions": (0.5, 0.25, 0.25),
        "cache_dir": str(tmp_path / "cache"),
        **settings,
    }
    data = NoteWindows(MidiFolder(str(folder)), **more)  # type: ignore[arg-type]
    data.prepare_fit()
    return data


def test_a_batch_has_the_notes_of_the_files(folder: Path, tmp_path: Path) -> None:
    data = windows(folder, tmp_path, to_c=False)
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    assert set(batch) >= {"tokens", "genre", "track", "index"}
    assert batch["tokens"].shape[1:] == (64, 9)
    assert data.collection is not None
    track = data.collection.tracks[int(batch["track"][0])]
    notes = read_midi(track.path)[:64]
    found = batch["tokens"][0, : len(notes)]
    for column, name in enumerate(COLUMNS):
        assert torch.equal(found[:, column], torch.from_numpy(notes[name].astype("i8"))), name
    assert data.genres[int(batch["genre"][0])] == track.genre


def test_a_window_beyond_the_end_of_a_piece_is_filled_up(folder: Path, tmp_path: Path) -> None:
    data = windows(folder, tmp_path, genres=["folk"], notes=80)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    real = batch["tokens"][..., VELOCITY] > 0
    assert real.sum(1).tolist() == [60] * len(real)
    assert (batch["tokens"][:, 60:, 0] == batch["tokens"][:, 59:60, 0]).all()  # time does not go back


def test_versions_of_a_tune_are_on_one_side(folder: Path, tmp_path: Path) -> None:
    data = windows(folder, tmp_path)
    assert data.collection is not None
    rows = {track.path.stem: row for row, track in enumerate(data.collection.tracks) if track.genre == "jazz"}
    sides = [{side for side, own in data.windows.items() if rows[name] in own.track} for name in ("ggg", "hhh")]
    assert sides[0] == sides[1] != set()
    assert data.grouped(data.collection)


def test_small_genres_come_as_often_in_training(folder: Path, tmp_path: Path) -> None:
    data = windows(folder, tmp_path)
    assert len(set(np.bincount(data.windows["train"].genre))) == 1
    plain = windows(folder, tmp_path, balance=False)
    assert len(set(np.bincount(plain.windows["train"].genre))) == 2
    assert np.array_equal(plain.windows["test"].start, data.windows["test"].start)


def test_training_windows_are_elsewhere_in_each_epoch(folder: Path, tmp_path: Path) -> None:
    data = windows(folder, tmp_path, genres=["jazz"])
    batches = [next(iter(data.train_dataloader()))["x"] for _ in range(2)]
    sampler = data.train_dataloader().sampler
    sampler.set_epoch(1)  # type: ignore[attr-defined]
    assert torch.equal(batches[0], batches[1])
    assert list(sampler) != list(data.train_dataloader().sampler)


def packed(*pieces: Notes) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.frombuffer(piece.tobytes(), np.uint8).reshape(-1, 12) for piece in pieces]))


def test_onsets_are_counted_from_the_first_bar_of_a_window() -> None:
    piece = song(1)
    piece["onset"] += 48 * 100_000  # four bytes
    tokens = unpacked(packed(piece[9:30]))[0]
    assert int(tokens[0, 0]) == int(piece["place"][9])
    assert torch.equal(tokens.diff(dim=0)[:, 0], torch.from_numpy(np.diff(piece["onset"][9:30])).long())


@pytest.mark.parametrize(("tonic", "moved"), [(0, 0), (5, -5), (6, -6), (7, 5), (11, 1)])
def test_pieces_move_to_c_by_at_most_six_semitones(tonic: int, moved: int) -> None:
    piece = song(1)
    piece["key"] = tonic + 12
    tokens = ToC()(unpacked(packed(piece)))[0]
    assert set(tokens[:, KEY].tolist()) == {12}
    pitched = torch.from_numpy(piece["family"] > 0)
    shift = tokens[:, PITCH] - torch.from_numpy(piece["pitch"].astype("i8"))
    assert set(shift[pitched].tolist()) == {moved}
    assert set(shift[~pitched].tolist()) == {0}


def test_a_window_that_does_not_fit_moves_the_other_way_or_stays() -> None:
    """Notes of one onset stay in the order of their pitches, else a network would find them impossible."""
    for pitches, expected in (([2, 60], 6), ([60, 126], -6), ([2, 126], 0)):
        piece = notes_of(onset=[0, 0], duration=6, place=0, bar=48, tempo=100, key=6, family=2, pitch=pitches,
                         velocity=80)  # fmt: skip
        tokens = ToC()(unpacked(packed(piece)))[0]
        assert tokens[:, PITCH].tolist() == [pitch + expected for pitch in pitches]
        assert set(tokens[:, KEY].tolist()) == {(6 + expected) % 12}
        found = transposed(piece, -6)
        assert found["pitch"].tolist() == tokens[:, PITCH].tolist()
        assert found["key"].tolist() == tokens[:, KEY].tolist()


def test_random_changes_keep_what_they_do_not_change() -> None:
    torch.manual_seed(0)
    tokens = unpacked(packed(song(1), song(2)))
    tokens[1, 150:] = 0
    louder, moved = Louder()(tokens), Transposed()(tokens)
    others = [column for column in range(9) if column != VELOCITY]
    assert torch.equal(louder[..., others], tokens[..., others])
    assert ((louder[..., VELOCITY] > 0) == (tokens[..., VELOCITY] > 0)).all()
    assert not torch.equal(louder, tokens)
    others = [column for column in range(9) if column not in (KEY, PITCH)]
    assert torch.equal(moved[..., others], tokens[..., others])
    assert (moved[1, 150:] == 0).all()


def test_a_checkpoint_knows_what_training_pieces_are_like(folder: Path, tmp_path: Path) -> None:
    data = windows(folder, tmp_path)
    state = data.state_dict()
    assert set(state["presets"]) == {"folk", "jazz"}
    other = NoteWindows(genres=["folk", "jazz"], genre="folk", samples_per_prompt=2)
    other.load_state_dict(state)
    (batch,) = list(other.predict_dataloader())
    assert [one.genre for one in batch["wanted"]] == [0, 0]
    assert all((one.tempo, one.bar, one.families) in {(p[0], p[1], (0, 2)) for p in state["presets"]["folk"]}
               for one in batch["wanted"])  # fmt: skip


def test_a_prompt_of_low_notes_comes_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    data = windows(folder, tmp_path)
    low = transposed(song(1), 6 - int(song(1)["key"][0]))
    low["pitch"][low["family"] != 0] -= low["pitch"][low["family"] != 0].min()
    wanted, back = data.wanted("folk", low, 0)
    assert np.array_equal(moved_back(wanted.prompt, back)["pitch"], low["pitch"])


@pytest.mark.parametrize(
    "presets",
    [
        None,
        {"folk": [(120, 48, 0, 1)]},
        {"folk": [(120, 48, 0, 1, "dense")]},
        [1],
        {1: []},
        {"folk": [(0, 48, 0, 1, 2.0)]},
    ],
)
def test_a_checkpoint_with_other_training_pieces(folder: Path, tmp_path: Path, presets: object) -> None:
    state = windows(folder, tmp_path).state_dict() | {"presets": presets}
    with pytest.raises(CheckpointError, match="its training pieces are not described as in this version"):
        NoteWindows(genres=["folk", "jazz"]).load_state_dict(state)


def test_a_preset_is_what_most_notes_have() -> None:
    piece = song(1)
    piece["tempo"][:20], piece["family"][:2] = 60, 5
    tempo, bar, key, families, density = preset_of(piece, 40)
    assert (tempo, bar, key, families) == (101, 48, 0, 0b101)
    assert density == pytest.approx(40 / ((int(piece["onset"][39]) - int(piece["onset"][0])) / 12))


def test_a_prompt_has_the_first_bars_from_the_bar_of_the_first_note(folder: Path, tmp_path: Path) -> None:
    late = song(1)
    late["onset"] += 96 + 6
    late["place"] = late["onset"] % 48
    late = transposed(late, 3)
    write_midi(late, tmp_path / "late.mid")
    data = NoteWindows(genres=["folk"], files=[str(tmp_path / "late.mid")], prompt_bars=2)
    (batch,) = list(data.predict_dataloader())
    prompt = batch["wanted"][0].prompt
    assert prompt.dtype == NOTE
    assert int(prompt["onset"][0]) == 6
    assert int(prompt["onset"].max()) < 96
    assert batch["back"] == [int(late["key"][0] % 12) if late["key"][0] % 12 <= 6 else int(late["key"][0] % 12) - 12]


def test_bad_settings(folder: Path) -> None:
    for settings, reason in (
        ({"notes": 15}, "16 notes or more"),
        ({"transpose": True}, "--data.to_c false"),
        ({"genre": "polka"}, "no such genre"),
        ({"windows_per_track": 0}, "windows_per_track"),
    ):
        with pytest.raises(UsageError, match=reason):
            NoteWindows(MidiFolder(str(folder)), **settings)  # type: ignore[arg-type]
    data = NoteWindows(MidiFolder(str(folder)), genres=["folk", "polka"])
    with pytest.raises(SourceError, match="polka"):
        data.prepare_fit()
