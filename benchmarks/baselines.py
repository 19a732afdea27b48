"""Plain classifiers on tables of features, on the splits of the networks: `python benchmarks/baselines.py TABLE`.

The classifiers are logistic regression, a support vector machine with radial basis functions, nearest neighbours and a
random forest of scikit-learn, with its defaults except for the arguments below. Features are z-scores of the training
rows. The prediction for a track is the genre with the highest mean probability over its rows. Validation rows are not
used.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from musicgen_cls.datamodules.feature_table import FeatureTable
from musicgen_cls.sources.base import Source
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.gtzan import GTZAN

CLASSIFIERS = {
    "logistic regression": lambda seed: LogisticRegression(max_iter=2000, random_state=seed),
    "SVM-RBF": lambda seed: CalibratedClassifierCV(SVC(C=10), ensemble=False),
    "kNN": lambda seed: KNeighborsClassifier(5),
    "random forest": lambda seed: RandomForestClassifier(500, random_state=seed, n_jobs=-1),
}

SPLITS = ("segment", "track", "artist", "fault_filtered_dev", "fault_filtered")


def main() -> None:
    """Fit, score, print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", help="features_3_sec.csv, or another of its kind")
    parser.add_argument("--folder", help="the music of a table that is not of GTZAN, a sub-folder for each genre")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--splits", nargs="+", default=SPLITS, choices=SPLITS)
    options = parser.parse_args()
    source: Source = Folder(options.folder) if options.folder else GTZAN("not needed")
    print("| classifier | split | tracks, % | rows, % | seeds | seconds |\n|---|---|---|---|---|---|")
    for split in options.splits:
        for name, make in CLASSIFIERS.items():
            begin = time.perf_counter()
            reached = [
                score(make(seed), FeatureTable(options.table, source, split=split, split_seed=seed))
                for seed in range(options.seeds)
            ]
            seconds = (time.perf_counter() - begin) / options.seeds
            shares = zip(*reached, strict=True)
            tracks, rows = (f"{100 * statistics.mean(r):.1f} ± {100 * statistics.stdev(r):.1f}" for r in shares)
            print(f"| {name} | {split} | {tracks} | {rows} | {options.seeds} | {seconds:.1f} |", flush=True)


def score(classifier: ClassifierMixin, data: FeatureTable) -> tuple[float, float]:
    """Accuracy on the test tracks and on the test rows."""
    data.setup("fit")
    assert data.collection is not None
    items, train, test = data.collection.items, data.windows["train"], data.windows["test"]
    fitted = make_pipeline(StandardScaler(), classifier).fit(items[train.start], train.genre)
    probabilities = fitted.predict_proba(items[test.start])
    tracks, row_of = np.unique(test.track, return_inverse=True)
    summed = np.zeros((len(tracks), len(data.genres)))
    np.add.at(summed, row_of, probabilities)
    truth = test.genre[np.unique(test.track, return_index=True)[1]]
    rows_right = float((probabilities.argmax(axis=1) == test.genre).mean())
    return float((summed.argmax(axis=1) == truth).mean()), rows_right


if __name__ == "__main__":
    main()
