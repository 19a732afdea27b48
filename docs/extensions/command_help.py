"""The directive `command-help`: a section for each command with what `musiccli COMMAND --help` prints at build time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

_WIDTH = "100"  # columns of the printed help
_COMMAND = re.compile(r"^  ([a-z][a-z-]*) +(\S.*)$", re.MULTILINE)


def commands() -> dict[str, str]:
    """The commands that `musiccli --help` lists, each with its line."""
    _, _, rest = help_of().partition("commands:\n")
    found = dict(_COMMAND.findall(rest.partition("\n\n")[0]))
    if not found:
        raise ExtensionError("musiccli --help lists no commands")
    return found


def help_of(*command: str) -> str:
    """What `musiccli [COMMAND] --help` prints."""
    line = [sys.executable, "-m", "musicgen_cls", *command, "--help"]
    environment = {**os.environ, "COLUMNS": _WIDTH, "NO_COLOR": "1"}
    done = subprocess.run(line, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)
    if done.returncode or not done.stdout.strip():
        raise ExtensionError(f"{' '.join(line[1:])}: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class CommandHelp(SphinxDirective):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        lines = commands()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            helps = list(pool.map(help_of, lines))
        return [self._section(name, lines[name], text) for name, text in zip(lines, helps, strict=True)]

    def _section(self, name: str, line: str, text: str) -> nodes.section:
        section = nodes.section(ids=[name], names=[name])
        section += nodes.title(text=name)
        section += nodes.paragraph(text=f"{line[:1].upper()}{line[1:]}.")
        section += nodes.literal_block(text, text, language="text")
        self.state.document.note_implicit_target(section, section)
        return section


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
