"""Names that must not repeat: of nets and of steps.

Owned here: the registers of used names. Who calls it: `Net`, `ExecutionStep`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


def unused(basename: str, used: Callable[[str], bool]) -> str:
    """``basename``, else ``basename_1``, ``basename_2`` …: the first that is not used."""
    name, index = basename, 1
    while used(name):
        name, index = f"{basename}_{index}", index + 1
    return name


def current_prefix() -> str:
    """Name of the net builder in force, or nothing.

    No builder can be in force as long as nobody has imported their module, so it is not imported here.
    """
    module = sys.modules.get("caffe2.python.net_builder")
    builder = module.NetBuilder.current(required=False) if module else None
    return builder.name if builder else ""
