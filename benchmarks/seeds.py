"""Run a training over several seeds, each with its own division of the tracks, and print mean and spread.

    python benchmarks/seeds.py NAME SEEDS musiccli fit --config configs/vgg.yaml ...

Seed s gives `--seed_everything s --data.split_seed s`; its report goes to `lightning_logs/NAME/seed-s/report`. Seeds
that have a report are not run again, so an interrupted call resumes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

FIGURES = {"track accuracy": "track_accuracy", "segment accuracy": "segment_accuracy", "macro F1": "macro_f1"}


def run_seed(folder: Path, seed: int, command: list[str]) -> dict[str, float]:
    """Train and test with one seed, unless that is done; return the figures and the minutes it took."""
    done = folder / "minutes.json"
    if not done.exists():
        started = time.monotonic()
        place = [f"--trainer.logger.save_dir={folder.parent.parent}", f"--trainer.logger.name={folder.parent.name}"]
        seeds = [f"--seed_everything={seed}", f"--data.split_seed={seed}", f"--trainer.logger.version={folder.name}"]
        subprocess.run([*command, *place, *seeds, f"--out={folder / 'report'}"], check=True)
        done.write_text(json.dumps((time.monotonic() - started) / 60))
    report = json.loads((folder / "report" / "report.json").read_text())
    figures = {name: 100 * report[key]["value"] for name, key in FIGURES.items()}
    return figures | {
        "tracks": report["tracks"],
        "chance": 100 * report["chance"],
        "minutes": json.loads(done.read_text()),
    }


def table(rows: list[dict[str, float]]) -> str:
    """Markdown: a column a figure, mean and standard deviation over the seeds."""
    names = list(FIGURES)
    cells = [f"{statistics.mean(r[n] for r in rows):.1f} ± {statistics.stdev(r[n] for r in rows):.1f}" for n in names]
    each = ", ".join(f"{row['track accuracy']:.1f}" for row in rows)
    tracks = statistics.mean(row["tracks"] for row in rows)
    minutes = statistics.mean(row["minutes"] for row in rows)
    head = [
        "seeds",
        "test tracks",
        *(f"{name}, %" for name in names),
        "chance, %",
        "tracks right by seed, %",
        "minutes a seed",
    ]
    chance = statistics.mean(row["chance"] for row in rows)
    line = [str(len(rows)), f"{tracks:.0f}", *cells, f"{chance:.1f}", each, f"{minutes:.1f}"]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", "| " + " | ".join(line) + " |"])


def main() -> None:
    """Run what the command line says."""
    if len(sys.argv) < 5 or int(sys.argv[2]) < 2:
        sys.exit(__doc__)
    name, seeds, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    rows = [run_seed(Path("lightning_logs", name, f"seed-{seed}"), seed, command) for seed in range(seeds)]
    print(table(rows))


if __name__ == "__main__":
    main()
