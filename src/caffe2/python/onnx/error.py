"""Errors of the original's converters."""

from __future__ import annotations

from freshpot.errors import NotSupportedError


class BaseException(Exception):
    """Base class."""


class Unsupported(BaseException, NotSupportedError):
    """A node or operator that cannot be converted."""
