"""The reader of TensorFlow's checkpoints, on tables that the tests write by the published format."""

import numpy as np
import pytest

from bundles import ARRAYS, bundle
from musicgen_cls.errors import UsageError
from musicgen_cls.pretrained.bundle import read_bundle


def test_reads_what_was_written():
    found = read_bundle(*bundle(), list(ARRAYS), "x")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert np.array_equal(found[name], array), name


def test_reads_only_what_is_wanted():
    index, data = bundle()
    damaged = data[:-1] + bytes([data[-1] ^ 1])  # of "scale", the last
    assert read_bundle(index, damaged, ["conv/kernel"], "x").keys() == {"conv/kernel"}
    with pytest.raises(UsageError, match="x: scale: its checksum differs"):
        read_bundle(index, damaged, ["scale"], "x")


@pytest.mark.parametrize("wrong", ["", "text that is no table at all, but longer than its footer would be, and more"])
def test_no_table(wrong):
    with pytest.raises(UsageError, match="x: not a checkpoint of TensorFlow"):
        read_bundle(wrong.encode(), b"", ["scale"], "x")


def test_every_damaged_byte_of_the_index_is_noticed():
    index, data = bundle()
    for at in range(len(index)):
        if len(index) - 48 <= at < len(index) - 8 and index[at] == 0:
            continue  # the footer's padding
        damaged = index[:at] + bytes([index[at] ^ 0x55]) + index[at + 1 :]
        with pytest.raises(UsageError):
            read_bundle(damaged, data, list(ARRAYS), "x")


def test_cut_missing_and_of_another_type():
    index, data = bundle()
    with pytest.raises(UsageError, match="its checksum differs"):
        read_bundle(index, data[:8], ["conv/kernel"], "x")
    with pytest.raises(UsageError, match="has no variable 'dense/kernel'"):
        read_bundle(index, data, ["dense/kernel"], "x")
    index, data = bundle(kind=3)  # 32-bit integers
    with pytest.raises(UsageError, match="not an array of 32-bit numbers"):
        read_bundle(index, data, ["scale"], "x")
