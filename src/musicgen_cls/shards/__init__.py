"""Shards: the decoded tracks of a collection in a folder or in object storage."""
