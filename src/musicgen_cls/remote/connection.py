"""Connections to object storage: an operation that fails is tried again; one that fails for good is one line."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from musicgen_cls.errors import UsageError, one_line
from musicgen_cls.remote.failures import cause, failed, is_final

log = logging.getLogger(__name__)

WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Waits between the attempts, s."""

PATIENCE_S = 10.0
"""After this time, s, a list or a small object is not tried again: a dead server is noticed within a minute."""

_CONNECT_S, _READ_S = 5, 15
_S3 = ("s3://", "s3a://")

T = TypeVar("T")


class Connection:
    """The file system of a URL, or whatever fsspec has for it.

    Args:
        url: the place.
        option: the argument that named it, for errors.
    """

    def __init__(self, url: str, option: str = "") -> None:
        self.url, self.option = url.rstrip("/"), option
        self._opened: tuple[int, Any, str] | None = None
        self._gone = False

    def patient(self, url: str, what: str, work: Callable[[Any, str], T], patience_s: float = math.inf) -> T:
        """The result of an operation, which is tried again, with growing waits, if the server fails.

        Once an operation has failed for good, the next ones are tried only once, until one succeeds: threads that wait
        for a server that is gone end soon.

        Args:
            url: what it is about, for errors.
            what: the failure in words.
            work: the operation, from the file system and the path of the place in it.
            patience_s: time after which it is not tried again, s.

        Raises:
            StoreError: it fails for good.
            UsageError: fsspec does not know such URLs, or what it needs for them is not installed.
        """
        begun = time.monotonic()
        for wait in (*WAITS_S, None):
            try:
                result = work(*self._files())
            except UsageError:
                raise
            except Exception as error:
                final = is_final(error)
                if final or wait is None or self._gone or time.monotonic() - begun >= patience_s:
                    self._gone = not final
                    raise failed(url, what, error) from error
                log.warning("%s: %s (%s); tried again in %g s", url, what, cause(error), wait)
                time.sleep(wait)
            else:
                self._gone = False
                return result
        raise AssertionError

    def _files(self) -> tuple[Any, str]:
        """The file system, and the path of the place in it; a forked process needs its own."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), *_connected(self.url, self.option))
        return self._opened[1:]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_opened": None}


def _connected(url: str, option: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if url.startswith(_S3):
        # `patient` tries again; more attempts below it would multiply the time until a dead server is noticed.
        once = {"retries": {"total_max_attempts": 1}, "connect_timeout": _CONNECT_S, "read_timeout": _READ_S}
        options["config_kwargs"] = once
    named = f"{option} {url}".lstrip()
    try:
        from fsspec.core import url_to_fs
        from fsspec.registry import available_protocols

        files, root = url_to_fs(url, **options)
    except ImportError as error:
        own = url.startswith(_S3) or "fsspec" in str(error)
        remedy = "run python -m pip install 'musicgen_cls[stream]'" if own else "install it"
        raise UsageError(
            f"{named}: needs a library that is not installed ({one_line(error).rstrip('.')}); {remedy}"
        ) from error
    except (ValueError, TypeError) as error:  # of the class of the file system: what it needs is not in the URL
        if url.partition("://")[0] not in available_protocols():
            raise UsageError(f"{named}: {one_line(error)}; give a folder, or a URL like s3://bucket/music") from error
        remedy = "set the environment variables with the credentials of the storage, and check the URL"
        raise UsageError(f"{named}: {one_line(error).rstrip('.!')}; {remedy}") from error
    if "config_kwargs" in options:
        files.retries = 1
    return files, root.rstrip("/")
