"""Freed memory that the process keeps: how it is turned on and off, where it applies, and that no result changes."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.errors import UsageError
from musicgen_cls.memory import KEEP_VARIABLE, SETTINGS, keep_memory

GLIBC = platform.libc_ver()[0] == "glibc"
ALL = [(setting.number, setting.value) for setting in SETTINGS]


class Allocator:
    """A C library that records the calls of mallopt."""

    def __init__(self) -> None:
        self.settings: list[tuple[int, int]] = []

    def mallopt(self, number: int, value: int) -> int:
        self.settings.append((number, value))
        return 1


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> Allocator:
    """An allocator in place of glibc's, and an environment without the user's settings."""
    for name in [KEEP_VARIABLE, "GLIBC_TUNABLES", *(name for name in os.environ if name.startswith("MALLOC_"))]:
        monkeypatch.delenv(name, raising=False)
    allocator = Allocator()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: allocator)
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36", raising=False)
    return allocator


def test_all_settings_are_made_and_again_the_same(allocator):
    assert keep_memory()
    assert allocator.settings == ALL
    assert keep_memory()
    assert allocator.settings == 2 * ALL


def test_values_are_c_ints():
    assert all(-(2**31) <= number < 2**31 for pair in ALL for number in pair)
    assert len(set(dict(ALL))) == len(ALL) == 3


def test_the_variable_turns_it_off(allocator, monkeypatch):
    monkeypatch.setenv(KEEP_VARIABLE, "0")
    assert not keep_memory()
    assert allocator.settings == []


@pytest.mark.parametrize("value", ["1", ""])
def test_the_variable_leaves_it_on(allocator, monkeypatch, value):
    monkeypatch.setenv(KEEP_VARIABLE, value)
    assert keep_memory()
    assert allocator.settings == ALL


def _unknown(name: str) -> str:
    raise ValueError("unrecognized configuration name")


@pytest.mark.parametrize("confstr", [_unknown, lambda name: None, None], ids=["musl and macOS", "unset", "Windows"])
def test_nothing_is_done_on_other_c_libraries(allocator, monkeypatch, confstr: Callable[[str], str] | None):
    if confstr is None:
        monkeypatch.delattr(os, "confstr")
    else:
        monkeypatch.setattr(os, "confstr", confstr)
    assert not keep_memory()
    assert allocator.settings == []


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("MALLOC_MMAP_MAX_", "65536", -4),
        ("MALLOC_MMAP_THRESHOLD_", "1048576", -4),
        ("MALLOC_TRIM_THRESHOLD_", "131072", -1),
        ("MALLOC_TOP_PAD_", "0", -2),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.malloc.top_pad=0", -2),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1048576", -4),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1", None),
        ("MALLOC_ARENA_MAX", "2", None),
    ],
)
def test_settings_of_the_user_stay(allocator, monkeypatch, name, value, left):
    monkeypatch.setenv(name, value)
    assert keep_memory()
    assert allocator.settings == [(number, value) for number, value in ALL if number != left]


def test_other_values_are_refused(allocator, monkeypatch):
    monkeypatch.setenv(KEEP_VARIABLE, "no")
    with pytest.raises(UsageError, match=f"{KEEP_VARIABLE}=no: must be 1 .* or 0"):
        keep_memory()
    assert allocator.settings == []


@pytest.mark.parametrize(
    "command",
    [
        ["fit"],
        ["validate", "--ckpt_path", "a.ckpt"],
        ["test", "--ckpt_path", "a.ckpt"],
        ["predict", "--ckpt_path", "a.ckpt"],
        ["fit-genres", "--config", "a.yaml"],
        ["sweep", "--fit", "a.yaml", "--space", '{"model.lr": {"low": 0.1, "high": 1}}'],
    ],
    ids=lambda command: command[0],
)
def test_commands_call_it_first(command, monkeypatch, capsys, tmp_path):
    """A refused value is reported before any other error of the command."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("{}")
    monkeypatch.setenv(KEEP_VARIABLE, "no")
    assert main(command) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("musiccli: error: ")
    assert said.endswith(f"{KEEP_VARIABLE}=no: must be 1 (keep freed memory, the default) or 0 (return it)")
    assert "\n" not in said


def test_load_calls_it_first(monkeypatch):
    monkeypatch.setenv(KEEP_VARIABLE, "no")
    with pytest.raises(UsageError, match=KEEP_VARIABLE):
        musicgen_cls.load("none.ckpt")
    assert KEEP_VARIABLE in (musicgen_cls.load.__doc__ or "")


FREED = """
from musicgen_cls.memory import keep_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

keep_memory(), keep_memory()
before = resident()
block = bytearray(b"x") * (64 << 20)
del block
print(resident() - before)
"""


@pytest.mark.skipif(not GLIBC, reason="only glibc's allocator is changed")
@pytest.mark.parametrize(("wanted", "kept"), [("1", True), ("0", False)])
def test_freed_memory_stays_in_the_process(wanted, kept):
    clean = {name: value for name, value in os.environ.items() if "MALLOC" not in name and name != "GLIBC_TUNABLES"}
    run = subprocess.run(
        [sys.executable, "-c", FREED], env={**clean, KEEP_VARIABLE: wanted}, capture_output=True, text=True, check=True
    )
    assert (int(run.stdout) >= 60) == kept


TRAINED = """
import torch
from musicgen_cls.memory import keep_memory
from musicgen_cls.models.classifiers.vgg import VGG

torch.set_num_threads(1)

def trained():
    torch.manual_seed(0)
    network = VGG(3, width=4, pairs=2)
    optimiser = torch.optim.Adam(network.parameters())
    for _ in range(3):
        optimiser.zero_grad()
        network(torch.randn(8, 64, 173)).square().mean().backward()
        optimiser.step()
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

returned = trained()
keep_memory()
print(torch.equal(returned, trained()), bool(returned.isfinite().all()))
"""


def test_training_ends_in_the_same_weights():
    clean = {name: value for name, value in os.environ.items() if name != KEEP_VARIABLE}
    run = subprocess.run([sys.executable, "-c", TRAINED], env=clean, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True"]
