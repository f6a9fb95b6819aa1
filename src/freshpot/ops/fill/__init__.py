"""Fill operators."""
