"""A web site on this machine, for what is downloaded."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from musicgen_cls.sources import download


@dataclass
class Site:
    """A web site: its files by path, the paths that break off half-way, and what was asked for."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    breaking: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def add(self, path: str, content: bytes) -> tuple[str, str]:
        """Publish a file; its address and md5."""
        self.files[path] = content
        return self.url + path, "md5:" + hashlib.md5(content).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests.append(self.path)
            content = site.files.get(self.path)
            if content is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.path in site.breaking:
                site.breaking.remove(self.path)
                content = content[: len(content) // 2]
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "RETRIES", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()
