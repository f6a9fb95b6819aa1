"""Boxes in images: proposals, their suppression and distribution."""
