"""Folders that results go to. Owned here: complaining of them before the work is done, not after it.

Who calls it: the subcommands that write into a folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from freshpot.errors import ArgumentError

__all__ = ["check_out"]


def check_out(folder: Path) -> None:
    """Complain of a folder for results that cannot be made or written.

    Raises:
        ArgumentError: it, or the nearest of its parents that is there, is a file or may not be written.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        raise ArgumentError(f"--out {folder}: {place} is no folder.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ArgumentError(f"--out {folder}: {place} is not writable.")
