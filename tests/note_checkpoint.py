"""A small checkpoint of a generator of notes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from musicgen_cls.datamodules.notes import NoteWindows
from musicgen_cls.models.notes.markov import NoteMarkov
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.sources.midi_folder import MidiFolder
from musicgen_cls.tasks.notes import NoteGenerator

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def note_checkpoint(folder: Path) -> Path:
    """The checkpoint of an n-gram of four composed songs in each of the genres jazz and metal."""
    for genre in ("jazz", "metal"):
        (folder / "midi" / genre).mkdir(parents=True)
        for number in range(4):
            write_midi(compose(genre, number, seconds=8.0), folder / "midi" / genre / f"song{number}{genre}.mid")
    data = NoteWindows(MidiFolder(str(folder / "midi")), notes=32, batch_size=4, fractions=(0.5, 0.25, 0.25))
    torch.manual_seed(0)
    task = NoteGenerator(partial(NoteMarkov), num_classes=2)
    trainer = Trainer(max_epochs=1, accelerator="cpu", limit_val_batches=0, **QUIET)
    trainer.fit(task, data)
    trainer.save_checkpoint(folder / "notes.ckpt")
    return folder / "notes.ckpt"
