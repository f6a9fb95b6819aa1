"""Optimizer operators."""
