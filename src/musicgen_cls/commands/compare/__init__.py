"""`musiccli compare`."""
