"""What `musiccli COMMAND --help` prints: the options that people use, in groups, with an example.

These texts need no import of Lightning, so that help comes at once; `--help-all` prints every option. A test holds them
against the parsers.
"""

from __future__ import annotations

from collections.abc import Sequence
from shutil import get_terminal_size
from textwrap import wrap

Group = tuple[str, tuple[tuple[str, str], ...]]

_CONFIG = (
    "--config FILE",
    "settings in YAML: a file, a name from musiccli configs, or -; later ones win",
)
_TRUST = ("--trust MODULE", "import classes of this module of your own that a checkpoint names, separated by commas")
_MORE: Group = (
    "More",
    (
        ("--print_config", "print the settings as YAML and stop"),
        ("--data.help CLASS", "explain the arguments of a class, as MelSlices; so do --model.help, --data.source.help"),
        ("--help-all", "every option of every part, Lightning's too"),
    ),
)
_DATA: Group = (
    "Data",
    (
        ("--data.source CLASS", "Folder (one sub-folder a genre), GTZAN, FMA or SyntheticGenres"),
        ("--data.source.root DIR", "where the music lies"),
        ("--data.source.download", "fetch GTZAN or FMA if it is not there"),
        (
            "--data.split NAME",
            "track, artist, fault_filtered, official, external, segment (leaks), or a table of your own: a CSV file "
            "with the columns file (or id) and subset (train, validation, test)",
        ),
        ("--data.fold 'I of N'", "one fold of a cross-validation instead of fractions"),
        ("--data.seconds S", "length of a window"),
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
_OUT = ("--out DIR", "where the results go")
_FIGURES = ("--figure_format NAME", "of figures in files: png, svg or pdf")
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
                    ("--model.network.ARG VALUE", "an argument of the network, as --model.network.width 16"),
                    ("--model.lr X", "learning rate"),
                    (
                        "--data.augment CLASS",
                        "change training windows at random: AddWhiteNoise, ShiftPitch or both",
                    ),
                ),
            ),
            (
                "Training",
                (
                    ("--trainer.max_epochs N", "epochs at most"),
                    ("--early_stopping.patience N", "stop after N epochs without a better validation loss"),
                    ("--ckpt_path last", "resume the newest run of this name; or a checkpoint's file"),
                    ("--test_after_fit false", "do not test the best checkpoint"),
                    ("--trainer.logger.save_dir DIR", "where runs go (lightning_logs); .name: their folder in it"),
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
        (("Settings", (_CHECKPOINT, _CONFIG, _TRUST)), _DATA, _COMPUTE, _MORE),
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
                    ("--beside CLASS", "test these tracks too, as --beside Folder --beside.root DIR, and draw both"),
                    _FIGURES,
                    _CONFIG,
                    _TRUST,
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
                        "files, folders and patterns, of any length, rate and format; also --data.files NAME ...",
                    ),
                    ("--out DIR", "where the results go (predictions, or generated)"),
                    _CONFIG,
                    _TRUST,
                ),
            ),
            (
                "With a generator",
                (
                    ("--model.seconds S", "length of each recording, its prompt included"),
                    ("--data.genre NAME", "continue in this genre"),
                    ("--data.takes N", "continuations of each prompt, each with its own random seed"),
                    ("--model.temperature X", "below 1: more probable values, above 1: rarer ones"),
                    ("--overwrite", "write into a folder that holds something else"),
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
        "Fetch, check and decode a collection, and print what is in it; fit does so by itself.",
        (
            (
                "Settings",
                (_CONFIG, ("--verify", "check every decoded track's checksum; decode damaged ones again")),
            ),
            _DATA,
            (
                "More",
                (
                    ("--data.cache_dir DIR", "where decoded audio is kept"),
                    ("--data.strict", "stop at the first file that cannot be used"),
                    *_MORE[1],
                ),
            ),
        ),
        ("musiccli prepare --config vgg --data.source Folder --data.source.root music",),
    ),
}

_WORDS = {"validate": " FILE.ckpt", "test": " FILE.ckpt", "predict": " NAME ..."}
"""What stands without an option."""


def command_help(command: str) -> str:
    """The short help of one of `COMMANDS`."""
    purpose, groups, examples = COMMANDS[command]
    lines = [f"usage: musiccli {command}{_WORDS.get(command, '')} [OPTIONS]", "", purpose]
    for title, options in groups:
        lines += ["", f"{title}:", *_table(options)]
    return "\n".join([*lines, "", "Examples:", *(f"  {example}" for example in examples), ""])


def _table(options: Sequence[tuple[str, str]]) -> list[str]:
    """A line or more for each option, no wider than the terminal."""
    width = min(max(get_terminal_size().columns, 80), 110)
    return [
        line
        for name, what in options
        for line in wrap(f"  {name:<30} {what}", width, subsequent_indent=" " * 33, break_on_hyphens=False)
    ]


def class_help(cls: type, option: str) -> str:
    """What `--data.help MelSlices` and the like print: each argument with its type, default and meaning.

    Args:
        cls: the class.
        option: the one that its arguments stand behind, as `--data`.
    """
    import inspect

    from docstring_parser import parse

    from musicgen_cls.specs import arguments_of

    texts = [parse(inspect.getdoc(base) or "") for base in reversed(cls.__mro__)]
    said = {
        parameter.arg_name: " ".join((parameter.description or "").split()) for t in texts for parameter in t.params
    }
    lines = [f"{option} {cls.__name__}", "", texts[-1].short_description or "", ""]
    for name, parameter in arguments_of(cls).items():
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        kind = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        lines += [f"  {option}.{name}{kind}{default}", f"      {said.get(name, '')}".rstrip()]
    return "\n".join([*lines, ""])
