"""A Hugging Face Space with the page of `musiccli listen`: every .ckpt file beside this one is a choice."""

from pathlib import Path

from musicgen_cls.commands.listen.answer import Limits
from musicgen_cls.commands.listen.models import choices
from musicgen_cls.commands.listen.page import Application

CHECKPOINTS = sorted(str(path) for path in Path(__file__).parent.glob("*.ckpt"))

application = Application(choices(CHECKPOINTS), Limits(max_mb=20, max_minutes=6))
demo = application.blocks

if __name__ == "__main__":
    demo.launch(**application.options)  # the Space sets address and port in its environment
