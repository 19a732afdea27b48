"""Failures of object storage: which are final, and what they mean for a user."""

from __future__ import annotations

import errno
import re

from musicgen_cls.errors import StoreError, one_line

_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")
_OWN_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def is_final(error: Exception) -> bool:
    """Whether another attempt would fail in the same way."""
    if isinstance(error, FileNotFoundError | PermissionError | NotImplementedError):
        return True
    if type(error).__name__ in _CREDENTIALS:
        return True
    return isinstance(error, OSError) and error.errno in _OWN_DISK


def failed(url: str, what: str, error: Exception) -> StoreError:
    """The error for a user.

    Args:
        url: of the object or the storage.
        what: the failure in words.
        error: what was raised.
    """
    if isinstance(error, FileNotFoundError):
        remedy = "check the name"
    elif isinstance(error, PermissionError) or type(error).__name__ in _CREDENTIALS:
        remedy = "check the permissions, or the credentials of the storage"
    elif isinstance(error, OSError) and error.errno in _OWN_DISK:
        remedy = "free space, or set MUSICGEN_CLS_CACHE to another disk or MUSICGEN_CLS_SHARD_CACHE_GB to a bound"
    else:
        remedy = "check the server and the network, then run the same command again (fit: with --ckpt_path last)"
    return StoreError(f"{url}: {what} ({cause(error)}); {remedy}")


def cause(error: Exception) -> str:
    """The reason of an error in words; its class if it has none."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return re.sub(r"\?[^\s\"]*", "", one_line(reason)).rstrip(".") or type(error).__name__  # without a URL's query
