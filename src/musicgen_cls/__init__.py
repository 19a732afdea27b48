"""Neural networks on music genres: train them, judge them without leaks, use them."""

__version__ = "0.1.0"
