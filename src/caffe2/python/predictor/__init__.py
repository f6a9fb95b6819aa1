"""Saving a net with its weights for prediction elsewhere, and loading it."""
