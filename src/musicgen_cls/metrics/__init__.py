"""Figures: of classifiers (`scores`), of sound second by second (`sound`), between sets of sounds (`distances`)."""
