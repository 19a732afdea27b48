"""`musiccli judge`."""
