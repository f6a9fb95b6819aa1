"""Operators whose purpose is to fail."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import KernelError
from freshpot.net.schema import FLOATS, Arg, Port
from freshpot.ops._operator import Operator


class EnforceFinite(Operator):
    """Fail if an element is infinite or not a number.

    Shapes:   X: any; no output
    Raises:   KernelError, with the first such element's index.
    Source:   caffe2/operators/enforce_finite_op.h
    """

    inputs = (Port("X", FLOATS),)

    def kernel(self, X: Tensor) -> tuple[Tensor, ...]:
        finite = torch.isfinite(X).reshape(-1)
        if not bool(finite.all()):
            at = int((~finite).nonzero()[0])
            count = int((~finite).sum())
            self.refuse(
                f"{count} of {X.numel()} elements of '{self.op.inputs[0]}' are not finite; the first is element {at}.",
                KernelError,
            )
        return ()


class Fail(Operator):
    """Fail.

    Raises:   KernelError, always.
    Source:   caffe2/operators/utility_ops.h
    """

    def kernel(self) -> tuple[Tensor, ...]:
        self.refuse("the net asks for this failure.", KernelError)


class ThrowException(Operator):
    """Fail with a message.

    Raises:   KernelError, always.
    Source:   caffe2/operators/utility_ops.h
    """

    args = (Arg("message", str, "Exception from ThrowExceptionOp", "the message"),)

    def kernel(self) -> tuple[Tensor, ...]:
        self.refuse(self.message, KernelError)


class _Dies(Operator, abstract=True):
    """What ended the process in the original fails like any operator."""

    def kernel(self) -> tuple[Tensor, ...]:
        self.refuse("the net asks for this failure.", KernelError)


for _name, _what in {
    "LogFatal": "writing a fatal line to the log",
    "Crash": "writing to address 0",
    "ThrowChildThreadException": "an exception in a thread of its own",
}.items():
    type(
        _name,
        (_Dies,),
        {
            "__doc__": "Fail.\n\nRaises:   KernelError, always.\n"
            f"Differs:  the original ends the process, by {_what}.\nSource:   caffe2/operators/utility_ops.h",
            "__module__": __name__,
        },
    )
