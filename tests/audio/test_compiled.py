"""librosa's compiled functions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from musicgen_cls.audio import compiled


def python(code: str, **env: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name not in env and name != compiled.VARIABLE}
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env={**kept, **env})


def test_two_processes_with_nothing_compiled_yet(tmp_path: Path) -> None:
    """Both end without an error, and so does a later process. One small function stands for librosa's."""
    (tmp_path / "loops.py").write_text("""if True:
        import numba
        @numba.njit(cache=True)
        def total(x):
            found = 0.0
            for value in x:
                found += value
            return found""")
    code = """if True:
        import os
        from musicgen_cls.audio import compiled
        def import_librosa():
            os.environ[compiled.VARIABLE] = str(compiled._folder())
            import loops
            return loops
        compiled.import_librosa = import_librosa
        compiled._use = lambda loops: loops.total((1.0, 2.0))
        compiled._use(compiled.compiled_librosa())"""
    said = []
    for processes in (2, 1):
        running = [python(code, MUSICGEN_CLS_CACHE=str(tmp_path), PYTHONPATH=str(tmp_path)) for _ in range(processes)]
        said.append([process.communicate(timeout=300)[1] for process in running])
        assert not any(process.returncode for process in running), said
    assert list((tmp_path / "numba").glob("musicgen_cls-*"))
    assert list((tmp_path / "numba").rglob("*.nbc"))
    assert sorted(map(bool, said[0])) == [False, True], "one process compiles"
    assert said[1] == [""], "the second time nothing is compiled"


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUSICGEN_CLS_CACHE", str(tmp_path / "cache"))
    assert compiled._folder() == tmp_path / "cache" / "numba"
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUSICGEN_CLS_CACHE", str(tmp_path / "file"))  # nothing can be made below it
    assert compiled._folder().parent == Path(compiled.tempfile.gettempdir())


def test_the_users_folder_stays(tmp_path: Path) -> None:
    code = "from musicgen_cls.audio import compiled as c; c.import_librosa(); print(c.os.environ[c.VARIABLE])"
    env = {**os.environ, compiled.VARIABLE: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == str(tmp_path)
