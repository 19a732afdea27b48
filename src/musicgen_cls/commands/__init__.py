"""The commands of `musiccli`. A new command is a file in this folder and an entry in `COMMANDS`.

This module imports no command, so that `musiccli --help` is fast.
"""

from __future__ import annotations

from musicgen_cls.cli.command import FROM_START, Command

COMMANDS = {
    "fit": Command(
        "train a model, keep the best checkpoint, and test it", "musiccli fit --config quickstart", stopped=FROM_START
    ),
    "validate": Command(
        "compute loss and accuracy on the validation tracks", "musiccli validate best.ckpt", stopped=FROM_START
    ),
    "test": Command(
        "test a checkpoint on the test tracks, with a report",
        "musiccli test best.ckpt",
        stopped=FROM_START,
    ),
    "predict": Command(
        "predict the genre of audio files; with a generator, continue them",
        "musiccli predict song.mp3 --ckpt_path best.ckpt",
    ),
    "prepare": Command(
        "fetch, check and decode a collection; fit does this itself",
        "musiccli prepare --config vgg --data.source Folder --data.source.root music",
    ),
    "pretrained": Command(
        "list the pretrained networks, or fetch their weights",
        "musiccli pretrained fetch yamnet msd_musicnn",
        "musicgen_cls.commands.pretrained:pretrained",
        positional=("action", "names..."),
    ),
    "configs": Command(
        "list the configs that come with the package, or copy one",
        "musiccli configs vgg",
        "musicgen_cls.commands.configs:configs",
        positional=("name",),
        stopped=FROM_START,
    ),
    "fit-genres": Command(
        "train one generator for each genre, one after another",
        "musiccli fit-genres --config generator_gru",
        "musicgen_cls.commands.fit_genres:fit_genres",
        extends_fit=True,
    ),
    "sweep": Command(
        "search settings with many trials of fit; the best ones become a config",
        "musiccli sweep --config sweeps/vgg --data.source Folder --data.source.root music",
        "musicgen_cls.commands.sweep.command:sweep",
        extends_fit=True,
    ),
    "features": Command(
        "write the table of features of a collection, in the format of GTZAN on Kaggle",
        "musiccli features --source Folder --source.root music --seconds 3 --out features_3_sec.csv",
        "musicgen_cls.commands.features:features",
    ),
    "embed": Command(
        "write vectors of recordings from a pretrained network, for search and for your own models",
        "musiccli embed Music --backbone yamnet --out embeddings.npz",
        "musicgen_cls.commands.embed:embed",
        positional=("files...",),
    ),
    "shards": Command(
        "write a collection as shards, into a folder or object storage, for --data.source Shards",
        "musiccli shards --source Folder --source.root music --out s3://bucket/music",
        "musicgen_cls.commands.shards:shards",
    ),
    "compare": Command(
        "compare test reports: table, figure, paired tests",
        "musiccli compare lightning_logs/vgg/version_0 'GRU=lightning_logs/gru/seed-*'",
        "musicgen_cls.commands.compare.command:compare",
        positional=("runs...",),
        stopped=FROM_START,
    ),
    "plot": Command(
        "draw recordings, or the differences between the genres of a collection",
        "musiccli plot song.mp3 --ckpt_path best.ckpt",
        "musicgen_cls.commands.plot.command:plot",
        positional=("files...",),
        stopped=FROM_START,
    ),
    "listen": Command(
        "serve a page to listen with: a song's genre over time, continuations, mistakes of a test",
        "musiccli listen best.ckpt",
        "musicgen_cls.commands.listen.command:listen",
        positional=("checkpoints...",),
        stopped="the page and its files are gone; the same command serves it again",
    ),
    "judge": Command(
        "compare generated music with real music, with upper and lower bounds",
        "musiccli judge generated music --judge classifier.ckpt",
        "musicgen_cls.commands.judge.command:judge",
        positional=("generated", "real"),
        stopped=FROM_START,
    ),
    "export": Command(
        "write a classifier as one file, ONNX or torch.export, with a model card",
        "musiccli export best.ckpt --format onnx",
        "musicgen_cls.commands.export.command:export",
        positional=("checkpoint",),
        stopped=FROM_START,
    ),
}

RESTORE_TAGS = Command(
    "undo predict --write_tags",
    "musiccli predict --restore_tags --out predictions",
    "musicgen_cls.commands.restore_tags:restore_tags",
    positional=("files...",),
)
"""A form of predict that predicts nothing."""
