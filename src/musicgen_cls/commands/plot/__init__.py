"""`musiccli plot`."""
