"""What a bare import costs, and public names. The direction of imports is checked by `lint-imports`."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import musicgen_cls
from musicgen_cls.specs import class_path

ROOT = Path(musicgen_cls.__file__).parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("module", ["musicgen_cls", "musicgen_cls.__main__", "musicgen_cls.sources"])
def test_a_bare_import_is_light(module):
    code = f"import sys, {module}; print(*sorted(name for name in sys.modules if '.' not in name))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "musicgen_cls" in loaded
    assert not {"torch", "lightning", "torchaudio", "pandas", "librosa", "matplotlib", "scipy"} & set(loaded)


@pytest.mark.parametrize("package", ["models", "datamodules", "sources", "tasks"])
def test_public_classes_are_named_by_the_package_that_exports_them(package):
    module = importlib.import_module(f"musicgen_cls.{package}")
    assert len(module.__all__) >= 3
    for name in module.__all__:
        assert class_path(getattr(module, name)) == f"musicgen_cls.{package}.{name}"


def test_the_package_is_typed():
    assert (ROOT / "py.typed").exists()


def test_no_machine_paths():
    assert Path("collection/store.py") in FILES
    for file in FILES:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert "/home/" not in text, file
        assert "/root/" not in text, file
