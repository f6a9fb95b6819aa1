"""Operators: one definition each, one family a folder. The only maths in the house."""
