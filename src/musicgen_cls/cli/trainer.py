"""Lightning's trainer with the command `prepare`."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer

from musicgen_cls.collection.collection import Collection, describe_problems, write_tables
from musicgen_cls.collection.sharded import ShardItems
from musicgen_cls.collection.store import forget_verification
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.engines.on_ray import Engine, cluster_of
from musicgen_cls.errors import counted


class MusicTrainer(Trainer):
    """Lightning's trainer, with the commands that need no training."""

    resumes: bool = False
    """Whether `fit` will restore a checkpoint."""

    prepared: tuple[Collection, str] | None = None
    """What `prepare` opened and printed; None after `verify`, and on a cluster."""

    def prepare(
        self,
        model: Any,
        datamodule: Any,
        ckpt_path: str | None = None,
        weights_only: bool = True,
        verify: bool = False,
        engine: Engine = "local",
        address: str | None = None,
    ) -> None:
        """Fetch, check and decode the collection, and print its content.

        Args:
            model: not used.
            datamodule: datamodule of the collection.
            ckpt_path: not used; the saved config of a run can have it.
            weights_only: not used; the saved config of a run can have it.
            verify: compare the samples of all decoded tracks with their hashes, and decode damaged tracks
                again; fetch and compare all shards.
            engine: `local`, or `ray`: decode and embed on a Ray cluster.
            address: of the Ray cluster, `HOST:PORT` or `local`; that of this machine if not set.
        """
        datamodule.cluster = cluster_of(engine, address)
        collection = datamodule.open_collection()
        if verify and collection.folder is not None:
            forget_verification(collection.folder)
            collection = datamodule.open_collection()
            audio = getattr(datamodule, "audio", None) or collection  # of embeddings
            if isinstance(audio.items, ShardItems):
                audio.items.verify()
            print(f"Verified:    the samples of {counted(len(collection.tracks), 'track')} have the right hashes")
        text = described(datamodule, collection)
        print(text)
        if not verify and engine == "local":
            self.prepared = collection, text


def described(datamodule: GenreDataModule, collection: Collection) -> str:
    """What `prepare` prints: the size of a collection, which tracks belong together, and its tables, which it writes.

    The ids of all tracks that sound the same are in it.
    """
    tracks = counted(collection.whole_tracks, "track")
    if collection.folder is None:
        head, tables = f"{tracks}, not audio, so nothing to decode: {datamodule.location}", []
    else:
        hours = float(collection.lengths.sum()) / collection.rate / 3600
        head = f"{tracks}, {hours:.2f} hours, at {collection.rate} Hz: {collection.folder}"
        tables = ["Tables:      {}\n             {}".format(*write_tables(collection))]
    grouped = [f"{line[:1].upper()}{line[1:]}" for line in datamodule.grouped(collection)]
    near = [f"  same sound: {', '.join(ids)}" for ids in collection.near]
    problems = [describe_problems(collection.problems)] if collection.problems else []
    return "\n".join([head, *grouped, *near, *problems, *tables])
