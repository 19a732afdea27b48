"""librosa, whose compiled functions are stored in a folder of this package, by one process at a time.

numba compiles librosa's inner loops at first use and stores them on disk. Two processes that compile the same function
at once can leave a file that crashes every later process (numba issue 10128, librosa issue 1998). If neither the
package's folder nor the home folder is writable, librosa cannot be imported (librosa issue 1156).
"""

from __future__ import annotations

import os
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from musicgen_cls.files import cache_root

VARIABLE = "NUMBA_CACHE_DIR"
"""Environment variable with numba's folder for compiled functions; a setting of the user stays."""


@cache
def import_librosa() -> Any:
    """Import librosa. This is the only import of it in this package."""
    os.environ.setdefault(VARIABLE, str(_folder()))
    if "numba" in sys.modules:  # numba was imported before and has read the variable already
        import numba

        vars(numba.config)["CACHE_DIR"] = os.environ[VARIABLE]
    import librosa

    return librosa


@cache
def compiled_librosa() -> Any:
    """Librosa with all the functions that this package uses compiled: it takes up to a minute, once on a machine."""
    from filelock import FileLock

    librosa = import_librosa()
    folder = Path(os.environ[VARIABLE])
    mark = folder / f"musicgen_cls-beats-{sys.implementation.cache_tag}-{version('numba')}-{version('librosa')}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{mark}.lock"):
            if not mark.exists():
                print(
                    "Compiling librosa's functions; it takes up to a minute, once on this machine ...", file=sys.stderr
                )
                _use(librosa)
                mark.touch()
    except OSError:  # the user's folder is not writable
        pass
    return librosa


def _folder() -> Path:
    """A folder in the cache, or in the system's temporary folder if the cache is not writable."""
    wanted = cache_root() / "numba"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError:
        name = f"musicgen_cls-numba-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        return Path(tempfile.gettempdir()) / name


def _use(librosa: Any) -> None:
    """Call the functions that this package uses, on one second of noise."""
    import numpy as np

    noise = np.random.default_rng(0).normal(0, 0.1, 22050).astype(np.float32)
    power = np.abs(librosa.stft(noise)) ** 2
    librosa.feature.chroma_stft(S=power, sr=22050)
    librosa.feature.zero_crossing_rate(noise)
    onsets = librosa.onset.onset_strength(S=librosa.power_to_db(power), sr=22050, aggregate=np.median)
    librosa.feature.tempo(onset_envelope=onsets, sr=22050)
    librosa.beat.beat_track(onset_envelope=onsets, sr=22050)
    librosa.effects.pitch_shift(noise, sr=22050, n_steps=1.0)
