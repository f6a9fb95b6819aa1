"""Where freshpot keeps what it downloaded or computed, between runs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder(*parts: str) -> Path:
    """The cache folder, or a place below it. Nothing is created.

    ``FRESHPOT_CACHE`` names it; else it is ``freshpot`` in ``XDG_CACHE_HOME`` or in ``~/.cache``. Deleting
    it is always safe: everything there can be made again.
    """
    named = os.environ.get("FRESHPOT_CACHE")
    if named:
        return Path(named).expanduser().joinpath(*parts)
    base = os.environ.get("XDG_CACHE_HOME")
    # The XDG rules say that a relative path is to be ignored.
    root = Path(base) if base and os.path.isabs(base) else Path.home() / ".cache"
    return root.joinpath("freshpot", *parts)
