"""Scores: notes on a grid of beats, MIDI files, keys, and rendering."""
