"""Damaged files of every kind that the package reads: each must end in success, or in one line of its own errors.

    python benchmarks/fuzz.py [--cases 500] [--seed 0] [--kinds midi flac ...] [--out fuzz]

Small valid files are written first. Each case damages one of them, one to three times (tests/mutations.py), and reads
it in another process, which may take 10 s and 1 GB more memory than before. Cases that fail are kept in the output
folder with the traceback; the same seed makes the same files. Exit status 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
import soundfile
import torch
import yaml
from lightning.pytorch import Trainer
from PIL import Image
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from musicgen_cls.audio import io
from musicgen_cls.audio.features import COLUMNS
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.cli.configs import checked
from musicgen_cls.collection.journal import read_contents
from musicgen_cls.commands.compare.reports import find_rows
from musicgen_cls.datamodules.feature_table import FeatureTable
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.spectrograms import _read_array, _read_png
from musicgen_cls.errors import MusicClsError
from musicgen_cls.formats.generations import Recording, read_lines
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import read_midi, write_midi
from musicgen_cls.notes.soundfont import SoundFont
from musicgen_cls.recogniser import load_parts
from musicgen_cls.sources.fma import FMA
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.lists import _rows as list_rows
from musicgen_cls.synth.render import render
from musicgen_cls.tables import as_markdown
from musicgen_cls.tagging.genre import read_genre
from musicgen_cls.tasks.classification import GenreClassifier
from mutations import damaged
from soundfonts import write_soundfont

LIMIT_S, LIMIT_BYTES = 10.0, 1 << 30
RATE = 22050


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name in a folder, how to write a valid one, and how the package reads it."""

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]


def sound() -> np.ndarray:
    """Two seconds of music."""
    return render("jazz", 0, seconds=2.0, sample_rate=RATE)


def write_container(path: Path, codec: str, layout: str = "mono") -> None:
    """The same, encoded by PyAV, in each channel of a layout."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout=layout)
        channels = len(stream.codec_context.layout.channels)
        pcm = np.repeat((sound() * 20000).astype(np.int16), channels)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate = RATE
        for part in (frame, None):
            container.mux(stream.encode(part))


def write_png(path: Path) -> None:
    """A mel spectrogram as an image."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48), dtype=np.uint8)).save(path)


def write_table(path: Path) -> None:
    """A table of features of eight tracks."""
    rows = [[f"{genre}.{n:05d}.wav", *(f"{n / 7 + row + 1000:.3f}" for row in range(len(COLUMNS))), genre]
            for genre in ("blues", "jazz") for n in range(4)]  # fmt: skip
    path.write_text("".join(",".join(row) + "\n" for row in [["filename", *COLUMNS, "label"], *rows]))


def read_feature_table(path: Path) -> None:
    """Read a table, and divide its tracks."""
    data = FeatureTable(table=str(path), split="track", fractions=(0.5, 0.25, 0.25))
    data.prepare_data()
    data.setup("fit")


def write_list(path: Path) -> None:
    """A list of a user's own split."""
    path.write_text("file,subset\n" + "".join(f"jazz/{n}.wav,{side}\n" for n, side in enumerate(("training", "test"))))


def write_checkpoint(path: Path) -> None:
    """A classifier after one step."""
    with tempfile.TemporaryDirectory() as folder:
        for genre in ("jazz", "metal"):
            (Path(folder) / genre).mkdir()
            for n in range(3):
                soundfile.write(Path(folder) / genre / f"{n}.wav", render(genre, n, seconds=2.0), RATE)
        data = MelSlices(Folder(folder), seconds=1.0, windows_per_track=1, fractions=(0.4, 0.3, 0.3), batch_size=2)
        trainer = Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                          enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0)  # fmt: skip
        trainer.fit(GenreClassifier(partial(VGG, width=2), num_classes=2), data)
        trainer.save_checkpoint(path)


def read_model(path: Path) -> None:
    """Read the facts of a checkpoint, and build its network."""
    load_parts(read_checkpoint(path), torch.device("cpu"))


def write_report(path: Path) -> None:
    """The report of a test, as small as it can be."""
    share = {"value": 1.0, "low": 0.4, "high": 1.0}
    report = {"source": "music", "split": "track", "can_leak": False, "tracks": 3, "track_accuracy": share}
    path.write_text(json.dumps(report, indent=1))
    rows = "".join(f"jazz/{n}.wav,jazz,jazz\n" for n in range(3))
    (path.parent / "tracks.csv").write_text("track,genre,predicted\n" + rows)


def write_lines(path: Path) -> None:
    """The record of generated recordings."""
    lines = [{"file": f"jazz/{n}.wav", "genre": "jazz", "prompt": "a.wav", "context_seconds": 1.0} for n in range(4)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_fma(path: Path) -> None:
    """FMA's table of tracks."""
    heads = [",artist,set,set,track", ",id,split,subset,genre_top", "track_id,,,,"]
    rows = [f"{number},{number % 2},training,small,{('Rock', 'Jazz')[number % 2]}" for number in range(1, 6)]
    path.write_text("\n".join([*heads, *rows]) + "\n")


def read_fma(path: Path) -> None:
    """The tracks that FMA's table lists."""
    FMA(root=str(path.parents[1])).all_tracks()


def write_journal(path: Path) -> None:
    """The journal of a store; its samples stay as they are."""
    from musicgen_cls.collection.collection import collect

    with tempfile.TemporaryDirectory() as folder:
        for genre in ("jazz", "metal"):
            (Path(folder) / genre).mkdir()
            soundfile.write(Path(folder) / genre / "0.wav", render(genre, 0, seconds=1.0), RATE)
        found = collect(Folder(folder), 8000, cache_dir=str(Path(folder) / "cache"))
        assert found.folder is not None
        (path.parent / "audio.i16").write_bytes((found.folder / "audio.i16").read_bytes())
        path.write_bytes(next(found.folder.glob("*.jsonl")).read_bytes())


def read_journal(path: Path) -> None:
    """What a store has."""
    read_contents(path, path.parent / "audio.i16")


def read_sound(path: Path) -> None:
    """The samples of a file."""
    io.read(path, RATE)


def read_font(path: Path) -> None:
    """Play a piece by a SoundFont."""
    SoundFont(path).render(compose("jazz", 0, seconds=2.0), RATE)


def write_settings(path: Path) -> None:
    """A config."""
    source = {"class_path": "Folder", "init_args": {"root": "music"}}
    data = {"class_path": "MelSlices", "init_args": {"source": source, "seconds": 3.0}}
    path.write_text(yaml.safe_dump({"model": {"class_path": "GenreClassifier"}, "data": data, "seed_everything": 0}))


KINDS = {
    **{
        suffix: Kind(f"song.{suffix}", lambda path: soundfile.write(path, sound(), RATE), read_sound)
        for suffix in ("wav", "flac", "ogg", "mp3", "aiff")
    },
    "m4a": Kind("song.m4a", partial(write_container, codec="aac"), read_sound),
    "webm": Kind("song.webm", partial(write_container, codec="libopus"), read_sound),
    "surround": Kind("song.m4a", partial(write_container, codec="aac", layout="7.1"), read_sound),
    "tags": Kind("song.mp3", lambda path: soundfile.write(path, sound(), RATE), read_genre),
    "midi": Kind("song.mid", lambda path: write_midi(compose("jazz", 0, seconds=8.0), path), read_midi),
    "soundfont": Kind("font.sf2", write_soundfont, read_font),
    "png": Kind("mel.png", write_png, _read_png),
    "npy": Kind("mel.npy", lambda path: np.save(path, np.zeros((32, 48), np.float32)), _read_array),
    "features": Kind("table.csv", write_table, read_feature_table),
    "list": Kind("split.csv", write_list, lambda path: list(list_rows(path))),
    "fma": Kind("fma_metadata/tracks.csv", write_fma, read_fma),
    "yaml": Kind("own.yaml", write_settings, lambda path: checked(["fit", "--config", str(path)])),
    "checkpoint": Kind("best.ckpt", write_checkpoint, read_model),
    "report": Kind("report.json", write_report, lambda path: find_rows([str(path.parent)])),
    "record": Kind("continuations.jsonl", write_lines, lambda path: read_lines(path.parent, Recording)),
    "journal": Kind("journal.jsonl", write_journal, read_journal),
}


def verdict(kind: Kind, path: Path) -> str:
    """`read`, `refused`, or the traceback of a fault."""
    try:
        kind.read(path)
    except MusicClsError as error:
        text = str(error)
        return "refused" if text and "\n" not in text else f"not one line: {text!r}"
    except BaseException:  # what this looks for
        return traceback.format_exc()
    return "read"


def worker(kind: Kind, pipe: Connection) -> None:
    """Read each file that the pipe names, and answer."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    silent = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(silent, number)
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + LIMIT_BYTES, resource.RLIM_INFINITY))
    while path := pipe.recv():
        pipe.send(verdict(kind, path))


class Reader:
    """A process that reads files of a kind; a new one after each that died or took too long."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.process = kind, None

    def answer(self, path: Path) -> str:
        """The verdict on a file."""
        if self.process is None:
            self.pipe, theirs = multiprocessing.Pipe()
            self.process = multiprocessing.Process(target=worker, args=(self.kind, theirs), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send(path)
        try:
            if self.pipe.poll(LIMIT_S):
                return self.pipe.recv()
            reason = f"more than {LIMIT_S:g} s"
        except EOFError:
            self.process.join()
            reason = f"the process died, exit status {self.process.exitcode}"
        self.process.kill()
        self.process = None
        return reason


def run(name: str, cases: int, seed: int, out: Path) -> Counter[str]:
    """Read damaged files of a kind; how many were read, refused, and faults."""
    kind, counts = KINDS[name], Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / kind.name
        path.parent.mkdir(exist_ok=True)
        kind.write(path)
        valid = path.read_bytes()
        reader = Reader(kind)
        if (found := reader.answer(path)) != "read":
            raise SystemExit(f"{name}: the undamaged file is not read: {found}")
        for case in tqdm(range(cases), desc=name, leave=False):
            rng = np.random.default_rng((seed, case))
            content = valid
            for _ in range(rng.integers(1, 4)):
                content = damaged(content, rng)
            path.write_bytes(content)
            found = reader.answer(path)
            if found not in ("read", "refused"):
                out.mkdir(parents=True, exist_ok=True)
                (out / f"{name}-{seed}-{case}-{kind.name}").write_bytes(content)
                (out / f"{name}-{seed}-{case}.txt").write_text(found)
                found = "fault"
            counts[found] += 1
    return counts


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="folder for the files of faults")
    given = parser.parse_args()
    multiprocessing.set_start_method("fork")
    counts = {name: run(name, given.cases, given.seed, given.out) for name in given.kinds}
    print(as_markdown([{"kind": name, **{what: str(found[what]) for what in ("read", "refused", "fault")}}
                       for name, found in counts.items()]))  # fmt: skip
    return int(any(found["fault"] for found in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
