"""Empty, as the original's: nets of every age are read as they are."""
