"""Metrics: of classifiers (`scores`), of audio by second (`by_second`), between sets of recordings (`distances`).

Of music: beat (`rhythm`), `harmony`, `form`, `copying` and `playing`.
"""
