"""The words of a command line before any parser."""

from __future__ import annotations

import pytest

from musicgen_cls.cli.command_line import option, split, with_present_names
from musicgen_cls.errors import UsageError

FLAGS = {"overwrite", "download", "strict"}


@pytest.mark.parametrize(
    ("args", "options", "alone"),
    [
        ("song.mp3 --ckpt_path best.ckpt", "--ckpt_path best.ckpt", "song.mp3"),
        ("--ckpt_path best.ckpt song.mp3 b.wav", "--ckpt_path best.ckpt", "song.mp3 b.wav"),
        ("--overwrite song.mp3", "--overwrite true", "song.mp3"),
        ("--overwrite false song.mp3", "--overwrite false", "song.mp3"),
        ("--data.source.download --out x", "--data.source.download true --out x", ""),
        ("--strict=false a", "--strict=false", "a"),
        ("--data.strict", "--data.strict true", ""),
        ("--x -3 --y -0.5e-3", "--x -3 --y -0.5e-3", ""),
        ("--config - a", "--config -", "a"),
        ("a -- --odd.mp3 --overwrite", "", "a --odd.mp3 --overwrite"),
        ("--help a", "--help", "a"),
        ("--data.help MelSlices", "--data.help", "MelSlices"),
        ("", "", ""),
    ],
)
def test_split(args, options, alone):
    assert split(args.split(), FLAGS) == (options.split(), alone.split())


@pytest.mark.parametrize("args", ["--x --y 1", "--x", "a --out"])
def test_an_option_without_a_value(args):
    with pytest.raises(UsageError, match=r"--(x|out): has no value; give one, as --(x|out) VALUE"):
        split(args.split(), FLAGS)


def test_the_last_value_of_an_option_counts():
    assert option(["--out", "a", "--out=b"], "out") == "b"
    assert option(["--out"], "out") is None


def test_older_names_of_options():
    assert with_present_names(["--data.takes", "3"]) == ["--data.samples_per_prompt", "3"]
    assert with_present_names(["--data.takes=3", "--data.takesx", "a=b=c", "--out="]) == [
        "--data.samples_per_prompt=3",
        "--data.takesx",
        "a=b=c",
        "--out=",
    ]
