"""How modules are loaded without a pause for garbage collection.

Owned here: that pause. Who calls it: whatever imports much at once, as the doors and the operators' register do.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_garbage() -> Iterator[None]:
    """No garbage collection inside: what is loaded stays, and a look at all objects takes as long as loading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
