from collections.abc import Callable

import numpy as np
import pytest

from musicgen_cls.errors import UsageError
from musicgen_cls.synth.instruments import Voice
from musicgen_cls.synth.patches import KITS, PATCHES
from musicgen_cls.synth.render import artist_name, generator, render
from musicgen_cls.synth.song import bass_notes, comp_notes, draw_song, lead_notes
from musicgen_cls.synth.styles import GENRES, SCALES, STYLES

RATE = 22050
TRACKS = 12


@pytest.mark.parametrize("genre", GENRES)
def test_same_arguments_give_same_bytes(genre: str) -> None:
    first = render(genre, 3, seed=5, seconds=2)
    assert first.dtype == np.float32
    assert first.tobytes() == render(genre, 3, seed=5, seconds=2).tobytes()


@pytest.mark.parametrize("genre", GENRES)
def test_index_and_seed_change_the_music(genre: str) -> None:
    base = render(genre, 0, seconds=3)
    for other in (render(genre, 1, seconds=3), render(genre, 4, seconds=3), render(genre, 0, seed=1, seconds=3)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.5


def test_genres_differ() -> None:
    waves = np.stack([render(genre, 0, seconds=3) for genre in GENRES])
    between = np.abs(np.corrcoef(waves))[~np.eye(len(GENRES), dtype=bool)]
    assert between.max() < 0.5


@pytest.mark.parametrize("seconds", [0.1, 0.12345, 2.77])
@pytest.mark.parametrize("rate", [4000, 16000, 44100])
def test_any_length_and_rate(seconds: float, rate: int) -> None:
    for genre in GENRES:
        wave = render(genre, 2, seconds=seconds, sample_rate=rate)
        assert wave.shape == (round(seconds * rate),)
        assert np.isfinite(wave).all()
        assert np.abs(wave).max() <= 1
        assert np.std(wave) > 0.01


@pytest.mark.parametrize("genre", GENRES)
def test_no_long_silence_and_no_offset(genre: str) -> None:
    for index in (0, 5):
        wave = render(genre, index, seconds=5)
        half_seconds = wave[: len(wave) // 11025 * 11025].reshape(-1, 11025)
        levels = half_seconds.std(axis=1)
        assert levels.min() > 0.02 * levels.max()
        assert abs(wave.mean()) < 0.02


def test_every_choice_of_every_style_is_sound() -> None:
    for style in STYLES.values():
        for pattern in style.basses + style.comps + tuple(line for groove in style.grooves for line in groove.values()):
            assert len(pattern) == 16
        assert set("".join(style.basses)) <= set(".12345678")
        assert set("".join(style.progressions)) <= set("1234567")
        assert set(style.scales) <= set(SCALES)
        assert set(style.bass_patches + style.comp_patches + style.lead_patches) <= set(PATCHES)
        assert set(style.kits) <= set(KITS)


def test_melody_and_chords_stay_in_the_scale() -> None:
    for genre in GENRES:
        song = draw_song(STYLES[genre], np.random.default_rng(1))
        allowed = {(song.key + step) % 12 for step in song.scale}
        for notes in (bass_notes, comp_notes, lead_notes):
            pitches = [note.pitch for note in notes(song, 10)]
            assert len(set(pitches)) > 1 or notes is bass_notes
            assert {pitch % 12 for pitch in pitches} <= allowed


def test_pitch_of_a_tone() -> None:
    patch = PATCHES["flute"][0]._replace(vibrato=0)
    tone = Voice(patch, 1.0, RATE).tone(69)
    assert np.argmax(np.abs(np.fft.rfft(tone[:RATE]))) == 440


def test_swing_delays_the_second_half_of_the_beat_only() -> None:
    song = draw_song(STYLES["jazz"], np.random.default_rng(0))
    beat = 4 * song.step
    assert song.time(1, 4) == pytest.approx((song.beats + 1) * beat)
    assert song.time(0, 2) == pytest.approx(song.swing * beat)
    assert 0.6 <= song.swing <= 0.68


def test_tracks_of_an_artist_sound_alike() -> None:
    def spectrum(genre: str, index: int) -> np.ndarray:
        power = np.abs(np.fft.rfft(render(genre, index, seconds=4))) ** 2
        edges = np.geomspace(50, len(power), 25).astype(int)
        bands = np.log(np.add.reduceat(power, edges[:-1]))
        return bands - bands.mean()

    same, other = [], []
    for genre in GENRES:
        a, b, c, d = (spectrum(genre, index) for index in (0, 1, 4, 5))
        same += [np.std(a - b), np.std(c - d)]
        other += [np.std(a - c), np.std(b - d)]
    assert np.mean(same) < 0.8 * np.mean(other)


def test_artists() -> None:
    assert [artist_name("blues", index) for index in (0, 3, 4)] == [
        "blues artist 00",
        "blues artist 00",
        "blues artist 01",
    ]


def test_unknown_genre_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'regae' is not one of blues.*'reggae'"):
        render("regae", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": -1}, "index=-1"),
        ({"seed": -2}, "seed=-2"),
        ({"seconds": 0}, "seconds=0"),
        ({"seconds": float("nan")}, "seconds=nan"),
        ({"seconds": float("inf")}, "seconds=inf"),
        ({"sample_rate": 0}, "sample_rate=0"),
    ],
)
def test_impossible_arguments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        render(**({"genre": "jazz", "index": 0} | arguments))  # type: ignore[arg-type]


# --- no single number gives the genre away -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def collection() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Waveforms, labels and true tempos of 12 tracks of each genre."""
    waves = [render(genre, index, seconds=4) for genre in GENRES for index in range(TRACKS)]
    tempos = [
        draw_song(STYLES[genre], generator(genre, 0, "track", index)).tempo
        for genre in GENRES
        for index in range(TRACKS)
    ]
    return waves, np.repeat(np.arange(len(GENRES)), TRACKS), np.array(tempos)


def frames(wave: np.ndarray) -> np.ndarray:
    """Magnitudes `[frames, bins]` at 512 samples a frame."""
    windows = np.lib.stride_tricks.sliding_window_view(wave, 1024)[::512]
    return np.abs(np.fft.rfft(windows * np.hanning(1024).astype(np.float32)))


def centroid(wave: np.ndarray) -> float:
    magnitude = frames(wave).mean(axis=0)
    return float(np.average(np.arange(len(magnitude)), weights=magnitude))


def crossings(wave: np.ndarray) -> float:
    return float(np.mean(np.diff(np.signbit(wave))))


def flatness(wave: np.ndarray) -> float:
    power = frames(wave) ** 2 + 1e-10
    return float(np.mean(np.log(power).mean(axis=1) - np.log(power.mean(axis=1))))


def onset_rate(wave: np.ndarray) -> float:
    flux = np.maximum(np.diff(np.log(frames(wave) + 1e-3), axis=0), 0).mean(axis=1)
    middle = flux[1:-1]
    return float(np.mean((middle > flux.mean() + flux.std()) & (middle >= flux[:-2]) & (middle > flux[2:])))


def one_number_accuracy(values: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy from one measure: the higher one of nearest neighbours and nearest class means."""
    distance = np.abs(values[:, None] - values[None])
    np.fill_diagonal(distance, np.inf)
    nearest = labels[np.argsort(distance, axis=1)]
    scores = [
        np.mean([np.bincount(row[:k]).argmax() == label for row, label in zip(nearest, labels, strict=True)])
        for k in (1, 5, 9)
    ]
    means = np.array([values[labels == label].mean() for label in np.unique(labels)])
    scores.append(np.mean(np.abs(values[:, None] - means).argmin(axis=1) == labels))
    return float(max(scores))


@pytest.mark.parametrize("measure", [np.std, centroid, crossings, flatness, onset_rate])
def test_one_measure_of_the_audio_does_not_separate_the_genres(
    collection: tuple[list[np.ndarray], np.ndarray, np.ndarray], measure: Callable[[np.ndarray], float]
) -> None:
    waves, labels, _ = collection
    assert one_number_accuracy(np.array([measure(wave) for wave in waves]), labels) < 0.5


def test_tempo_does_not_separate_the_genres(collection: tuple[list[np.ndarray], np.ndarray, np.ndarray]) -> None:
    _, labels, tempos = collection
    assert one_number_accuracy(tempos, labels) < 0.5


def test_the_classifiers_find_a_measure_that_separates_the_genres() -> None:
    labels = np.repeat(np.arange(10), TRACKS)
    assert one_number_accuracy(labels + np.random.default_rng(0).normal(0, 0.1, len(labels)), labels) > 0.95


def test_loudness_overlaps_between_all_genres(
    collection: tuple[list[np.ndarray], np.ndarray, np.ndarray],
) -> None:
    waves, labels, _ = collection
    levels = 20 * np.log10([wave.std() for wave in waves])
    low = [np.quantile(levels[labels == label], 0.2) for label in range(len(GENRES))]
    high = [np.quantile(levels[labels == label], 0.8) for label in range(len(GENRES))]
    assert max(low) < min(high)
    assert min(np.subtract(high, low)) > 2
