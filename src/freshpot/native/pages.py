"""Large pages for large arrays, where the system has them for those who ask.

Owned here: asking. Who calls it: ops/_window, for memory that kernels cross in large steps: with pages of 4 KB each
step would need another one looked up.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

#: bytes of a large page, and of an array from which on it is worth asking
_PAGE, _WORTH = 1 << 21, 1 << 23
_HUGE = 14  # MADV_HUGEPAGE of linux/mman.h


@functools.cache
def _madvise() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    found.argtypes, found.restype = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], ctypes.c_int
    return found


def ask_for_large(address: int, size: int) -> None:
    """Ask for large pages for ``size`` bytes that nobody wrote to yet; where there are none, small ones serve."""
    if size < _WORTH or (madvise := _madvise()) is None:
        return
    start = -(-address // _PAGE) * _PAGE
    stop = (address + size) // _PAGE * _PAGE
    if stop > start:
        madvise(start, stop - start, _HUGE)
