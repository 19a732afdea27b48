"""`musiccli plot`: what music looks like, a recording on one sheet, or a collection genre by genre."""

from musicgen_cls.commands.plot.command import plot, run

__all__ = ["plot", "run"]
