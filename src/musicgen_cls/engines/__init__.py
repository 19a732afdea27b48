"""Where a function is called on many items: in threads of this process, or on a Ray cluster."""
