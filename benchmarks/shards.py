"""Shards beside the store of decoded files, and what a faulty server does: `python benchmarks/shards.py [PART ...]`.

The server is moto on this machine, behind a proxy that can be slow or break off. Parts:

- speed: windows of 2 s a second at random places of 200 tracks of 30 s, and the time to the first batch: from the store
  of decoded files, from shards in a folder, from shards behind S3 in the first and in a later epoch, and with a cache
  for half of the shards.
- litdata: the same from litdata's StreamingDataset, if it is installed: with tracks as items, whose windows are cut
  after they are read, and with windows as items, which are always the same.
- faults: a training whose server breaks off in mid-epoch: what is printed, the exit status, how long it takes, and
  whether the resumed training has the results of an unbroken one; a server that is not there, that never answers, and
  that is slow.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from musicgen_cls.collection.sharded import ShardItems
from musicgen_cls.commands.shards import shards
from musicgen_cls.datamodules import WaveformSlices
from musicgen_cls.shards.cache import VARIABLE
from musicgen_cls.sources import Folder, Shards, SyntheticGenres
from musicgen_cls.sources.base import Source
from musicgen_cls.tables import as_markdown

RATE, TRACKS, SECONDS, WINDOW_S, CROPS, BATCH = 22050, 200, 30, 2.0, 60, 64
BUCKET = "s3://music"


class Proxy:
    """Passes bytes between clients and a server; can be slow, break off after some shards, and come back."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.server, self.shards_left, self.bytes_per_s = server, float("inf"), float("inf")
        self.sockets: set[socket.socket] = set()
        self.dead = threading.Event()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Listen."""
        self.dead.clear()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self) -> None:
        """Break off all connections, and refuse new ones."""
        self.dead.set()
        self.died_s = time.monotonic()
        for each in (self.listener, *list(self.sockets)):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        while not self.dead.is_set():
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self.server)
            except OSError:
                return
            self.sockets |= {client, server}
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        try:
            while block := source.recv(1 << 16):
                if asks and re.match(rb"GET \S+\.i16", block):
                    self.shards_left -= 1
                    if self.shards_left < 0:
                        self.stop()
                        return
                target.sendall(block)
                if not asks and self.bytes_per_s < float("inf"):
                    time.sleep(len(block) / self.bytes_per_s)
        except OSError:
            pass
        finally:
            for each in (source, target):
                each.close()
                self.sockets.discard(each)


def serve() -> Proxy:
    """Start moto with a bucket, and a proxy before it; set the variables that S3's clients read."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    proxy = Proxy(moto.get_host_and_port())
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{proxy.port}",
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret",
        AWS_DEFAULT_REGION="us-east-1",
    )
    import s3fs

    s3fs.S3FileSystem().mkdir(BUCKET)
    return proxy


def write_noise(root: Path) -> Path:
    """Tracks of noise in two genres."""
    for n in range(TRACKS):
        path = root / ("a", "b")[n % 2] / f"{n}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(n).integers(-9000, 9000, SECONDS * RATE)
        soundfile.write(path, noise.astype(np.int16), RATE)
    return root


def timed(batches: Iterable[Any]) -> tuple[float, float, int]:
    """Seconds to the first batch, windows a second after it, and the number of windows."""
    begun, first, count = time.perf_counter(), 0.0, 0
    for batch in batches:
        x = batch["x"] if isinstance(batch, dict) else batch
        if not first:
            first = time.perf_counter() - begun
        else:
            count += len(x)
    return first, count / (time.perf_counter() - begun - first), count


def epochs(source: Source, number: int = 2) -> list[tuple[float, float]]:
    """Seconds from the open datamodule to the first batch, and windows a second, of each epoch."""
    data = WaveformSlices(source, sample_rate=RATE, seconds=WINDOW_S, crops_per_track=CROPS, batch_size=BATCH)
    data.prepare_data()
    data._open_once()
    loader, found = data.train_dataloader(), []
    for epoch in range(number):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        found.append(timed(loader)[:2])
    return found


def row(what: str, found: tuple[float, float], disk_mb: float) -> dict[str, str]:
    """A row of the table."""
    return {
        "read from": what,
        "first batch": f"{found[0]:.3f} s",
        "windows a second": f"{found[1]:,.0f}",
        "on this disk": f"{disk_mb:,.0f} MB",
    }


def megabytes(folder: Path, pattern: str = "*") -> float:
    """The size of files."""
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file()) / 1e6


def speed(folder: Path, repeats: int) -> None:
    """Print the speeds."""
    music, local, cache = write_noise(folder / "noise"), folder / "local", folder / "cache"
    begun = time.perf_counter()
    shards(Folder(str(music)), str(local), RATE)
    took = time.perf_counter() - begun
    serve()
    begun = time.perf_counter()
    shards(Folder(str(music)), f"{BUCKET}/noise", RATE)
    print(f"written in {took:.1f} s to a folder, {time.perf_counter() - begun:.1f} s to S3")
    for repeat in range(repeats):
        rows = [row("store of decoded files", epochs(Folder(str(music)))[1], megabytes(cache / "stores", "*.i16"))]
        rows.append(row("shards in a folder", epochs(Shards(str(local)))[1], megabytes(local, "*.i16")))
        for bound in (1.0, 0.5):
            shutil.rmtree(cache / "shards", ignore_errors=True)
            os.environ[VARIABLE] = str(bound * 1.01 * megabytes(local, "*.i16") / 1e3)
            share = "" if bound == 1 else ", half of them in the cache"
            first, second = epochs(Shards(f"{BUCKET}/noise"))
            disk = megabytes(cache / "shards", "*.i16")
            rows += [row(f"S3{share}, first epoch", first, disk), row(f"S3{share}, second epoch", second, disk)]
        del os.environ[VARIABLE]
        print(f"\nrepeat {repeat + 1}\n{as_markdown(rows)}")


def _tracks(path: str) -> dict[str, Any]:
    return {"x": soundfile.read(path, dtype="int16")[0]}


def _windows(path: str) -> Iterable[dict[str, Any]]:
    samples, length = soundfile.read(path, dtype="int16")[0], int(WINDOW_S * RATE)
    for start in range(0, len(samples) - length + 1, length):
        yield {"x": samples[start : start + length]}


def litdata(folder: Path, repeats: int) -> None:
    """Print the speeds of litdata."""
    os.environ["DATA_OPTIMIZER_CACHE_FOLDER"] = str(folder / "lit-chunks")  # else it clears /tmp/chunks and /tmp/data
    os.environ["DATA_OPTIMIZER_DATA_CACHE_FOLDER"] = str(folder / "lit-data")
    from litdata import StreamingDataLoader, StreamingDataset, optimize

    class Crops(StreamingDataset):
        """A window at a random place of a track."""

        def __getitem__(self, index: Any) -> Any:
            x = super().__getitem__(index)["x"]
            start = int(torch.randint(len(x) - int(WINDOW_S * RATE) + 1, ()))
            return torch.as_tensor(x[start : start + int(WINDOW_S * RATE)])

    class Windows(StreamingDataset):
        """A window."""

        def __getitem__(self, index: Any) -> Any:
            return torch.as_tensor(super().__getitem__(index)["x"])

    music = folder / "noise"
    files = sorted(map(str, (music if music.is_dir() else write_noise(music)).rglob("*.wav")))
    for kind, make in ((Crops, _tracks), (Windows, _windows)):
        out = folder / f"lit-{kind.__name__}"
        begun = time.perf_counter()
        optimize(make, files, str(out), chunk_bytes="64MB", num_workers=1, start_method="fork")
        print(f"written in {time.perf_counter() - begun:.1f} s")
        for repeat in range(repeats):
            data = kind(str(out), shuffle=True)
            loader = StreamingDataLoader(data, batch_size=BATCH, num_workers=0)
            passes = 20 if kind is Crops else 2
            found = [timed(loader) for _ in range(passes)]
            count = sum(own[2] for own in found)
            took = sum(own[2] / own[1] for own in found)
            print(
                as_markdown(
                    [row(f"litdata, {kind.__name__}, {repeat + 1}", (found[0][0], count / took), megabytes(out))]
                )
            )


def fit(name: str, cache: Path, *more: str) -> list[str]:
    """The command of a training, with a cache of its own for a part of the shards."""
    os.environ["MUSICGEN_CLS_CACHE"] = str(cache)
    return [
        *("fit", "--config", "gru", "--data.source", "Shards", "--data.source.root", f"{BUCKET}/songs"),
        *("--model.network.hidden", "24", "--data.windows_per_track", "3", "--data.batch_size", "16"),
        *("--trainer.max_epochs", "3", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        *("--trainer.logger.name", name, "--trainer.logger.version", "run", "--out", f"{name}-report", *more),
    ]


def run(words: list[str], folder: Path) -> tuple[int, str, float]:
    """Exit status, last line of the errors, and the time when it ended."""
    done = subprocess.run([sys.executable, "-m", "musicgen_cls", *words], cwd=folder, capture_output=True, text=True)
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1], time.monotonic()


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """The weights at the end of a training."""
    path = folder / "lightning_logs" / name / "run" / "checkpoints" / "last.ckpt"
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return found


def same(folder: Path, name: str, other: str) -> bool:
    """Whether two trainings have the same weights and the same figures."""
    first, second = weights(folder, name), weights(folder, other)
    reports = [json.loads((folder / f"{each}-report" / "report.json").read_text()) for each in (name, other)]
    return all(torch.equal(first[key], second[key]) for key in first) and (
        reports[0]["per_genre"] == reports[1]["per_genre"]
    )


def faults(folder: Path, repeats: int) -> None:
    """Print what faults do."""
    proxy = serve()
    songs = SyntheticGenres(tracks_per_genre=6, seconds=6.0)
    shards(songs, f"{BUCKET}/songs", RATE, shard_mb=1.0)
    items = _items(folder)
    os.environ[VARIABLE] = str(0.5 * sum(shard.bytes for shard in items.shards) / 1e9)
    number = len(items.shards)
    print(f"{number} shards; the cache holds half of them")
    status, line, _ = run(fit("whole", folder / "cache-whole"), folder)
    assert status == 0, line
    for repeat in range(repeats):
        name = f"broken{repeat}"
        proxy.shards_left = 3 * number + number // 2  # in the second epoch or later
        status, line, ended_s = run(fit(name, folder / f"cache-{name}"), folder)
        print(f"broken off: status {status} after {ended_s - proxy.died_s:.1f} s: {line}")
        proxy.shards_left = float("inf")
        proxy.start()
        resumed = run(fit(name, folder / f"cache-{name}", "--ckpt_path", "last"), folder)
        print(f"resumed: status {resumed[0]}; same weights and report as unbroken: {same(folder, 'whole', name)}")
    proxy.stop()
    begun = time.monotonic()
    status, line, ended_s = run(fit("gone", folder / "cache-gone"), folder)
    print(f"no server: status {status} after {ended_s - begun:.1f} s: {line}")
    with socket.create_server(("127.0.0.1", proxy.port), backlog=64):
        begun = time.monotonic()
        status, line, ended_s = run(fit("mute", folder / "cache-mute"), folder)
        print(f"no answer: status {status} after {ended_s - begun:.1f} s: {line}")
    for rate in (float("inf"), 2e6, 2e5):
        proxy.start()
        proxy.bytes_per_s = rate
        begun = time.monotonic()
        name = f"slow{rate:g}"
        status, line, ended_s = run(fit(name, folder / f"cache-{name}"), folder)
        proxy.stop()
        took = f"status {status} after {ended_s - begun:.1f} s"
        print(f"{rate / 1e6:g} MB a second on each connection: {took}; as at once: {same(folder, 'whole', name)}")


def _items(folder: Path) -> ShardItems:
    from musicgen_cls.collection.collection import collect

    items = collect(Shards(f"{BUCKET}/songs"), RATE, cache_dir=str(folder / "listing")).items
    assert isinstance(items, ShardItems)
    return items


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"speed": speed, "litdata": litdata, "faults": faults}
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default: all but litdata")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for name in options.parts or ["speed", "faults"]:
        with tempfile.TemporaryDirectory() as place:
            os.environ["MUSICGEN_CLS_CACHE"] = str(Path(place) / "cache")
            parts[name](Path(place), options.repeats)


if __name__ == "__main__":
    main()
