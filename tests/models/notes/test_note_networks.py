"""Networks on notes: what they read equals what they are trained on; what sounded before; sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from musicgen_cls.models.notes.base import Conditions, NoteNetwork, conditions_of, density_class
from musicgen_cls.models.notes.fields import LENGTHS, SIZES, before_first, columns_of, duration_class, velocity_of
from musicgen_cls.models.notes.form import LAGS, look_back
from musicgen_cls.models.notes.markov import NoteMarkov
from musicgen_cls.models.notes.rnn import NoteRNN
from musicgen_cls.models.notes.sample import Settings, Wanted, generate, matrix_of, pick
from musicgen_cls.models.notes.transformer import NoteTransformer, rotated
from musicgen_cls.notes.score import NOTE, Notes, notes_of

NETWORKS: dict[str, Callable[[], NoteNetwork]] = {
    "transformer": lambda: NoteTransformer(2, dim=32, layers=2, heads=4, dropout=0.0),
    "transformer without lags": lambda: NoteTransformer(2, dim=32, layers=1, heads=2, dropout=0.0, lags=False),
    "rnn": lambda: NoteRNN(2, dim=24, layers=1),
    "markov": lambda: NoteMarkov(2, buckets=1 << 16),
}


def piece(seed: int = 0, bars: int = 6) -> Notes:
    """Random chords and drums."""
    rng = np.random.default_rng(seed)
    onset = np.sort(rng.integers(0, bars * 16, 80)) * 3
    return notes_of(
        onset=onset, duration=rng.integers(1, 60, 80), place=onset % 48, bar=48, tempo=100, key=0,
        family=rng.integers(0, 3, 80), pitch=rng.integers(36, 80, 80), velocity=rng.integers(1, 127, 80),
    )  # fmt: skip


def tokens(*pieces: Notes) -> Tensor:
    length = min(map(len, pieces))
    return torch.from_numpy(np.stack([matrix_of(one[:length]) for one in pieces]))


def made(name: str) -> NoteNetwork:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    if isinstance(network, NoteMarkov):
        network.train()
        notes = tokens(piece(5), piece(6))
        network.bits(notes, conditions_of(notes, torch.tensor([0, 1])))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_reading_note_by_note_gives_the_costs_of_training(name: str) -> None:
    network, notes = made(name), tokens(piece(1), piece(2))
    conditions = conditions_of(notes, torch.tensor([0, 1]))
    bits, own = network.bits(notes, conditions), columns_of(notes)
    reader = network.reader(conditions, torch.zeros(2, dtype=torch.int64), torch.full((2,), 48))
    for row in range(notes.shape[1]):
        chosen: dict[str, Tensor] = {}
        for number, field in enumerate(SIZES):
            chosen_class = getattr(own, field)[:, row]
            cost = -reader.logits(field, chosen).log_softmax(-1).gather(1, chosen_class[:, None])[:, 0] / math.log(2)
            assert torch.allclose(cost, bits[:, row, number], atol=1e-4)
            chosen[field] = chosen_class
            chosen |= {"onset": own.onset[:, row], "place": own.place[:, row]}
        reader.read(own.part(slice(row, row + 1)))


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_a_note_costs_the_same_whatever_follows(name: str) -> None:
    network, notes = made(name), tokens(piece(1))
    conditions = Conditions(torch.tensor([0]), torch.tensor([100]), torch.tensor([48]), torch.tensor([0]),
                            torch.ones(1, 12), torch.tensor([4.0]))  # fmt: skip
    whole = network.bits(notes, conditions)
    assert torch.allclose(network.bits(notes[:, :30], conditions), whole[:, :30], atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_the_probabilities_of_a_field_add_up_to_one(name: str) -> None:
    network = made(name)
    nothing = torch.tensor([-1])
    conditions = Conditions(nothing, nothing * 0, torch.tensor([48]), nothing, torch.zeros(1, 12), torch.zeros(1))
    total = network.reader(conditions, nothing * 0, torch.tensor([48])).logits("step", {}).softmax(-1).sum()
    assert float(total) == pytest.approx(1.0, abs=1e-5)


def test_what_sounded_a_bar_ago() -> None:
    """Bass on 1, drum on 1 and 3; in the second bar the same, then a look at the third bar."""
    onset = [0, 0, 24, 48, 48, 72]
    notes = notes_of(onset=onset, duration=12, place=[o % 48 for o in onset], bar=48, tempo=100, key=0,
                     family=[0, 1, 0, 0, 1, 0], pitch=[36, 40, 38, 36, 40, 38], velocity=80)  # fmt: skip
    own = columns_of(torch.from_numpy(matrix_of(notes))[None])
    last, everything = own.part(slice(-1, None)), torch.tensor([6])
    looked = look_back(own, last, torch.tensor([[96]]), everything)
    steps = looked.step[0, 0]  # [lags, STEPS]
    assert steps[LAGS.index(1)].nonzero().flatten().tolist() == [24]  # the next event a bar ago came after 24 steps
    assert steps[LAGS.index(2)].nonzero().flatten().tolist() == [24]
    assert looked.family()[0, 0, LAGS.index(1)].nonzero().flatten().tolist() == [0, 1]
    bass = torch.tensor([[1]])
    assert looked.pitch(bass)[0, 0, LAGS.index(1)].nonzero().flatten().tolist() == [40]
    assert looked.matched(bass, torch.tensor([[40]])).tolist() == [[[1.0, 1.0, 0.0, 0.0]]]
    assert looked.matched(bass, torch.tensor([[41]])).sum() == 0
    durations = looked.of_same("duration", bass, torch.tensor([[40]]))[0, 0, 0]
    assert durations.nonzero().flatten().tolist() == [LENGTHS.index(12)]


def test_only_what_can_follow_within_an_onset_counts() -> None:
    """After the drum at the same onset a bar later, the bass is to come and the drum is not."""
    onset = [0, 0, 48]
    notes = notes_of(onset=onset, duration=12, place=0, bar=48, tempo=100, key=0, family=[0, 1, 0],
                     pitch=[36, 40, 36], velocity=80)  # fmt: skip
    own = columns_of(torch.from_numpy(matrix_of(notes))[None])
    looked = look_back(own, own.part(slice(-1, None)), torch.tensor([[48]]), torch.tensor([3]))
    assert looked.step[0, 0, 0].nonzero().flatten().tolist() == [0]
    assert looked.family()[0, 0, 0].nonzero().flatten().tolist() == [1]


def test_what_sounded_bars_ago_is_what_a_search_of_all_notes_finds() -> None:
    random = np.random.default_rng(1)
    steps, families, pitches = (random.integers(0, most, 60) for most in (4, 3, 5))
    keys = sorted({(int(o), int(f), int(p)) for o, f, p in zip(steps.cumsum(), families, pitches, strict=True)})
    onset, family, pitch = (list(column) for column in zip(*keys, strict=True))
    notes = notes_of(onset=onset, duration=[1 + p for p in pitch], place=[o % 8 for o in onset], bar=8, tempo=100,
                     key=0, family=family, pitch=pitch, velocity=80)  # fmt: skip
    rows = torch.from_numpy(matrix_of(notes))[None]
    rows = torch.cat([rows, rows[:, -1:] * 0], dim=1)  # a window that is filled up
    own = columns_of(rows).part(slice(None, -1))
    start = before_first(torch.tensor([0]), torch.tensor([8]))
    looked = look_back(columns_of(rows), start.joined(own.part(slice(None, -1))), own.onset, torch.arange(len(keys)))
    found = {
        "family": looked.family(),
        "pitch": looked.pitch(own.family),
        "duration": looked.of_same("duration", own.family, own.pitch),
        "matched": looked.matched(own.family, own.pitch),
        "step": looked.step,
    }
    for n, (o, f, p) in enumerate(keys):
        before = keys[n - 1] if n else (0, 0, -1)
        for place, lag in enumerate(LAGS):
            begun = [(a + 8 * lag, b, c) for a, b, c in keys[:n]]
            next_ones = [key for key in begun if key > before]
            at = [key for key in next_ones if key[0] == o]
            wanted = {
                "family": {key[1] for key in at},
                "pitch": {key[2] for key in at if key[1] == f},
                "duration": {int(duration_class(torch.tensor(1 + p)))} if (o, f, p) in at else set(),
                "step": {min(next_ones)[0] - before[0]} if next_ones else set(),
            }
            for name, classes in wanted.items():
                assert set(found[name][0, n, place].nonzero().flatten().tolist()) == classes, (n, lag, name)
            assert found["matched"][0, n, place] == ((o, f, p) in at)


def test_durations_and_velocities_are_their_nearest_classes() -> None:
    assert [LENGTHS[int(c)] for c in duration_class(torch.tensor([1, 12, 13, 40, 255]))] == [1, 12, 12, 42, 192]
    assert velocity_of([0, 7]) == [8, 120]


def test_rotation_depends_on_the_difference_of_positions_only() -> None:
    query, key = torch.randn(2, 1, 4, 1, 8)
    at = torch.tensor([[[3.0], [5.0]]])

    def product(shift: float) -> Tensor:
        return (rotated(query, at + shift) * rotated(key, at * 2 + shift)).sum(-1)

    assert torch.allclose(product(0.0), product(37.0), atol=1e-4)
    assert torch.allclose(rotated(query, at).norm(dim=-1), query.norm(dim=-1), atol=1e-5)


def conditions(batch: int, bar: int = 48) -> Conditions:
    one = torch.ones(batch, dtype=torch.int64)
    return Conditions(one * 0, one * 120, one * bar, one * 0, torch.ones(batch, 12), one * 3.0)


@pytest.mark.parametrize("name", NETWORKS)
def test_pieces_can_be_played(name: str) -> None:
    found = generate(made(name), [np.zeros(0, NOTE)] * 2, conditions(2, 36), [720] * 2, [1, 2], Settings())
    again = generate(made(name), [np.zeros(0, NOTE)], conditions(1, 36), [720] * 1, [2], Settings())
    assert np.array_equal(found[1], again[0])  # a piece does not depend on the others
    assert not np.array_equal(found[0], found[1])
    for notes in found:
        assert len(notes) > 3
        assert notes["onset"].max() < 720
        assert np.array_equal(notes["place"], notes["onset"] % 36)
        assert (notes["duration"] > 0).all()
        assert np.array_equal(notes, np.sort(notes, order=["onset", "family", "pitch"]))
        assert len(np.unique(notes[["onset", "family", "pitch"]])) == len(notes)
        assert np.unique(notes["onset"], return_counts=True)[1].max() <= 13
        ends = notes["onset"].astype(int) + notes["duration"]
        assert np.unique(notes["onset"] // 12, return_counts=True)[1].max() <= 48
        for key in np.unique(notes[["family", "pitch"]]):
            own = notes[["family", "pitch"]] == key
            assert (ends[own][:-1] <= notes["onset"][own][1:]).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prompt_is_kept_and_continued(name: str) -> None:
    prompt = piece(3, bars=2)
    found = generate(made(name), [prompt], conditions(1), [192] * 1, [0], Settings(0.9, 0.9))[0]
    assert np.array_equal(found[["onset", "family", "pitch"]][: len(prompt)], prompt[["onset", "family", "pitch"]])
    assert len(found) > len(prompt)


def test_each_piece_has_its_own_end() -> None:
    long, short = generate(made("rnn"), [np.zeros(0, NOTE)] * 2, conditions(2), [960, 96], [1, 2], Settings())
    assert short["onset"].max() < 96 < 860 < long["onset"].max() < 960


def test_the_shortest_piece_has_a_note() -> None:
    found = generate(made("transformer"), [np.zeros(0, NOTE)] * 8, conditions(8), [1] * 8, range(8), Settings())
    assert all(len(piece) and not piece["onset"].any() for piece in found)


def test_a_piece_begins_within_its_first_beat() -> None:
    found = generate(made("rnn"), [np.zeros(0, NOTE)] * 16, conditions(16), [96] * 16, range(16), Settings())
    assert max(int(piece["onset"][0]) for piece in found) < 12


def test_only_the_instruments_that_are_asked_for_play() -> None:
    families = torch.zeros(2, 12)
    families[0, [2, 5]] = 1.0  # the second piece leaves them out
    wanted = replace(conditions(2), families=families)
    found = generate(made("rnn"), [np.zeros(0, NOTE)] * 2, wanted, [480, 480], [0, 1], Settings())
    assert set(found[0]["family"]) == {2, 5}
    assert len(set(found[1]["family"])) > 2


@torch.inference_mode()
def test_a_long_piece_is_read_again_from_its_last_notes() -> None:
    """A context of 40 notes: after the 41st the network reads its last 20 notes as if a window began there."""
    network = NoteTransformer(2, dim=32, layers=1, heads=2, dropout=0.0, context=40).eval()
    notes = tokens(piece(1))
    own, state = columns_of(notes), conditions_of(notes, torch.tensor([0]))
    reader = network.reader(state, torch.zeros(1, dtype=torch.int64), torch.full((1,), 48))
    for row in range(41):
        reader.read(own.part(slice(row, row + 1)))
    assert reader.length == 20
    assert reader.past.onset.shape[1] == 42  # what sounded some bars ago is still known


def test_guidance_of_one_changes_nothing_and_more_does() -> None:
    network, empty = made("transformer"), [np.zeros(0, NOTE)]
    plain = generate(network, empty, conditions(1), [96] * 1, [0], Settings())[0]
    assert not np.array_equal(plain, generate(network, empty, conditions(1), [96] * 1, [0], Settings(guidance=3.0))[0])


def test_drawing_follows_the_probabilities_and_top_p() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    random = [torch.Generator().manual_seed(0)]
    drawn = torch.bincount(torch.cat([pick(logits, 1.0, random) for _ in range(2000)]), minlength=3) / 2000
    assert torch.allclose(drawn, torch.tensor([0.5, 0.3, 0.2]), atol=0.04)
    assert {int(pick(logits, 0.6, random)) for _ in range(200)} == {0, 1}
    assert {int(pick(logits, 0.4, random)) for _ in range(50)} == {0}


def test_counts_make_a_note_cheaper() -> None:
    network = NoteMarkov(2, buckets=1 << 16)
    notes = tokens(piece(1))
    state = conditions_of(notes, torch.tensor([0]))
    network.train()
    before = network.bits(notes, state).sum()
    after = network.eval().bits(notes, state).sum()
    assert after < 0.5 * before
    assert torch.equal(network.bits(notes, state).sum(), after)  # evaluation counts nothing


def test_conditions_that_are_left_out_do_not_matter() -> None:
    network, notes = made("transformer"), tokens(piece(1))
    state = conditions_of(notes, torch.tensor([0]))
    other = Conditions(state.genre + 1, state.tempo * 2, state.bar - 12, 1 - state.minor, 1 - state.families,
                       state.density * 2)  # fmt: skip
    with torch.inference_mode():
        assert not torch.allclose(network.bits(notes, state), network.bits(notes, other))
        assert torch.equal(network.bits(notes, state.nothing()), network.bits(notes, other.nothing()))


def test_the_density_of_a_window() -> None:
    notes = tokens(piece(1))
    beats = float(notes[0, -1, 0] - notes[0, 0, 0]) / 12
    assert conditions_of(notes, torch.tensor([0])).density.tolist() == pytest.approx([80 / beats])
    filled = torch.cat([notes, torch.zeros(1, 40, 9, dtype=torch.int64)], dim=1)
    filled[:, 80:, 0] = notes[:, -1:, 0]  # as a short window is filled up
    assert conditions_of(filled, torch.tensor([0])).density.tolist() == pytest.approx([80 / beats])
    classes = density_class(torch.tensor([0.0, 0.01, 1.0, 3.0, 7.0, 1000.0]))
    assert classes.tolist() == [0, 1, 2, 4, 6, 12]


def test_a_start_is_no_note() -> None:
    start = before_first(torch.tensor([96]), torch.tensor([48]))
    assert not start.real.any()
    assert int(start.order) == -1


def test_an_empty_prompt_is_the_default() -> None:
    assert len(Wanted(0, 120, 48, False, ()).prompt) == 0
