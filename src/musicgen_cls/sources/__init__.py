"""Collections of music: each lists its tracks with genre and artist."""

from musicgen_cls.sources.base import Source, Track
from musicgen_cls.sources.fma import FMA
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.gtzan import GTZAN
from musicgen_cls.sources.hub import HubDataset
from musicgen_cls.sources.synthetic import SyntheticGenres

__all__ = ["FMA", "GTZAN", "Folder", "HubDataset", "Source", "SyntheticGenres", "Track"]
