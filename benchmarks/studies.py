"""The studies' classifiers on splits that leak and on splits that do not: `python benchmarks/studies.py --data DATA`.

Trains each config on each split with each seed, and tests the checkpoint with the best validation loss. The seed
divides the tracks, unless the split is a published list, and initialises the network. The reports are in `--out`, a
folder for each row, split and seed; a run with a report is not done again. `musiccli compare` prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from musicgen_cls.commands.compare.reports import find_rows
from musicgen_cls.commands.compare.table import table_of
from musicgen_cls.files import writing
from musicgen_cls.formats.records import read
from musicgen_cls.formats.reports import Report
from musicgen_cls.tables import as_markdown

TEN = ["--data.table", "{data}/features/features_10_sec.csv", "--data.source", "GTZAN"]
ACROSS = ["--data.look_back", "50", "--data.across_tracks", "true"]
LOGMEL = ["--data", "Spectrograms", "--data.source", "GTZAN", "--data.source.root", "{data}/gtzan_logmel"]
LOGMEL += ["--data.frame_seconds", "0.0775"]
WHOLE = [*LOGMEL, "--data.frames", "387", "--data.windows_per_track", "1", "--data.batch_size", "32"]
WHOLE += ["--model.lr", "0.0005", "--trainer.max_epochs", "25"]
# the result of musiccli sweep --config sweeps/temporal_pooling on the validation tracks of DEV
SEARCHED = [*LOGMEL, "--data.frames", "128", "--data.windows_per_track", "4", "--data.batch_size", "32"]
SEARCHED += ["--model.lr", "0.00022", "--model.mixup", "0.2", "--trainer.max_epochs", "80"]
SEARCHED += [
    "--early_stopping.monitor",
    "val_accuracy",
    "--early_stopping.mode",
    "max",
    "--early_stopping.patience",
    "30",
]
SEARCHED += ["--checkpoint.monitor", "val_accuracy", "--checkpoint.mode", "max"]
FEWER = [*WHOLE, "--trainer.max_epochs", "15"]  # the LSTM takes three times as long
SLICES = [*LOGMEL, "--data.n_mels", "128", "--data.windows_per_track", "6", "--data.batch_size", "64"]
TWO = [*SLICES, "--data.frames", "26", "--trainer.max_epochs", "12"]
FIVE = [*SLICES, "--data.frames", "64", "--trainer.max_epochs", "10", "--model.lr", "0.0005"]
BANDS = ["--model.network.n_mels", "128"]
TRACK, SEGMENT = "track", "segment"
DEV = "fault_filtered_dev"
ALL = (SEGMENT, TRACK, DEV)
EMOTIFY = ["--data.source", "Folder", "--data.source.root", "{data}/emotify", "--data.windows_per_track", "6"]
EMOTIFY += ["--data.crops_per_track", "4", "--trainer.max_epochs", "20"]
# musiccli features --source Folder --source.root {data}/emotify --seconds 3 --out {out}/emotify_3_sec.csv
THREE = ["--data.table", "{out}/emotify_3_sec.csv", "--data.source", "Folder", "--data.source.root", "{data}/emotify"]

CLIPS = ["--data.source", "GTZAN", "--data.source.root", "{data}/gtzan_clips", "--data.crops_per_track", "1"]
CLIPS += ["--model.network.width", "8", "--trainer.max_epochs", "25", "--early_stopping.patience", "25"]
MASKS = {"n_time_masks": 2, "time_mask_param": 20, "n_freq_masks": 2, "freq_mask_param": 8}
SPEC_AUGMENT = ["--data.mask", "torchaudio.transforms.SpecAugment"]
SPEC_AUGMENT += [part for name, value in MASKS.items() for part in (f"--data.mask.{name}", str(value))]
CHANGES = {
    "as they are": [],
    "AddWhiteNoise": ["--data.augment", "AddWhiteNoise"],
    "ShiftPitch": ["--data.augment", "ShiftPitch"],
    "NoiseAndPitch": ["--data.augment", "NoiseAndPitch"],
    "SpecAugment": SPEC_AUGMENT,
    "mixup": ["--model.mixup", "0.2"],
}

# the results in the studies, in their words, by row or by config
FIGURES = {
    "feature_mlp": "92 % (validation)",
    "feature_lstm": "80 % (validation)",
    "temporal_pooling": "74.01 %",
    "conv_lstm": "60.9 %",
    "conv_lstm, simple average": "62 %",
    "cnn5": "satisfying",
    "vgg": "best of four (training)",
    "cnn": "not the best (training)",
    "lstm": "not the best (training)",
    "gru": "not the best (training)",
}

# name: config, arguments, splits
ROWS: dict[str, tuple[str, list[str], tuple[str, ...]]] = {
    "feature_mlp, 10 s": ("feature_mlp", TEN, (SEGMENT, TRACK, "artist", DEV, "fault_filtered")),
    "feature_lstm, 10 s, 50 rows across tracks": ("feature_lstm", [*TEN, *ACROSS], (SEGMENT,)),
    "feature_lstm, 10 s, 2 rows before": (
        "feature_lstm",
        [*TEN, "--data.look_back", "2"],
        (TRACK, "artist", DEV, "fault_filtered"),
    ),
    "temporal_pooling, whole tracks": ("temporal_pooling", WHOLE, (TRACK, DEV)),
    "temporal_pooling, six times as long": ("temporal_pooling", [*WHOLE, "--trainer.max_epochs", "150"], (DEV,)),
    "temporal_pooling, settings searched": ("temporal_pooling", SEARCHED, (TRACK, DEV)),
    "conv_lstm, whole tracks": ("conv_lstm", FEWER, (TRACK, DEV)),
    "conv_lstm, simple average": ("conv_lstm", [*FEWER, "--model.network.weights", "uniform"], (DEV,)),
    "cnn5, 5 s": ("cnn5", FIVE, ALL),
    "vgg, 2 s": ("vgg", [*TWO, "--model.network.width", "16"], ALL),
    "cnn, 2 s": ("cnn", TWO, ALL),
    "lstm, 2 s": ("lstm", [*TWO, *BANDS], ALL),
    "gru, 2 s": ("gru", [*TWO, *BANDS], ALL),
    "gru on Emotify, 2 s": ("gru", EMOTIFY, (SEGMENT, TRACK, "artist")),
    "feature_mlp on Emotify, 3 s": ("feature_mlp", THREE, (SEGMENT, TRACK, "artist")),
    "feature_lstm on Emotify, 3 s, 5 rows before": (
        "feature_lstm",
        [*THREE, "--data.look_back", "5"],
        (TRACK, "artist"),
    ),
    **{f"vgg on excerpts, {name}": ("vgg", [*CLIPS, *changed], (TRACK,)) for name, changed in CHANGES.items()},
}


def main() -> None:
    """Train, test, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with features/ and gtzan_logmel/")
    parser.add_argument("--out", type=Path, default=Path("studies"), help="folder of the reports")
    parser.add_argument("--only", default="", help="rows whose name starts with this")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    asked = [
        (name, split) for name, (_, _, splits) in ROWS.items() if name.startswith(options.only) for split in splits
    ]
    for name, split in asked:
        config, arguments, _ = ROWS[name]
        extra = [argument.format(data=options.data, out=options.out) for argument in arguments]
        for seed in range(options.seeds):
            train(
                config,
                [*extra, "--data.split", split],
                seed,
                options.threads,
                folder_of(options.out, name, split, seed),
            )
    print(table(options.out))


def folder_of(out: Path, name: str, split: str, seed: int) -> Path:
    """The folder of a training's report."""
    return out / name / split / f"seed-{seed}"


def train(config: str, arguments: list[str], seed: int, threads: int, folder: Path) -> None:
    """Train and test, unless this is done; keep the report and the minutes."""
    done = folder / "minutes.json"
    if done.exists():
        return
    with tempfile.TemporaryDirectory() as logs:
        command = [sys.executable, "-m", "musicgen_cls", "fit", "--config", config, *arguments]
        command += ["--seed_everything", str(seed), "--data.split_seed", str(seed)]
        command += ["--trainer.precision", "32-true"]  # on every machine
        command += ["--trainer.enable_progress_bar", "false", "--figures_every_n_epochs", "100000"]
        command += ["--trainer.logger.save_dir", logs, "--out", str(folder / "report")]
        begin = time.perf_counter()
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        with writing(done) as temporary:
            temporary.write_text(json.dumps((time.perf_counter() - begin) / 60))
    report = read(folder / "report" / "report.json", Report, "delete the folder and run the command again")
    print(f"{folder}: {100 * report.track_accuracy.value:.1f} % of tracks", file=sys.stderr, flush=True)


def table(out: Path) -> str:
    """Mean and spread over seeds of each row and split with results, beside the result of the study."""
    rows = [(name, split) for name, (_, _, splits) in ROWS.items() for split in splits if (out / name / split).exists()]
    compared = table_of(find_rows([f"{name} / {split}={out / name / split}" for name, split in rows]))
    lines = []
    for (name, _), line in zip(rows, compared, strict=True):
        less = {
            column: cell for column, cell in line.items() if column not in ("baseline, %", "macro F1, %", "test set")
        }
        lines.append(less | {"run": name, "the study": FIGURES.get(name, FIGURES[ROWS[name][0]])})
    return as_markdown(lines)


if __name__ == "__main__":
    main()
