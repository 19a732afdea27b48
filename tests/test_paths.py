from pathlib import Path

import pytest

from musicgen_cls.paths import CACHE_VARIABLE, cache_root, writing


def test_these_tests_have_a_cache_of_their_own(cache):
    assert cache_root() == cache


def test_cache_named_by_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, "~/elsewhere")
    assert cache_root() == tmp_path / "elsewhere"
    assert not cache_root().exists()


@pytest.mark.parametrize("value", [None, ""])
def test_cache_of_the_user(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(CACHE_VARIABLE, value)
    assert cache_root().name == "musicgen_cls"
    assert tmp_path in cache_root().parents


def test_writing_replaces_at_the_end(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with writing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".csv"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("begun", [True, False])
def test_writing_that_fails_leaves_what_was_there(tmp_path, begun):
    path: Path = tmp_path / "a.csv"
    path.write_text("old")

    def fail() -> None:
        with writing(path) as temporary:
            if begun:
                temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
