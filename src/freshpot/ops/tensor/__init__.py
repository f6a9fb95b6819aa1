"""Tensor operators."""
