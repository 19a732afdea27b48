"""Tracks decoded once into a store, with a journal."""
