"""`musiccli sweep`: many trainings with settings that Optuna picks, and the best of them as a config."""

from musicgen_cls.commands.sweep.command import run

__all__ = ["run"]
