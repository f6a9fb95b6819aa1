"""Data sets and the stores they live in; imports nothing above ``formats``."""
