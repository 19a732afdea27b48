"""Networks that generate notes."""
