"""Genre tags in audio files: read, written safely, and restored byte for byte."""
