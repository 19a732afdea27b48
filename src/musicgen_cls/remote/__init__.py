"""Files in object storage, or wherever else fsspec reads from: connections, paths, and copies on this machine."""
