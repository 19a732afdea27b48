"""Parameters of instruments and drum kits."""

from __future__ import annotations

from typing import NamedTuple


class Patch(NamedTuple):
    """Parameters of an instrument."""

    rolloff: float  # partial k has amplitude k**-rolloff
    even: float  # weight of the even partials: 0 hollow, 1 full
    formant: float  # Hz, centre of a resonance one octave wide
    attack: float  # s
    decay: float  # s, of the lowest three partials
    edge: float  # s, decay of the partials above them
    stretch: float  # cents that the upper partials are too high: small for beating, large for bells
    vibrato: float  # cents
    drive: float  # gain into a soft clipper, 0 for none


class Kit(NamedTuple):
    """Parameters of a drum kit. Decay times are in seconds."""

    kick_hz: float
    kick: float
    snare_hz: float
    snare: float
    snap: float  # share of noise in the snare
    hat_hz: float
    hat: float
    clap: float


# Lower and upper bounds of each parameter; those of an artist are drawn between them.
PATCHES = {
    #                 rolloff even formant attack decay edge stretch vibrato drive
    "piano": (Patch(1.1, 0.8, 400, 0.002, 0.5, 0.10, 2, 0, 0), Patch(1.6, 1.0, 1200, 0.006, 1.2, 0.3, 8, 0, 0)),
    "epiano": (Patch(1.5, 0.1, 500, 0.003, 0.5, 0.06, 8, 0, 0), Patch(2.2, 0.4, 900, 0.01, 1.2, 0.2, 20, 6, 0.8)),
    "organ": (Patch(0.6, 0.6, 600, 0.006, 8, 8, 3, 8, 0), Patch(1.0, 1.0, 1400, 0.02, 20, 20, 8, 22, 1.5)),
    "strings": (Patch(0.9, 0.9, 900, 0.05, 4, 3, 4, 14, 0), Patch(1.3, 1.0, 2200, 0.15, 9, 6, 10, 35, 0)),
    "flute": (Patch(1.8, 0.3, 700, 0.03, 5, 2, 0, 14, 0), Patch(2.6, 0.7, 1500, 0.07, 9, 4, 4, 35, 0)),
    "brass": (Patch(0.6, 0.9, 900, 0.015, 3, 0.5, 0, 5, 0.4), Patch(1.0, 1.0, 1800, 0.05, 6, 1.2, 4, 22, 1.2)),
    "reed": (Patch(0.7, 0.2, 800, 0.01, 3, 1, 0, 10, 0), Patch(1.1, 0.6, 1700, 0.03, 6, 2, 4, 30, 0.8)),
    "steel": (Patch(0.7, 0.9, 1500, 0.001, 0.3, 0.05, 1, 0, 0), Patch(1.1, 1.0, 3200, 0.003, 0.8, 0.2, 5, 0, 0)),
    "fiddle": (Patch(0.5, 1.0, 1800, 0.02, 5, 4, 2, 10, 0), Patch(0.8, 1.0, 3200, 0.05, 9, 7, 6, 30, 0.3)),
    "guitar": (Patch(1.0, 0.8, 600, 0.002, 0.4, 0.1, 2, 0, 0), Patch(1.5, 1.0, 1800, 0.005, 1.0, 0.3, 5, 4, 0.5)),
    "crunch": (Patch(0.9, 0.8, 700, 0.002, 1.5, 0.6, 2, 0, 2), Patch(1.3, 1.0, 1600, 0.008, 4, 1.5, 5, 5, 5)),
    "metal": (Patch(0.7, 0.9, 1000, 0.001, 2, 1, 2, 0, 12), Patch(1.1, 1.0, 2400, 0.004, 6, 3, 6, 0, 40)),
    "saw": (Patch(0.8, 1.0, 900, 0.004, 3, 1, 8, 0, 0), Patch(1.1, 1.0, 2500, 0.02, 8, 3, 18, 8, 0.4)),
    "pad": (Patch(1.0, 0.7, 600, 0.05, 8, 5, 10, 4, 0), Patch(1.5, 1.0, 1600, 0.2, 15, 9, 22, 12, 0)),
    "square": (Patch(0.8, 0.0, 700, 0.003, 1, 0.3, 0, 4, 0), Patch(1.2, 0.2, 1800, 0.01, 4, 1, 4, 18, 0.6)),
    "bell": (Patch(1.0, 0.2, 900, 0.001, 0.3, 0.1, 60, 0, 0), Patch(1.6, 0.6, 2400, 0.003, 0.9, 0.4, 180, 0, 0)),
    "upright": (Patch(1.4, 0.8, 120, 0.004, 0.25, 0.05, 0, 0, 0), Patch(2.0, 1.0, 350, 0.012, 0.6, 0.12, 3, 4, 0)),
    "finger": (Patch(1.1, 0.8, 150, 0.003, 0.4, 0.1, 0, 0, 0), Patch(1.6, 1.0, 500, 0.01, 1.2, 0.3, 2, 0, 0.8)),
    "pick": (Patch(0.8, 0.9, 400, 0.001, 0.5, 0.15, 0, 0, 0.3), Patch(1.2, 1.0, 1200, 0.004, 1.5, 0.4, 3, 0, 2)),
    "sub": (Patch(2.4, 0.4, 60, 0.004, 0.6, 0.1, 0, 0, 0.3), Patch(3.5, 1.0, 120, 0.02, 2.5, 0.4, 0, 0, 1.5)),
}
KITS = {
    #               kick_hz kick snare_hz snare snap hat_hz hat clap
    "acoustic": (Kit(52, 0.06, 170, 0.05, 0.5, 5000, 0.02, 0.05), Kit(75, 0.14, 240, 0.12, 0.8, 8000, 0.06, 0.1)),
    "machine": (Kit(42, 0.12, 160, 0.04, 0.6, 6500, 0.015, 0.06), Kit(58, 0.35, 220, 0.10, 0.9, 9500, 0.04, 0.14)),
    "brushes": (Kit(55, 0.04, 180, 0.03, 0.8, 4000, 0.04, 0.05), Kit(85, 0.09, 260, 0.09, 1.0, 7000, 0.10, 0.1)),
    "heavy": (Kit(55, 0.03, 150, 0.07, 0.6, 4500, 0.03, 0.05), Kit(80, 0.08, 210, 0.16, 0.9, 8000, 0.09, 0.1)),
}
