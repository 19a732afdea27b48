"""The output of `musiccli COMMAND --help`: the most used options, in groups, with an example.

These texts need no import of Lightning, so that help is fast; `--help-all` prints every option. A test compares them
with the parsers.
"""

from __future__ import annotations

from collections.abc import Sequence
from shutil import get_terminal_size
from textwrap import wrap

Group = tuple[str, tuple[tuple[str, str], ...]]

_CONFIG = (
    "--config FILE",
    "settings in YAML: a file, a name from musiccli configs, or -; later ones override",
)
_TRUST = ("--trust MODULE", "allow a checkpoint to import your own module; several are separated by commas")
_LICENCE = ("--accept_licence", "use weights of the hub whose licence is for non-commercial use only")
_MORE: Group = (
    "More",
    (
        ("--print_config", "print the settings as YAML and stop"),
        ("--data.help CLASS", "explain a class, such as MelSlices; also --model.help, --data.source.help"),
        ("--help-all", "print all options, including those of Lightning"),
    ),
)
_DATA: Group = (
    "Data",
    (
        (
            "--data.source CLASS",
            "Folder (a sub-folder for each genre), Manifest (a table), Shards, GTZAN, FMA, HubDataset, ...",
        ),
        ("--data.source.root DIR", "folder of the music"),
        ("--data.source.download", "fetch GTZAN or FMA if it is missing"),
        (
            "--data.split NAME",
            "track, artist, fault_filtered, official, external, segment (leaks), or your own table: a CSV file with "
            "the columns file (or id) and subset (train, validation, test)",
        ),
        ("--data.fold 'I of N'", "one fold of a cross-validation instead of fractions"),
        ("--data.seconds S", "length of a window, s"),
        ("--data.batch_size N", "windows in a batch"),
        ("--data.table FILE", "with FeatureTable: a table of features"),
    ),
)
_COMPUTE: Group = (
    "Computing",
    (
        ("--trainer.accelerator NAME", "cpu, gpu or auto"),
        ("--trainer.devices N", "with --trainer.strategy ddp: several processes or GPUs"),
        ("--trainer.precision NAME", "32-true, bf16-mixed, 16-mixed"),
    ),
)
_OUT = ("--out DIR", "folder for the results")
_CLUSTER = (
    "On a Ray cluster",
    (
        ("--engine ray", "decode and embed on a Ray cluster"),
        ("--address HOST:PORT", "the cluster (the one of this machine); local uses this machine alone"),
    ),
)
_THRESHOLD = ("--threshold P", "a genre with a lower probability is shown as unsure (0.5); 0 turns it off")
_FIGURES = ("--figure_format NAME", "format of figures: png, svg or pdf")
_CHECKPOINT = ("FILE.ckpt", "the checkpoint that fit wrote; also --ckpt_path FILE")

COMMANDS: dict[str, tuple[str, tuple[Group, ...], tuple[str, ...]]] = {
    "fit": (
        "Train a model, keep the checkpoint with the best validation loss, and test it.",
        (
            ("Settings", (_CONFIG, ("--seed_everything N", "random seed; the same seed gives the same run"))),
            _DATA,
            (
                "Model",
                (
                    (
                        "--model.network CLASS",
                        "VGG, CNN5, CNN, Recurrent, ConvLSTM, TemporalPooling, FeatureMLP, FeatureLSTM, MelFlow, "
                        "SampleRNN, WaveformRNN, or my_module.MyNetwork",
                    ),
                    ("--model.network.ARG VALUE", "an argument of the network, such as --model.network.width 16"),
                    ("--model.lr X", "learning rate"),
                    (
                        "--data.augment CLASS",
                        "augment training windows: AddWhiteNoise, ShiftPitch or NoiseAndPitch",
                    ),
                ),
            ),
            (
                "Training",
                (
                    ("--trainer.max_epochs N", "maximum number of epochs"),
                    ("--early_stopping.patience N", "stop after N epochs without a better val_loss"),
                    ("--ckpt_path last", "resume the newest run of this name; or give a checkpoint file"),
                    ("--calibrate false", "do not calibrate the best checkpoint"),
                    ("--test_after_fit false", "do not test the best checkpoint"),
                    (
                        "--trainer.logger.save_dir DIR",
                        "folder of all runs (lightning_logs); .name: sub-folder of the run",
                    ),
                ),
            ),
            _COMPUTE,
            _MORE,
        ),
        (
            "musiccli fit --config quickstart",
            "musiccli fit --config vgg --data.source Folder --data.source.root music --model.network CNN5",
        ),
    ),
    "validate": (
        "Compute the loss and accuracy of a checkpoint on the validation tracks.",
        (("Settings", (_CHECKPOINT, _CONFIG, _TRUST, _LICENCE)), _DATA, _COMPUTE, _MORE),
        ("musiccli validate best.ckpt",),
    ),
    "test": (
        "Test a checkpoint on the test tracks: a table with intervals, a report page, figures.",
        (
            (
                "Settings",
                (
                    _CHECKPOINT,
                    _OUT,
                    (
                        "--beside CLASS",
                        "also test other tracks, such as --beside Folder --beside.root DIR, and draw both",
                    ),
                    _THRESHOLD,
                    _FIGURES,
                    _CONFIG,
                    _TRUST,
                    _LICENCE,
                ),
            ),
            _DATA,
            _COMPUTE,
            _MORE,
        ),
        (
            "musiccli test best.ckpt",
            "musiccli test best.ckpt --data.source Folder --data.source.root other --data.split external",
        ),
    ),
    "predict": (
        "Predict the genre of audio files; with a generator, continue them or held-out tracks.",
        (
            (
                "Settings",
                (
                    _CHECKPOINT,
                    (
                        "NAME ...",
                        "files, folders and patterns; any length, sample rate and format; also --data.files NAME ...",
                    ),
                    ("--out DIR", "folder for the results (predictions, or generated)"),
                    _THRESHOLD,
                    ("--engine ray, --address A", "predict with a classifier on a Ray cluster"),
                    _CONFIG,
                    _TRUST,
                    _LICENCE,
                ),
            ),
            (
                "With the result",
                (
                    ("--playlists", "write a playlist (M3U8) for each genre into the folder"),
                    (
                        "--write_tags, --yes",
                        "write the genre into the tags of files whose probability is at or above --threshold (0.5); "
                        "lists the changes and asks, without --yes",
                    ),
                    ("--restore_tags", "undo --write_tags, with the journal in --out DIR; predicts nothing"),
                ),
            ),
            (
                "With a generator",
                (
                    ("--model.seconds S", "length of each recording, including its prompt, s"),
                    ("--data.genre NAME", "genre of the continuation"),
                    ("--data.samples_per_prompt N", "samples for each prompt, each with its own random seed"),
                    ("--model.temperature X", "below 1: more probable values; above 1: less probable values"),
                    ("--overwrite", "write into a folder that has other files"),
                    _FIGURES,
                    ("--seed_everything N", "random seed"),
                ),
            ),
            _COMPUTE,
            _MORE,
        ),
        (
            "musiccli predict song.mp3 folder/ 'more/*.flac' --ckpt_path best.ckpt",
            "musiccli predict generator.ckpt --model.seconds 30",
        ),
    ),
    "prepare": (
        "Fetch, check and decode a collection, and print its content; fit does this itself.",
        (
            (
                "Settings",
                (_CONFIG, ("--verify", "check the checksums of all decoded tracks; decode damaged tracks again")),
            ),
            _DATA,
            (
                "More",
                (
                    ("--data.cache_dir DIR", "folder for decoded audio"),
                    ("--data.strict", "stop at the first unusable file"),
                    *_MORE[1],
                ),
            ),
            _CLUSTER,
        ),
        ("musiccli prepare --config vgg --data.source Folder --data.source.root music",),
    ),
}

_WORDS = {"validate": " FILE.ckpt", "test": " FILE.ckpt", "predict": " NAME ..."}
"""The arguments without an option."""


def command_help(command: str) -> str:
    """The short help of one of `COMMANDS`."""
    purpose, groups, examples = COMMANDS[command]
    lines = [f"usage: musiccli {command}{_WORDS.get(command, '')} [OPTIONS]", "", purpose]
    for title, options in groups:
        lines += ["", f"{title}:", *_table(options)]
    return "\n".join([*lines, "", "Examples:", *(f"  {example}" for example in examples), ""])


def _table(options: Sequence[tuple[str, str]]) -> list[str]:
    """One or more lines for each option, as wide as the terminal at most."""
    width = min(max(get_terminal_size().columns, 80), 110)
    return [
        line
        for name, what in options
        for line in wrap(f"  {name:<30} {what}", width, subsequent_indent=" " * 33, break_on_hyphens=False)
    ]


def class_help(cls: type, option: str) -> str:
    """The output of options such as `--data.help MelSlices`: each argument with its type, default and meaning.

    Args:
        cls: the class.
        option: prefix of its arguments, such as `--data`.
    """
    import inspect

    from docstring_parser import parse

    from musicgen_cls.specs import arguments_of

    texts = [parse(inspect.getdoc(base) or "") for base in reversed(cls.__mro__)]
    meanings = {
        parameter.arg_name: " ".join((parameter.description or "").split()) for t in texts for parameter in t.params
    }
    lines = [f"{option} {cls.__name__}", "", texts[-1].short_description or "", ""]
    for name, parameter in arguments_of(cls).items():
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        kind = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        lines += [f"  {option}.{name}{kind}{default}", f"      {meanings.get(name, '')}".rstrip()]
    return "\n".join([*lines, ""])
