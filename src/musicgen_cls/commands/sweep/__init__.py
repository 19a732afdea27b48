"""`musiccli sweep`."""
