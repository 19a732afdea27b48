"""The sources of the package: those that a command line or config may name without a path."""

from musicgen_cls.sources.fma import FMA
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.gtzan import GTZAN
from musicgen_cls.sources.synthetic import SyntheticGenres

SOURCES = (Folder, GTZAN, FMA, SyntheticGenres)
