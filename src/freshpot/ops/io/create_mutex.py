"""Mutexes."""

from __future__ import annotations

import threading
from typing import Any

from freshpot.net.schema import Port
from freshpot.ops._operator import Operator


class CreateMutex(Operator):
    """A mutex that is not held.

    Source:   caffe2/operators/atomic_ops.cc
    """

    outputs = (Port("mutex"),)

    def kernel(self) -> Any:
        return threading.Lock()
