"""The direction of imports in the package, and what a bare import costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import musicgen_cls

ROOT = Path(musicgen_cls.__file__).parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))

# What each room (module or folder) may import, besides itself. A new room is to be entered here.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "paths": {"errors"},
    "memory": {"errors"},
    "records": {"errors"},
    "reports": {"errors", "records"},
    "generations": {"errors", "paths", "records"},
    "plain": {"errors"},
    "help": set(),
    "names": set(),
    "logs": set(),
    "tables": {"errors", "paths"},
    "console": {"errors"},
    "configs": {"errors", "paths", "plain"},
    "compiled": {"paths"},
    "workers": {"errors"},
    "audio": {"errors", "paths", "compiled"},
    "sources": {"errors", "paths", "names", "tables", "records", "generations", "audio"},
    "journal": {"records"},
    "store": {"errors", "paths", "records", "journal", "audio", "sources"},
    "fingerprints": {"paths", "audio", "journal", "sources"},
    "grouping": {"sources"},
    "collection": {*("errors", "paths", "tables", "sources", "journal", "store", "fingerprints", "grouping")},
    "datamodules": {"errors", "paths", "names", "plain", "audio", "sources", "store", "collection"},
    "models": {"errors", "audio"},
    "metrics": {"errors", "compiled"},
    "tasks": {"errors", "plain", "audio", "models", "metrics"},
    "plots": {"errors", "paths", "compiled"},
    "checkpoints": {"errors", "paths", "plain"},
    "mistakes": {"errors", "configs", "console", "help", "__init__"},
    "pages": {"errors", "audio", "paths"},
    "generated_page": {"errors", "audio", "generations", "pages", "plots"},
    "timeline": {"tasks"},
}
MAY_IMPORT["callbacks"] = MAY_IMPORT.keys() | {"__init__"}
MAY_IMPORT["inference"] = MAY_IMPORT.keys() - {"callbacks", "plots"}
MAY_IMPORT["checks"] = {"errors", "plain", "sources", "checkpoints", "datamodules", "tasks"}
MAY_IMPORT["registry"] = {"audio", "datamodules", "models", "sources", "tasks"}
MAY_IMPORT["runs"] = {"errors", "paths", "checkpoints"}
MAY_IMPORT["arguments"] = {"errors", "help", "mistakes", "plain", "registry", "callbacks"}
MAY_IMPORT["cli"] = MAY_IMPORT.keys() | {"__init__"}
MAY_IMPORT["fit_genres"] = {"errors", "paths", "records", "plain", "configs", "tasks", "arguments", "cli"}
MAY_IMPORT["sweep"] = {
    "errors",
    "mistakes",
    "paths",
    "records",
    "tables",
    "plots",
    "arguments",
    "logs",
    "cli",
    "fit_genres",
}
MAY_IMPORT["extract"] = {"errors", "tables", "mistakes", "paths", "records", "audio", "sources", "workers"}
MAY_IMPORT["sheets"] = {
    *("errors", "mistakes", "paths", "audio", "sources", "metrics", "plots", "inference", "compiled", "workers"),
    *("records", "tables"),
}
MAY_IMPORT["compare"] = {"errors", "tables", "mistakes", "names", "paths", "records", "reports", "metrics", "plots"}
MAY_IMPORT["embeddings"] = {"errors", "audio", "inference"}
MAY_IMPORT["judgement_page"] = {"errors", "metrics", "pages", "plots"}
MAY_IMPORT["judging"] = {
    *("__init__", "errors", "mistakes", "paths", "audio", "sources", "collection", "checkpoints", "metrics", "plots"),
    *("inference", "embeddings", "generations", "judgement_page"),
}
MAY_IMPORT["exported"] = {"errors", "audio", "datamodules"}
MAY_IMPORT["model_card"] = {
    *("__init__", "errors", "plain", "records", "reports", "sources", "datamodules", "metrics", "checkpoints"),
}
MAY_IMPORT["export"] = {
    *("errors", "mistakes", "paths", "plain", "checkpoints", "datamodules", "tasks", "inference"),
    *("exported", "model_card"),
}
MAY_IMPORT["__main__"] = {"__init__", "errors", "cli", "help", "mistakes", "plain"}
MAY_IMPORT["__init__"] = {"inference", "callbacks", "datamodules", "plots", "tasks"}

# Who may know of the heavy parts.
MAY_KNOW: dict[str, set[str]] = {
    "lightning": {
        "datamodules",
        "tasks",
        "checkpoints",
        "callbacks",
        "inference",
        "checks",
        "runs",
        "arguments",
        "cli",
        "fit_genres",
        "sweep",
    },
    "matplotlib": {"plots"},
    "onnx": {"export"},
    "onnxruntime": {"export"},
    "torch": {
        "embeddings",
        "export",
        "exported",
        "audio",
        "datamodules",
        "models",
        "metrics",
        "tasks",
        "checkpoints",
        "callbacks",
        "inference",
        "timeline",
        "checks",
        "cli",
    },
}
LATE = {"librosa", "matplotlib", "pandas", "soundfile", "soxr", "sklearn", "tinytag", "pooch", "tqdm", "joblib"}
LATE |= {"onnx", "onnxruntime", "optuna", "plotly", "numba"}


def room(file: Path) -> str:
    return file.parts[0].removesuffix(".py")


def imports(file: Path, top_level: bool = False) -> Iterator[str]:
    """Dotted names a file imports; of the package's own, each imported module too."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in ast.walk(node)
    }
    for node in tree.body if top_level else ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}" if node.module else alias.name


def own_rooms(file: Path) -> set[str]:
    """Rooms of the package that a file imports."""
    found = set()
    for name in imports(file):
        first, *rest = name.split(".")
        if first == "musicgen_cls":
            known = bool(rest) and ((ROOT / f"{rest[0]}.py").exists() or (ROOT / rest[0]).is_dir())
            found.add(rest[0] if known else "__init__")
    return found


def test_there_is_something_to_check():
    assert {Path("store.py"), Path("cli.py"), Path("audio/io.py")} <= set(FILES)
    assert own_rooms(Path("store.py")) == {"audio", "errors", "journal", "paths", "records", "sources"}
    assert own_rooms(Path("callbacks/report.py")) >= {"__init__", "plots", "tasks"}
    assert "lightning.pytorch.LightningModule" in set(imports(Path("tasks/base.py")))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_run_one_way(file):
    assert room(file) in MAY_IMPORT, f"{file}: say in MAY_IMPORT what the new room may import"
    assert own_rooms(file) - {room(file)} <= MAY_IMPORT[room(file)]


def test_the_rules_themselves_have_no_circle():
    """Save for the two ends: the package's `load`, and `__main__`, whose table of commands the CLI reads."""
    left = {name: allowed - {"__init__", "__main__"} - {name} for name, allowed in MAY_IMPORT.items()}
    while free := [name for name, allowed in left.items() if not allowed]:
        for name in free:
            del left[name]
        left = {name: allowed - set(free) for name, allowed in left.items()}
    assert left == {}


def test_tasks_and_datamodules_do_not_know_each_other():
    for file in FILES:
        if room(file) in ("tasks", "models", "metrics"):
            assert "datamodules" not in own_rooms(file), file
        if room(file) in ("datamodules", "store", "sources", "audio"):
            assert not own_rooms(file) & {"tasks", "models", "metrics"}, file


@pytest.mark.parametrize("package", MAY_KNOW)
def test_who_knows_the_heavy_parts(package):
    knowing = {room(file) for file in FILES if any(name.split(".")[0] == package for name in imports(file))}
    assert knowing
    assert knowing <= MAY_KNOW[package]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_slow_packages_are_imported_where_they_are_used(file):
    assert not LATE & {name.split(".")[0] for name in imports(file, top_level=True)}


@pytest.mark.parametrize("module", ["musicgen_cls", "musicgen_cls.__main__", "musicgen_cls.sources.folder"])
def test_a_bare_import_is_light(module):
    code = f"import sys, {module}; print(*sorted(name for name in sys.modules if '.' not in name))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "musicgen_cls" in loaded
    assert not {"torch", "lightning", "torchaudio", "pandas", "librosa", "matplotlib", "scipy", "msgspec"} & set(loaded)


def test_no_machine_paths():
    for file in FILES:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert "/home/" not in text, file
        assert "/root/" not in text, file
