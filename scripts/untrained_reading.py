"""Makes the numbers of the untrained reading: its reference music, its calibration, and the classifier on MusiCNN.

    python scripts/untrained_reading.py gtzan_clips gtzan_tracks emotify

Each argument is a folder with a sub-folder for each genre. Writes src/musicgen_cls/data/untrained.npz, and temperature
and biases into src/musicgen_cls/data/untrained.yaml. Each genre must have tags in the mapping.

1. Reference: the mean logits of the tags of `REFERENCE` tracks, the same number of each genre where it has enough.
   Means and standard deviations of any mapping are computed from them; their labels are not used.
2. Calibration: temperature and biases by `fit_calibration` on the same number of tracks of each genre. Only they depend
   on labels. The script prints the accuracy of tracks in 10 parts, each calibrated on tracks of the other nine.
3. Classifier: logistic regression on MusiCNN's embeddings of all tracks, for machines that cannot fetch YAMNet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from sklearn.linear_model import LogisticRegression  # noqa: TID253
from sklearn.model_selection import StratifiedKFold  # noqa: TID253

from musicgen_cls.datamodules.embeddings import Embeddings
from musicgen_cls.metrics.calibration import fit_calibration
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.pretrained.embedder import tags_of
from musicgen_cls.sources.folder import Folder
from musicgen_cls.untrained import DATA, NETWORKS
from musicgen_cls.untrained_parts import Calibrated, reading

REFERENCE, SEED, INVERSE_DECAY = 256, 0, 0.01


def read(folders: list[str]) -> tuple[list[np.ndarray], list[np.ndarray], list[str], list[int]]:
    """Embeddings of MusiCNN and logits of all tags of every track, `[rows, ...]`; its genre; tracks of each folder."""
    embeddings, tags, genres, counts = [], [], [], []
    for folder in folders:
        data = Embeddings(Folder(folder), list(NETWORKS), duplicates="keep")
        collection = data.read_tracks()
        counts.append(len(collection.tracks))
        for row, track in enumerate(collection.tracks):
            start = int(collection.offset[row])
            rows = torch.from_numpy(collection.items[start : start + int(collection.lengths[row])])
            embeddings.append(rows[:, -200:].numpy())
            tags.append(tags_of(data.networks_on(torch.device("cpu")), rows).numpy())
            genres.append(track.genre)
    return embeddings, tags, genres, counts


def main(folders: list[str]) -> None:
    """Read the music, and write both files."""
    path = DATA / "untrained.yaml"
    text = path.read_text(encoding="utf-8")
    mapping = yaml.safe_load(text)["genres"]
    embeddings, tags, genres, counts = read(folders)
    if unknown := set(genres) - set(mapping):
        raise SystemExit(f"genres without tags in {path}: {', '.join(sorted(unknown))}")
    means = np.stack([rows.mean(0) for rows in tags])
    arrays = {"yamnet": means[:, :521], "msd_musicnn": means[:, 521:]}

    rng = np.random.default_rng(SEED)
    turns = {
        row: turn
        for genre in mapping
        for turn, row in enumerate(rng.permutation(np.flatnonzero(np.array(genres) == genre)))
    }
    sample = sorted(turns, key=lambda row: (turns[row], row))[:REFERENCE]
    stored = {name: values[sample].astype(np.float16) for name, values in arrays.items()}

    x, y = np.concatenate(embeddings), np.repeat(genres, [len(rows) for rows in embeddings])
    weights = np.concatenate([np.full(len(rows), 1 / len(rows)) for rows in embeddings])  # a track counts once
    mean, std = x.mean(0), x.std(0)
    head = LogisticRegression(C=INVERSE_DECAY, max_iter=1000).fit((x - mean) / std, y, weights)
    stored |= {
        "head_genres": head.classes_,
        "head_weight": head.coef_.astype(np.float32),
        "head_mean": mean,
        "head_std": std,
    }
    np.savez_compressed(DATA / "untrained.npz", **stored, head_bias=head.intercept_.astype(np.float32))

    task, _ = reading(mapping, NETWORKS, Calibrated())
    with torch.inference_mode():
        logits = [task(torch.from_numpy(rows)[:, None]).log_softmax(1).numpy() for rows in tags]
    labels = np.array([list(mapping).index(genre) for genre in genres])

    def scores(chosen: np.ndarray) -> Scores:
        counts = [len(logits[row]) for row in chosen]
        track = np.repeat(np.arange(len(chosen)), counts)
        log_probs = np.concatenate([logits[row] for row in chosen])
        return Scores(np.arange(len(track)), track, np.zeros(len(track), np.float32), labels[chosen][track], log_probs)

    fewest = min(np.bincount(labels))

    def balanced(rows: np.ndarray) -> np.ndarray:
        return np.array([row for row in rows if turns[row] < fewest])

    fit = fit_calibration(scores(balanced(np.arange(len(labels)))))
    before = text.partition("temperature:")[0].rstrip()
    biases = ", ".join(f"{genre}: {value:.3f}" for genre, value in zip(mapping, fit.bias, strict=True))
    path.write_text(f"{before}\ntemperature: {fit.temperature:.3f}\nbias: {{{biases}}}\n", encoding="utf-8")
    print(fit.line)

    right = np.zeros(len(labels), bool)
    for others, own in StratifiedKFold(10, shuffle=True, random_state=SEED).split(labels, labels):
        found = fit_calibration(scores(balanced(others)))
        for row in own:
            u = logits[row] / found.temperature + found.bias
            p = np.exp(u - u.max(1, keepdims=True))
            right[row] = (p / p.sum(1, keepdims=True)).mean(0).argmax() == labels[row]
    print(f"accuracy of {len(right)} tracks, calibrated on other tracks: {100 * right.mean():.1f} %")
    for folder, part in zip(folders, np.split(right, np.cumsum(counts)[:-1]), strict=True):
        print(f"  {Path(folder).name}: {100 * part.mean():.1f} % of {len(part)}")


if __name__ == "__main__":
    main(sys.argv[1:])
