"""Collections of music: each lists its tracks with genre and artist."""

from musicgen_cls.sources.base import Source, Track
from musicgen_cls.sources.fma import FMA
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.gtzan import GTZAN
from musicgen_cls.sources.hub import HubDataset
from musicgen_cls.sources.manifest import Manifest
from musicgen_cls.sources.midi_folder import MidiFolder
from musicgen_cls.sources.shards import Shards
from musicgen_cls.sources.synthetic import SyntheticGenres
from musicgen_cls.sources.synthetic_scores import SyntheticScores

__all__ = [
    "FMA",
    "GTZAN",
    "Folder",
    "HubDataset",
    "Manifest",
    "MidiFolder",
    "Shards",
    "Source",
    "SyntheticGenres",
    "SyntheticScores",
    "Track",
]
