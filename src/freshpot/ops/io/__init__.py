"""Io operators."""
