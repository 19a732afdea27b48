"""The console script: answers `--version` and `--help` at once, and hands everything else to the command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from musicgen_cls import __version__
from musicgen_cls.cli import help
from musicgen_cls.cli.exit import leaving_at_once, told
from musicgen_cls.errors import UsageError
from musicgen_cls.specs import TRUST_VARIABLE

COMMANDS = {
    "fit": "train a model, keep the best checkpoint, and test it",
    "validate": "score a checkpoint on the validation tracks",
    "test": "score a checkpoint on the test tracks, with intervals, tables and figures",
    "predict": "tell the genre of any audio files; with a generator, continue them",
    "prepare": "fetch, check and decode a collection; fit does it by itself when needed",
    "fit-genres": "train one generator a genre, in turn",
    "sweep": "search settings: many trials of fit, the best as a config",
    "features": "write the table of features of a collection, as of GTZAN on Kaggle",
    "compare": "hold tests against one another: table, chart, paired tests",
    "plot": "draw recordings, or what sets the genres of a collection apart",
    "judge": "hold generated music against real music, with floors and ceilings",
    "export": "write a classifier as one file, ONNX or torch.export, with a model card",
}

ROOMS = {
    "fit-genres": "musicgen_cls.commands.fit_genres",
    "sweep": "musicgen_cls.commands.sweep",
    "features": "musicgen_cls.commands.features",
    "compare": "musicgen_cls.commands.compare.command",
    "plot": "musicgen_cls.commands.plot",
    "judge": "musicgen_cls.commands.judge.command",
    "export": "musicgen_cls.commands.export.command",
}
"""Where a command's `run` is, if not in `cli`, which is slow to import."""

STOPPED = dict.fromkeys(
    ("fit", "validate", "test", "compare", "plot", "judge", "export"), "the same command starts from the beginning"
)
"""What a command that was stopped says of its second time, if it does not resume and says nothing better itself."""

EXAMPLES = """\
  musiccli fit --config configs/quickstart.yaml
  musiccli fit --config configs/vgg.yaml --data.source Folder --data.source.root DIR
  musiccli test --ckpt_path best.ckpt
  musiccli predict --ckpt_path best.ckpt --data.files song.mp3
  musiccli fit --config configs/generator.yaml
  musiccli export best.ckpt"""


def root_help() -> str:
    """What `musiccli --help` prints."""
    commands = "\n".join(f"  {name:<11}{what}" for name, what in COMMANDS.items())
    return (
        "usage: musiccli [--help] [--version] COMMAND ...\n\nNeural networks on music genres.\n\n"
        f"commands:\n{commands}\n\n"
        f"musiccli COMMAND --help explains the options of a command. Examples:\n{EXAMPLES}\n"
    )


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (that of the process if None); return the exit status."""
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help"):
        print(root_help(), end="")
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        print(f"musiccli {__version__}")
        return 0
    if args[0] not in COMMANDS:
        near = get_close_matches(args[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
        print(f"musiccli: error: no command '{args[0]}'; {hint}", file=sys.stderr)
        return 2
    if args[0] in help.COMMANDS and not {"-h", "--help"}.isdisjoint(args):
        print(help.command_help(args[0]), end="")
        return 0
    sys.path.append(str(Path.cwd()))  # so that configs can name classes of one's own; a console script leaves it out
    return told(lambda: _run(args), STOPPED.get(args[0], "the same command resumes it"))


@contextmanager
def trusting(args: list[str]) -> Iterator[list[str]]:
    """Take every `--trust MODULE` out of a command line, and let the command and its worker processes trust these."""
    rest, trust, following = [], os.environ.get(TRUST_VARIABLE, ""), False
    for arg, after in zip(args, (*args[1:], "-"), strict=True):
        name, equals, value = arg.partition("=")
        if arg == "--trust" and after.startswith("-"):
            raise UsageError("--trust: names no module; say one, as --trust my_module")
        if following or (equals and name == "--trust"):
            trust = ",".join(filter(None, (trust, arg if following else value)))
        elif arg != "--trust":
            rest.append(arg)
        following = arg == "--trust" and not following
    before = os.environ.get(TRUST_VARIABLE)
    os.environ[TRUST_VARIABLE] = trust
    try:
        yield rest
    finally:
        os.environ.pop(TRUST_VARIABLE)
        if before is not None:
            os.environ[TRUST_VARIABLE] = before


def _run(args: list[str]) -> None:
    room = ROOMS.get(args[0])
    with trusting(args) as rest:
        with leaving_at_once():
            module = import_module(room or "musicgen_cls.cli.lightning")
        if room:
            module.run(rest[1:])
        else:
            module.start(rest)


if __name__ == "__main__":
    sys.exit(main())
