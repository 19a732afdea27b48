"""The files that this package writes and reads back, as schemas."""
