"""Control operators."""
