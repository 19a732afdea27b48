"""The commands of our own, a file or folder each."""
