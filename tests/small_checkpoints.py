"""Small checkpoints of a classifier and of generators, each after a step or a pass, and songs to train them on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer

from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.notes import NoteWindows
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.models.generators.waveform_rnn import WaveformRNN
from musicgen_cls.models.notes.markov import NoteMarkov
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.midi_folder import MidiFolder
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator
from musicgen_cls.tasks.notes import NoteGenerator

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def write_songs(root: Path, number: int, seconds: float) -> Path:
    """Write composed songs of the genres jazz and metal as MIDI files; return the folder."""
    for genre in ("jazz", "metal"):
        (root / genre).mkdir(parents=True)
        for row in range(number):
            write_midi(compose(genre, row, seconds=seconds), root / genre / f"song{row}{genre}.mid")
    return root


def note_checkpoint(folder: Path) -> Path:
    """The checkpoint of an n-gram of four composed songs in each of the genres jazz and metal."""
    songs = write_songs(folder / "midi", 4, 8.0)
    data = NoteWindows(MidiFolder(str(songs)), notes=32, batch_size=4, fractions=(0.5, 0.25, 0.25))
    torch.manual_seed(0)
    task = NoteGenerator(partial(NoteMarkov), num_classes=2)
    trainer = Trainer(max_epochs=1, accelerator="cpu", limit_val_batches=0, **QUIET)
    trainer.fit(task, data)
    trainer.save_checkpoint(folder / "notes.ckpt")
    return folder / "notes.ckpt"


def waveform_checkpoint(path: Path, songs: Path, seconds: float = 10.0) -> Path:
    """The checkpoint of a generator of jazz and metal at 4 kHz, with prompts of 0.5 s."""
    data = WaveformWindows(Folder(str(songs)), context_seconds=0.5, target_seconds=0.1, hop_seconds=0.5,
                           sample_rate=4000, fractions=(0.5, 0.25, 0.25))  # fmt: skip
    network = partial(WaveformRNN, channels=2, hidden=2)
    task = GenreGenerator(network, num_classes=2, sample_rate=4000, target_samples=400, seconds=seconds)
    trainer = Trainer(max_steps=1, accelerator="cpu", limit_val_batches=0, **QUIET)
    trainer.fit(task, data)
    trainer.save_checkpoint(path)
    return path


def classifier_checkpoint(path: Path, music: Path, *callbacks: Callback) -> Path:
    """The checkpoint of a classifier of three genres, which predicts one of them nearly always; it is tested too."""
    torch.manual_seed(0)
    data = MelSlices(Folder(str(music)), windows_per_track=2, fractions=(0.25, 0.25, 0.5), batch_size=5)
    task = GenreClassifier(partial(VGG, width=2), num_classes=3)
    trainer = Trainer(max_steps=1, accelerator="cpu", callbacks=[*callbacks], **QUIET)
    trainer.fit(task, data)
    trainer.test(task, data, verbose=False)
    trainer.save_checkpoint(path)
    return path
