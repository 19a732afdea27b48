"""Networks that classify windows of music."""
