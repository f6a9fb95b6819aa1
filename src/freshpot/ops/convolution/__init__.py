"""Convolution operators."""
