"""Failures of object storage: errors as s3fs, gcsfs, adlfs and aiohttp raise them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from musicgen_cls.errors import StoreError, UsageError
from musicgen_cls.remote import connection
from musicgen_cls.remote.connection import Connection
from musicgen_cls.remote.failures import cause, failed, is_final

AZURE = (
    "The specified container does not exist.\nRequestId:ebb6\nTime:2026-11-29T09:24:09Z\nErrorCode:ContainerNotFound\n"
    'Content: <?xml version="1.0"?><Error><Code>ContainerNotFound</Code></Error>'
)


class Refused(Exception):
    """An error with a status of HTTP: azure-core calls it `status_code`, aiohttp `status`, gcsfs `code`."""

    def __init__(self, text: str, **status: int | str | None) -> None:
        super().__init__(text)
        for name, value in status.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("error", "final", "reason", "remedy"),
    [
        (Refused(AZURE, status_code=404), True, "The specified container does not exist", "check the name"),
        (Refused("no such signature", status_code=403), True, "no such signature", "check the permissions"),
        (Refused("Invalid Credentials, 401", code=401), True, "Invalid Credentials, 401", "check the permissions"),
        (Refused("bad request", status=400), True, "bad request", "check the server"),
        (Refused("too many requests", status=429), False, "too many requests", "check the server"),
        (Refused("too late", code=408), False, "too late", "check the server"),
        (Refused("unavailable", status_code=503), False, "unavailable", "check the server"),
        (Refused("no connection", status_code=None), False, "no connection", "check the server"),
        (Refused("an own code", code="AccessDenied"), False, "an own code", "check the server"),
        (FileNotFoundError("http://127.0.0.1/b/o"), True, "no such bucket or file", "check the name"),
        (FileNotFoundError("The bucket does not exist"), True, "The bucket does not exist", "check the name"),
        (OSError("Forbidden: b/o\nanonymous"), True, "Forbidden: b/o anonymous", "check the permissions"),
        (PermissionError("Access Denied"), True, "Access Denied", "check the permissions"),
        (IsADirectoryError(errno.EISDIR, "Is a directory"), True, "Is a directory", "check the server"),
        (OSError(errno.ENOSPC, "No space left on device"), True, "No space left on device", "free space"),
        (TimeoutError(), False, "TimeoutError", "check the server"),
        (ConnectionError("https://b/o?signature=secret refused"), False, "https://b/o refused", "check the server"),
    ],
)
def test_what_a_failure_means(error: Exception, final: bool, reason: str, remedy: str) -> None:
    assert is_final(error) is final
    assert cause(error) == reason
    assert str(failed("az://b/o", "cannot be read", error)).startswith(f"az://b/o: cannot be read ({reason}); {remedy}")


def test_what_is_final_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(connection, "WAITS_S", (0.0, 0.0))
    calls = []

    def refused(*_: object) -> None:
        calls.append(1)
        raise Refused("no", status_code=403 if len(calls) > 1 else 503)

    with pytest.raises(StoreError, match="check the permissions"):
        Connection(f"memory://{tmp_path.name}").patient("memory://x", "cannot be read", refused)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("github://a", r"--data.files github://a: .*org.*; set the environment variables"),  # its class needs arguments
        ("nothing://a", r"--data.files nothing://a: Protocol not known: nothing; give a folder, or a URL"),
    ],
)
def test_urls_that_cannot_be_opened(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Connection(url, "--data.files").patient(url, "cannot be read", lambda files, _: files)
