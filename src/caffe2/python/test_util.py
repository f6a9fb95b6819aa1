"""What unit tests of Caffe2 programs are made with.

Source: caffe2/python/test_util.py.
"""

from __future__ import annotations

import os
import unittest
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from caffe2.python import core, workspace

_F = TypeVar("_F", bound=Callable[..., Any])


def rand_array(*dims: int) -> np.ndarray:
    """Random numbers from -0.5 to 0.5 as float32; without dimensions an array of none."""
    return np.array(np.random.rand(*dims) - 0.5).astype(np.float32)


def randBlob(name: Any, type: Any, *dims: int, **kwargs: float) -> None:
    """Feed a blob with random numbers from 0 to 1, plus ``offset``."""
    workspace.FeedBlob(name, np.random.rand(*dims).astype(type) + kwargs.get("offset", 0.0))


def randBlobFloat32(name: Any, *dims: int, **kwargs: float) -> None:
    """`randBlob` for float32."""
    randBlob(name, np.float32, *dims, **kwargs)


def randBlobsFloat32(names: Iterable[Any], *dims: int, **kwargs: float) -> None:
    """`randBlobFloat32` for each name."""
    for name in names:
        randBlobFloat32(name, *dims, **kwargs)


def numOps(net: Any) -> int:
    """The number of operators of a net."""
    return len(net.Proto().op)


def str_compare(a: Any, b: Any, encoding: str = "utf8") -> bool:
    """True if two texts are equal, each given as text or bytes."""
    a, b = (value.decode(encoding) if isinstance(value, bytes) else value for value in (a, b))
    return bool(a == b)


def get_default_test_flags() -> list[str]:
    """A command line for `core.GlobalInit`."""
    return [
        "caffe2",
        "--caffe2_log_level=0",
        "--caffe2_cpu_allocator_do_zero_fill=0",
        "--caffe2_cpu_allocator_do_junk_fill=1",
    ]


def caffe2_flaky(test_method: _F) -> _F:
    """Decorator: skip a test, but run it, and it alone, with CAFFE2_RUN_FLAKY_TESTS=1 in the environment."""
    test_method.__caffe2_flaky__ = True  # type: ignore[attr-defined]
    return test_method


def is_flaky_test_mode() -> bool:
    """True with CAFFE2_RUN_FLAKY_TESTS=1 in the environment."""
    return os.getenv("CAFFE2_RUN_FLAKY_TESTS", "0") == "1"


class TestCase(unittest.TestCase):
    """A test case that begins and ends with an empty workspace."""

    @classmethod
    def setUpClass(cls) -> None:
        workspace.GlobalInit(get_default_test_flags())
        core.SetEnginePref({}, {})

    def setUp(self) -> None:
        test = getattr(self, self._testMethodName)
        if getattr(test, "__caffe2_flaky__", False) != is_flaky_test_mode():
            raise unittest.SkipTest("flaky tests run with CAFFE2_RUN_FLAKY_TESTS=1, and only they do then")
        self.ws = workspace.C.Workspace()
        workspace.ResetWorkspace()

    def tearDown(self) -> None:
        workspace.ResetWorkspace()
