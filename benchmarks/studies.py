"""The studies' classifiers where the split leaks and where it does not: `python benchmarks/studies.py --data DATA`.

Trains each config on each split with each seed (the seed divides the tracks, where the split is not a published list,
and starts the network), tests the checkpoint that was best on validation, and prints a Markdown table. What a stopped
run has done is kept in `--out`, a line a training, and not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIGS = Path(__file__).parents[1] / "configs"

TEN = ["--data.table", "{data}/features/features_10_sec.csv", "--data.source", "GTZAN"]
ACROSS = ["--data.look_back", "50", "--data.across_tracks", "true"]
LOGMEL = ["--data", "Spectrograms", "--data.source", "GTZAN", "--data.source.root", "{data}/gtzan_logmel"]
LOGMEL += ["--data.frame_seconds", "0.0775"]
WHOLE = [*LOGMEL, "--data.frames", "387", "--data.windows_per_track", "1", "--data.batch_size", "32"]
WHOLE += ["--model.lr", "0.0005", "--trainer.max_epochs", "25"]
FEWER = [*WHOLE, "--trainer.max_epochs", "15"]  # the LSTM takes three times as long
SLICES = [*LOGMEL, "--data.n_mels", "128", "--data.windows_per_track", "6", "--data.batch_size", "64"]
TWO = [*SLICES, "--data.frames", "26", "--trainer.max_epochs", "12"]
FIVE = [*SLICES, "--data.frames", "64", "--trainer.max_epochs", "10", "--model.lr", "0.0005"]
BANDS = ["--model.network.n_mels", "128"]
TRACK, SEGMENT = "track", "segment"
ALL = (SEGMENT, TRACK, "fault_filtered_dev")

CLIPS = ["--data.source", "GTZAN", "--data.source.root", "{data}/gtzan_clips", "--data.crops_per_track", "1"]
CLIPS += ["--model.network.width", "8", "--trainer.max_epochs", "25", "--early_stopping.patience", "25"]
MASKS = {"n_time_masks": 2, "time_mask_param": 20, "n_freq_masks": 2, "freq_mask_param": 8}
SPEC_AUGMENT = ["--data.mask", "torchaudio.transforms.SpecAugment"]
SPEC_AUGMENT += [part for name, value in MASKS.items() for part in (f"--data.mask.{name}", str(value))]
CHANGES = {
    "as they are": [],
    "AddNoise": ["--data.augment", "AddNoise"],
    "ShiftPitch": ["--data.augment", "ShiftPitch"],
    "NoiseAndPitch": ["--data.augment", "NoiseAndPitch"],
    "SpecAugment": SPEC_AUGMENT,
    "mixup": ["--model.mixup", "0.2"],
}

# what the studies reached, as they say it
FIGURES = {
    "feature_mlp": "92 % (validation)",
    "feature_lstm": "80 % (validation)",
    "temporal_pooling": "74.01 %",
    "conv_lstm": "60.9 %",
    "cnn5": "satisfying",
    "vgg": "best of its four",
    "cnn": "not the best",
    "lstm": "not the best",
    "gru": "not the best",
}

# name: config, arguments, splits
ROWS: dict[str, tuple[str, list[str], tuple[str, ...]]] = {
    "feature_mlp, 10 s": ("feature_mlp", TEN, (SEGMENT, TRACK, "fault_filtered")),
    "feature_lstm, 10 s, 50 rows across tracks": ("feature_lstm", [*TEN, *ACROSS], (SEGMENT,)),
    "feature_lstm, 10 s, 2 rows before": ("feature_lstm", [*TEN, "--data.look_back", "2"], (TRACK, "fault_filtered")),
    "temporal_pooling, whole tracks": ("temporal_pooling", WHOLE, (TRACK, "fault_filtered_dev")),
    "conv_lstm, whole tracks": ("conv_lstm", FEWER, (TRACK, "fault_filtered_dev")),
    "conv_lstm, simple average": ("conv_lstm", [*FEWER, "--model.network.weights", "uniform"], ("fault_filtered_dev",)),
    "cnn5, 5 s": ("cnn5", FIVE, ALL),
    "vgg, 2 s": ("vgg", [*TWO, "--model.network.width", "16"], ALL),
    "cnn, 2 s": ("cnn", TWO, ALL),
    "lstm, 2 s": ("lstm", [*TWO, *BANDS], ALL),
    "gru, 2 s": ("gru", [*TWO, *BANDS], ALL),
    **{f"vgg on excerpts, {name}": ("vgg", [*CLIPS, *changed], (TRACK,)) for name, changed in CHANGES.items()},
}


def main() -> None:
    """Train, test, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with features/ and gtzan_logmel/")
    parser.add_argument("--out", type=Path, default=Path("studies.jsonl"), help="what was reached, a line a training")
    parser.add_argument("--only", help="rows whose name begins so")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.is_file() else []
    for name, (config, arguments, splits) in ROWS.items():
        for split in splits:
            for seed in range(options.seeds):
                key = {"row": name, "split": split, "seed": seed}
                if (options.only and not name.startswith(options.only)) or any(key.items() <= r.items() for r in done):
                    continue
                extra = [argument.format(data=options.data) for argument in arguments]
                reached = train(config, [*extra, "--data.split", split], seed, options.threads)
                done.append(key | reached)
                with options.out.open("a") as file:
                    file.write(json.dumps(done[-1]) + "\n")
                print(f"{name}, {split}, seed {seed}: {100 * reached['track']:.1f} %", file=sys.stderr, flush=True)
    print(table(done))


def train(config: str, arguments: list[str], seed: int, threads: int) -> dict[str, float]:
    """Accuracies on test tracks and segments, and minutes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "musicgen_cls", "fit", "--config", str(CONFIGS / f"{config}.yaml"), *arguments]
        command += ["--seed_everything", str(seed), "--data.split_seed", str(seed)]
        command += ["--trainer.enable_progress_bar", "false", "--figures_every_n_epochs", "100000"]
        command += ["--trainer.logger.save_dir", folder, "--out", f"{folder}/test"]
        begin = time.perf_counter()
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        report = json.loads(Path(folder, "test", "report.json").read_text())
    return {
        "track": report["track_accuracy"]["value"],
        "segment": report["segment_accuracy"]["value"],
        "tracks": report["tracks"],
        "leaks": report["can_leak"],
        "minutes": (time.perf_counter() - begin) / 60,
    }


def table(done: list[dict[str, float]]) -> str:
    """Mean and spread over seeds of each row and split."""
    lines = [
        "| config | split | tracks, % | segments, % | seeds | test tracks | minutes | the study |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((r["row"], r["split"]) for r in done):
        runs = [r for r in done if (r["row"], r["split"]) == key]
        spread = [
            f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values) if len(values) > 1 else 0:.1f}"
            for values in ([r["track"] for r in runs], [r["segment"] for r in runs])
        ]
        split = f"{key[1]} (leaks)" if runs[0]["leaks"] else key[1]
        minutes = statistics.mean(r["minutes"] for r in runs)
        sizes = sorted({r["tracks"] for r in runs})
        tested = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        row = [key[0], split, *spread, str(len(runs)), tested, f"{minutes:.1f}", FIGURES[ROWS[key[0]][0]]]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
