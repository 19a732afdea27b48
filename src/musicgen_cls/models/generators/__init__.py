"""Networks that generate audio."""
