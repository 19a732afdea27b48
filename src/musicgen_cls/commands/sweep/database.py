"""The SQLite file of a sweep."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from musicgen_cls.errors import UsageError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

LOCKED_S = 30.0
"""Time to wait for a database that another program has locked, s."""


class StudyError(UsageError):
    """A study cannot be used, so that no trial can run."""


def has_database(database: Path) -> bool:
    """Whether there is a file with content, or a folder, in the place of the database."""
    return database.exists() and (database.is_dir() or database.stat().st_size > 0)


def check_database(database: Path) -> None:
    """Raise `StudyError` if the file is not a database of Optuna."""
    if database.is_dir():
        raise StudyError(f"--storage {database}: a folder; name a file in it")
    try:
        with sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCKED_S) as found:
            tables = {row[0] for row in found.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        found.close()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise StudyError(f"{database}: not a SQLite database; name another file with --storage") from error
    if tables and not {"studies", "trials"} <= tables:
        raise StudyError(
            f"{database}: a database of another program (tables {', '.join(sorted(tables)[:4])}); name "
            "another file with --storage"
        )


def storage_in(database: Path, check: bool = True) -> RDBStorage:
    """Optuna's storage in a SQLite file; missing tables are created.

    Args:
        database: the file.
        check: check that the tables are those of this version of Optuna.

    Raises:
        RuntimeError: they are not.
    """
    import optuna

    def connect() -> sqlite3.Connection:
        """Open the file by its path, since a `?`, `%` or `{` in a path has a meaning in a URL."""
        return sqlite3.connect(database.absolute(), timeout=LOCKED_S, check_same_thread=False)

    return optuna.storages.RDBStorage(
        "sqlite:///study.db", engine_kwargs={"creator": connect}, skip_compatibility_check=not check
    )


def sqlite_error(error: BaseException | None) -> sqlite3.Error | None:
    """The error of SQLite in a chain of errors; None if there is none."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            return error
        error = error.__cause__ or error.__context__
    return None
