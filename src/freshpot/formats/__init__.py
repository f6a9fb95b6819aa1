"""Bytes and text to objects and back: one file a format, nothing above this floor imported."""
