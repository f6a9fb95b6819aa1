"""Numbers that go to the process's statistics: sums, averages, spreads. One table makes the operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, KernelError
from freshpot.net.schema import ANY_FLOAT, INTEGERS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.io.stats import PROCESS

_MOST = 2**63 - 1
_LEAST = -(2**63)


class _Put(Operator, abstract=True):
    """Publish a number, as whole number of 1 / ``magnitude_expand``."""

    inputs = (Port("value", (*INTEGERS, *ANY_FLOAT)),)
    args = (
        Arg("stat_name", str, "", "name of the statistic; by default the input's"),
        Arg("magnitude_expand", int, 1, "what the number is multiplied by"),
        Arg("bound", bool, False, "1: numbers that are too large become the largest, nan becomes 0"),
        Arg("default_value", float, 0.0, "what stands for an empty tensor"),
    )
    remembers = True
    no_gradient = "it only reports"
    suffixes: ClassVar[tuple[str, ...]]
    amounts: ClassVar[Callable[[int, int], tuple[int, ...]]]

    def setup(self) -> None:
        if self.magnitude_expand < 1:
            self.refuse(
                f"argument 'magnitude_expand' must be positive, got {self.magnitude_expand}.", ArgumentError
            )
        name = self.stat_name or self.op.inputs[0]
        self._names = [f"{name}/stat_value{suffix}".encode() for suffix in self.suffixes]
        for each in self._names:
            PROCESS.add(each, 0)
        self._first: int | None = None

    def kernel(self, X: Tensor) -> tuple[()]:
        if not X.numel() and not self.has("default_value"):
            self.refuse("the input is empty; give a 'default_value' for that case.", KernelError)
        single = X.dtype in (torch.float16, torch.float32)
        value = self._whole(X.reshape(-1)[0].item() if X.numel() else self.default_value, single)
        if self._first is None:
            self._first = value
        for name, amount in zip(self._names, type(self).amounts(value, self._first), strict=True):
            PROCESS.add(name, amount)
        return ()

    def _whole(self, value: float, single: bool) -> int:
        most = _MOST // self.magnitude_expand
        if value != value:
            if not self.bound:
                self.refuse("the number is nan.", KernelError)
            return 0
        if -most < value < most:
            # the original multiplies in the input's own precision
            return int(
                np.float32(value) * np.float32(self.magnitude_expand)
                if single
                else value * self.magnitude_expand
            )
        if not self.bound:
            self.refuse(f"{value} is too large for a factor of {self.magnitude_expand}.", KernelError)
        return _LEAST if value < 0 else _MOST

    def infer(self, *_: Any) -> tuple[()]:
        return ()


#: operator -> what it publishes, names of the sums, what a number adds to each given the first number
_TABLE: dict[str, tuple[str, tuple[str, ...], Callable[[int, int], tuple[int, ...]]]] = {
    "IncrementPut": ("the sum of all numbers", ("",), lambda value, first: (value,)),
    "AveragePut": ("sum and count of all numbers", ("/sum", "/count"), lambda value, first: (value, 1)),
    "StdDevPut": (
        "sum, count, and sums of distances from the first number and of their squares",
        ("/sum", "/count", "/sumsqoffset", "/sumoffset"),
        lambda value, first: (value, 1, (value - first) ** 2, value - first),
    ),
}

for _name, (_says, _suffixes, _amounts) in _TABLE.items():
    type(
        _name,
        (_Put,),
        {
            "__doc__": f"Publish {_says}, of the first element of each input.\n\n"
            "Shapes:   value: any -> none\n"
            "Raises:   KernelError for an empty input without a default, nan, or a number that is too large.\n"
            "Source:   caffe2/operators/stats_put_ops.cc",
            "__module__": __name__,
            "suffixes": _suffixes,
            "amounts": staticmethod(_amounts),
        },
    )
