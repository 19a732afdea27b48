"""What numba compiles for librosa, once for all processes that run tests; it takes most of a minute.

It lies in a folder of each process's own: two that compile the same at once would spoil it for both (numba issue
10128). It stays for the next run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
_CODE = "from musicgen_cls.audio.compiled import compiled_librosa; compiled_librosa()"


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """Compile into a folder. The process waits for another that compiles there already."""
    # Recordings of tests are so short that optimised functions would save less than the optimisation takes.
    return subprocess.Popen([sys.executable, "-c", _CODE], env=os.environ | {VARIABLE: str(folder), "NUMBA_OPT": "0"})


def copy() -> None:
    """Wait for what is compiled for all, and copy it into this process's folder."""
    own = Path(os.environ[VARIABLE])
    if not own.exists():
        common = own.with_name("numba")
        assert begin(common).wait() == 0
        shutil.copytree(common, own)
