"""Model, its callbacks and its summary."""
