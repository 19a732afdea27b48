"""Failures of object storage: which are final, and what they mean for a user."""

from __future__ import annotations

import errno
import re

from musicgen_cls.errors import StoreError, one_line

_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError")
_FORBIDDEN = (401, 403)
_PASSING = (408, 425, 429)
"""The 4xx statuses of HTTP after which another attempt can succeed: a timeout, a replay, too many requests."""

_STATUS = ("status_code", "status", "code")
"""Names of the status in the exceptions of azure-core, aiohttp and gcsfs; s3fs translates them to `OSError`."""

_OWN_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_NOT_FOR_USERS = re.compile(r"\s*\bRequestId:.*|\?[^\s\"]*", re.DOTALL)
"""What Azure says after the reason, and a URL's query."""


def is_final(error: Exception) -> bool:
    """Whether another attempt would fail in the same way."""
    if _is_missing(error) or _is_forbidden(error):
        return True
    if isinstance(error, NotImplementedError | IsADirectoryError | NotADirectoryError):
        return True
    if isinstance(error, OSError) and error.errno in _OWN_DISK:
        return True
    status = _status(error)
    return status is not None and 400 <= status < 500 and status not in _PASSING


def failed(url: str, what: str, error: Exception) -> StoreError:
    """The error for a user.

    Args:
        url: of the object or the storage.
        what: the failure in words.
        error: what was raised.
    """
    if _is_missing(error):
        remedy = "check the name"
    elif _is_forbidden(error):
        remedy = "check the permissions, or the credentials of the storage"
    elif isinstance(error, OSError) and error.errno in _OWN_DISK:
        remedy = "free space, or set MUSICGEN_CLS_CACHE to another disk or MUSICGEN_CLS_SHARD_CACHE_GB to a bound"
    else:
        remedy = "check the server and the network, then run the same command again (fit: with --ckpt_path last)"
    return StoreError(f"{url}: {what} ({cause(error)}); {remedy}")


def cause(error: Exception) -> str:
    """The reason of an error in words; its class if it has none."""
    reason = _NOT_FOR_USERS.sub("", (error.strerror if isinstance(error, OSError) else None) or str(error))
    if isinstance(error, FileNotFoundError) and " " not in reason.strip():  # gcsfs gives an address only
        return "no such bucket or file"
    return one_line(reason).rstrip(".") or type(error).__name__


def _is_missing(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or _status(error) == 404


def _is_forbidden(error: Exception) -> bool:
    if isinstance(error, PermissionError) or type(error).__name__ in _CREDENTIALS:
        return True
    return _status(error) in _FORBIDDEN or str(error).startswith("Forbidden: ")  # gcsfs raises it so


def _status(error: Exception) -> int | None:
    """The status of HTTP in an exception, if it has one."""
    found = (getattr(error, name, None) for name in _STATUS)
    return next((status for status in found if isinstance(status, int)), None)
