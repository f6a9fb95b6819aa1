"""Large tensors in memory that the process keeps while plans run.

Owned here: telling the C library of Linux so, and that all is as usual again. Who calls it:
`plan`; `blocked`, when a net is packed.

The library takes memory for anything above 32 MB from the system and gives it back at once. A training step of a large
net asks for such pieces again and again, and the system clears every page of them: in the first blocks of a ResNet-50
with 16 images that took half of the time. So while a plan with such outputs runs, memory that was let go of is used
again. Outside of such runs all is as usual, and when such a plan is gone, what is not in use goes back.

Who has set the library's own variables for this (``MALLOC_MMAP_MAX_`` …, ``GLIBC_TUNABLES``) has the last word, and
other libraries are left alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from freshpot.engine.blob import Blob

#: parameters of ``mallopt`` (malloc.h)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
#: the library's own values: the largest piece that may come from the heap, free memory at its end that is not given
#: back (both as they are once pieces of that size were used), pieces that may come from the system
_LARGEST, _LEFT, _PIECES = 32 << 20, 64 << 20, 65536

#: variables by which a user says how the library is to do it
_VARIABLES = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")

_lock = threading.Lock()
#: plans that are running
_running = 0


@functools.cache
def _library() -> Any:
    """The C library, or None if it is another one, or the user has set how it is to do this."""
    return _glibc(os.environ)


def _glibc(environment: Mapping[str, str]) -> Any:
    if "glibc.malloc" in environment.get("GLIBC_TUNABLES", "") or any(v in environment for v in _VARIABLES):
        return None
    try:
        library = ctypes.CDLL(None)
        if library.gnu_get_libc_version and library.mallopt and library.malloc_trim:
            return library
    except (OSError, AttributeError, TypeError):
        pass
    return None


def worthwhile(blobs: Iterable[Blob]) -> bool:
    """True if some of these hold more on the CPU than the library's heap takes."""
    if _library() is None:
        return False
    held = (blob.peek for blob in blobs)
    return any(isinstance(v, Tensor) and v.device.type == "cpu" and v.nbytes > _LARGEST for v in held)


def begin() -> None:
    """A plan for which it is worthwhile begins to run: until `end`, memory is kept."""
    global _running
    with _lock:
        _running += 1
        if _running == 1:
            _library().mallopt(_MMAP_MAX, 0)
            _library().mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def end() -> None:
    """It has run."""
    global _running
    with _lock:
        _running -= 1
        if not _running:
            for which, value in ((_MMAP_MAX, _PIECES), (_TRIM_THRESHOLD, _LEFT), (_MMAP_THRESHOLD, _LARGEST)):
                _library().mallopt(which, value)


def give_back() -> None:
    """Much memory was let go of: the system gets what nobody uses."""
    library = _library()
    if library is not None:
        library.malloc_trim(0)


def let_go(owner: object) -> None:
    """When this object, a plan that it was worthwhile for, is gone, give the system what nobody uses."""
    weakref.finalize(owner, give_back).atexit = False
