"""What is a track: which files and rows are parts of one by their names."""

import pytest

from musicgen_cls.sources.parts import Item, Part, as_part, parts_of_tracks


def read(
    names: list[str], seconds: float | list[float | None] = 3.0, genres: str | list[str] = "g"
) -> list[str | None]:
    """The track of each item, with the number of the part; None for an item that is a track."""
    lengths = seconds if isinstance(seconds, list) else [seconds] * len(names)
    labels = genres if isinstance(genres, list) else [genres] * len(names)
    items = [Item(*item) for item in zip(names, labels, lengths, strict=True)]
    return [f"{part.whole}|{part.number}" if part else None for part in parts_of_tracks(items)]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("blues.00000.3.wav", Part("blues.00000", 3)),
        ("blues.00000.3", Part("blues.00000", 3)),
        ("blues.00000.wav", None),
        ("a/mix.01.wav", Part("a/mix", 1)),
        ("vol.3/song.mp3", None),
        ("song.mp3", None),
        (".5.wav", None),
    ],
)
def test_what_a_name_may_be(name, part):
    found = as_part(name)
    assert (found[0] if found else None) == part


def clips(*songs: str, count: int = 3) -> list[str]:
    return [f"{song}.{number}.wav" for song in songs for number in range(count)]


def test_clips_are_parts():
    names = clips("blues.00000", "blues.00001")
    assert read(names) == [name.removesuffix(".wav")[:-2] + "|" + name[-5] for name in names]
    assert read(list(reversed(names))) == list(reversed(read(names)))
    assert read(["s.00.wav", "s.01.wav"]) == ["s|0", "s|1"]


@pytest.mark.parametrize(
    ("names", "seconds", "genres"),
    [
        ([f"Symphony No.{n}.flac" for n in range(1, 10)], 30.0, "g"),
        (["Symphony No.5.flac", "Symphony No.6.flac"], 30.0, "g"),
        ([f"mix.{n:02}.wav" for n in range(1, 20)], 30.0, "g"),
        (["Deep House Vol.3.mp3"], 30.0, "g"),
        (clips("mix"), [200.0, 310.0, 250.0], "g"),
        (clips("mix", count=2), [200.0, 150.0], "g"),
        (clips("mix"), 3.0, ["a", "b", "c"]),
        (["mix.0.wav", "mix.1.flac"], 3.0, "g"),
        (["a/mix.0.wav", "b/mix.1.wav"], 3.0, "g"),
        (["mix.0.wav", "mix.2.wav"], 3.0, "g"),
        (["mix.0.wav", "mix.0.wav", "mix.1.wav"], 3.0, "g"),
        (clips("mix"), [None, None, None], "g"),
    ],
)
def test_numbered_works_are_tracks(names, seconds, genres):
    assert read(names, seconds, genres) == [None] * len(names)


def test_the_last_part_may_be_shorter():
    assert None not in read(clips("s"), [3.0, 3.04, 1.0])
    assert None not in read(clips("s"), [3.0, None, 3.0])  # one that cannot be read
    assert read(clips("s"), [3.0, 3.0, 4.0]) == [None] * 3


def test_a_missing_clip_does_not_part_the_others():
    names = [*clips("a"), "b.0.wav", "b.2.wav", "c.1.wav", "c.2.wav", "No.5.wav", "No.6.wav"]
    found = read(names)
    assert found[3:7] == ["b|0", "b|2", "c|1", "c|2"]
    assert found[7:] == [None, None]  # numbers that no clip of three has
    assert read(["a.0.wav", "a.1.wav", "a.2.wav", "b.0.wav", "b.2.wav"], [3, 3, 3, 200, 150])[3:] == [None, None]
