"""librosa, with its compiled functions kept in a folder of ours and compiled by one process at a time.

librosa's inner loops are compiled by numba at first use and kept on disk. Two processes that compile the same function
at once can leave a file that crashes every later one (numba issue 10128, librosa issue 1998), and where neither the
package's folder nor the home can be written, librosa cannot even be imported (librosa issue 1156).
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
"""Where numba keeps compiled functions; a user's own setting stays."""


@cache
def import_librosa() -> Any:
    """The package librosa: every import of it in this package is made here."""
    os.environ.setdefault(VARIABLE, str(_folder()))
    if "numba" in sys.modules:  # imported before us: it has read the variable already
        import numba

        vars(numba.config)["CACHE_DIR"] = os.environ[VARIABLE]
    import librosa

    return librosa


@cache
def compiled_librosa() -> Any:
    """The package librosa, all its functions that this package uses compiled: takes some 20 s once on a machine."""
    from filelock import FileLock

    librosa = import_librosa()
    folder = Path(os.environ[VARIABLE])
    mark = folder / f"musicgen_cls-{sys.implementation.cache_tag}-{version('numba')}-{version('librosa')}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{mark}.lock"):
            if not mark.exists():
                print("Compiling librosa's functions, once for this machine ...", file=sys.stderr)
                _use(librosa)
                mark.touch()
    except OSError:  # a folder of the user's that cannot be written
        pass
    return librosa


def _folder() -> Path:
    """A folder in the cache, or in the system's temporary one where the cache cannot be written."""
    wanted = cache_root() / "numba"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError:
        name = f"musicgen_cls-numba-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        return Path(tempfile.gettempdir()) / name


def _use(librosa: Any) -> None:
    """Call what this package calls, on a second of noise."""
    import numpy as np

    noise = np.random.default_rng(0).normal(0, 0.1, 22050).astype(np.float32)
    power = np.abs(librosa.stft(noise)) ** 2
    librosa.feature.chroma_stft(S=power, sr=22050)
    librosa.feature.zero_crossing_rate(noise)
    onsets = librosa.onset.onset_strength(S=librosa.power_to_db(power), sr=22050, aggregate=np.median)
    librosa.feature.tempo(onset_envelope=onsets, sr=22050)
    librosa.effects.pitch_shift(noise, sr=22050, n_steps=1.0)
