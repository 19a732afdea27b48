"""`musiccli listen`."""
