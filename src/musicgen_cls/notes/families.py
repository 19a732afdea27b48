"""Families of instruments: the 128 programs of General MIDI, in twelve groups.

The programs are those of the General MIDI System Level 1 specification (MIDI Association, 1991), which has sixteen
groups of eight.
"""

from __future__ import annotations

FAMILIES = (
    "drums", "bass", "piano", "mallets", "organ", "guitar", "strings", "brass", "reed", "flute", "lead", "pad",
)  # fmt: skip
"""The families; a note has the number of its family."""

DRUMS = 0

PROGRAM = {
    "bass": 32, "piano": 0, "mallets": 11, "organ": 16, "guitar": 24, "strings": 48, "brass": 61, "reed": 66,
    "flute": 73, "lead": 80, "pad": 89,
}  # fmt: skip
"""The General MIDI program that a written file has for each family, from 0; drums have channel 10 instead."""

_GROUPS = (
    "piano", "mallets", "organ", "guitar", "bass", "strings", "strings", "brass", "reed", "flute", "lead", "pad",
    "pad", "guitar", "mallets", None,
)  # fmt: skip


def family_of(program: int) -> int | None:
    """The number of the family of a General MIDI program from 0; None for sound effects, which are no instruments."""
    name = _GROUPS[program // 8]
    return None if name is None else FAMILIES.index(name)
