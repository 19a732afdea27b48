"""Your own scores: MIDI files, in one sub-folder for each genre."""

from __future__ import annotations

from musicgen_cls.notes.midi import SUFFIXES
from musicgen_cls.sources.folder import GenreFolders


class MidiFolder(GenreFolders):
    """A folder with a sub-folder of MIDI files for each genre, which has the genre's name.

    The files, `.mid` or `.midi`, may be at any depth in the sub-folders. Artists can come from `artists.csv` in the
    folder, as for `Folder`. Versions of one tune, which share phrases or a title, stay on one side of a split. Left
    out, and named with the reason in the integrity report, are files that cannot be read, pieces of drums only, and
    pieces without a metre: those whose onsets are spread evenly over the beat, as in a performance that was recorded
    without a metronome (see `musicgen_cls.notes.pulse`).

    Args:
        root: the folder, or a URL such as `s3://bucket/scores`.
    """

    suffixes = SUFFIXES
    has_versions = True

    @property
    def _kind(self) -> str:
        return "MIDI"
