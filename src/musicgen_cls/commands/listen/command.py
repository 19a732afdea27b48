"""The command `listen`: its options, and the server."""

from __future__ import annotations

import errno
import socket
import sys
import time
import webbrowser
from collections.abc import Sequence

from musicgen_cls.commands.listen.answer import Limits
from musicgen_cls.commands.listen.models import choices
from musicgen_cls.commands.listen.page import Application
from musicgen_cls.errors import UsageError, check_positive
from musicgen_cls.metrics.threshold import THRESHOLD, check_threshold

HERE = ("127.0.0.1", "localhost", "::1")


def listen(
    checkpoints: Sequence[str] = (),
    report: list[str] | str | None = None,
    host: str = HERE[0],
    port: int = 7860,
    max_mb: float = 50.0,
    max_minutes: float = 10.0,
    threshold: float = THRESHOLD,
    open_browser: bool = False,
) -> None:
    """Serve a page to listen with: drop a song or record one, and see its genre over time.

    Ctrl-C ends it. Songs and results are in a temporary folder, which is deleted then. The page is for this machine
    only, unless --host names another address of it.

    Args:
        checkpoints: files that fit wrote, of classifiers and of generators, which continue songs; generators of notes
            continue MIDI files too. The untrained reading is one more choice.
        report: folder of a test report, or a list, as [a,b], whose tracks can be played. The reports beside the
            checkpoints are found.
        host: address of this machine that the page is served on; 0.0.0.0 for all of them.
        port: port that the page is served on.
        max_mb: largest upload, MB.
        max_minutes: longest song, minutes.
        threshold: a genre with a lower probability is shown as unsure; 0 turns it off.
        open_browser: open the page in the default browser.

    Raises:
        CheckpointError: a checkpoint cannot be used.
        RecordError: a report is damaged.
        SourceError: the networks of the untrained reading cannot be fetched, and no other classifier is named.
        UsageError: a value is not possible, the port is in use, or Gradio is not installed.
    """
    check_threshold(threshold)
    check_positive("--", max_mb=max_mb, max_minutes=max_minutes)
    check_address(host, port)
    reports = [report] if isinstance(report, str) else report or []
    application = Application(choices(checkpoints, reports, threshold), Limits(max_mb, max_minutes))
    try:
        application.blocks.launch(server_name=host, server_port=port, prevent_thread_lock=True, **application.options)
        if host not in HERE:
            print(f"Warning:     --host {host}: others in the network can open this page", file=sys.stderr)
        print(f"Listen:      {application.blocks.local_url} (Ctrl-C ends it)", flush=True)
        if open_browser:
            webbrowser.open(application.blocks.local_url)
        while True:  # until a signal
            time.sleep(1)
    finally:
        application.close()


def check_address(host: str, port: int) -> None:
    """Raise `UsageError` if no server can listen on an address and a port."""
    if not 1 <= port <= 65535:
        raise UsageError(f"--port {port}: must be from 1 to 65535, such as 7860")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"--host {host}: not an address ({error}); use {HERE[0]}, or leave it out") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"--port {port}: in use by another program; name another, as --port {port % 65535 + 1}"
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(
                f"--host {host}: not an address of this machine; use {HERE[0]}, or leave it out"
            ) from error
        raise UsageError(f"--port {port}: cannot be used ({error.strerror}); name another, as --port 7860") from error
