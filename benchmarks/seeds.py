"""Run a training over several seeds, each with its own division of the tracks, and print mean and spread.

    python benchmarks/seeds.py NAME SEEDS musiccli fit --config vgg ...

Seed s sets `--seed_everything s --data.split_seed s`; its report is in `lightning_logs/NAME/seed-s/report`. Seeds with
a report are not run again, so that the same command resumes. `musiccli compare` prints the table.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from musicgen_cls.commands.compare.reports import find_rows
from musicgen_cls.commands.compare.table import table_of
from musicgen_cls.files import writing
from musicgen_cls.tables import as_markdown


def run_seed(folder: Path, seed: int, command: list[str]) -> None:
    """Train and test with one seed, unless this is done; write the minutes into a file."""
    done = folder / "minutes.json"
    if done.exists():
        return
    started = time.monotonic()
    place = [f"--trainer.logger.save_dir={folder.parent.parent}", f"--trainer.logger.name={folder.parent.name}"]
    seeds = [f"--seed_everything={seed}", f"--data.split_seed={seed}", f"--trainer.logger.version={folder.name}"]
    subprocess.run([*command, *place, *seeds, f"--out={folder / 'report'}"], check=True)
    with writing(done) as temporary:
        temporary.write_text(json.dumps((time.monotonic() - started) / 60))


def main() -> None:
    """Run the command line."""
    if len(sys.argv) < 5 or int(sys.argv[2]) < 2:
        sys.exit(__doc__)
    name, seeds, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    for seed in range(seeds):
        run_seed(Path("lightning_logs", name, f"seed-{seed}"), seed, command)
    rows = find_rows([f"{name}=lightning_logs/{name}/seed-*"])
    each = ", ".join(f"{100 * test.report.track_accuracy.value:.1f}" for test in rows[0].tests)
    print(as_markdown([table_of(rows)[0] | {"tracks by seed, %": each}]))


if __name__ == "__main__":
    main()
