"""`musiccli export`."""
