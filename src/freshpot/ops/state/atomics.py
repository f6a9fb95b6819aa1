"""Numbers and flags that threads change one at a time, and barriers that only order operators."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError, KernelError
from freshpot.net.schema import BOOL, Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.tensor._clone import clone


class Flag:
    """True or false."""

    original_type = "std::unique_ptr<std::atomic<bool> >"

    def __init__(self) -> None:
        self.value = False


class CreateAtomicBool(Operator):
    """A flag, false.

    Source:   caffe2/operators/atomic_ops.cc
    """

    outputs = (Port("atomic_bool"),)

    def kernel(self) -> Any:
        return Flag()


class _OnFlag(Operator, abstract=True):
    def check(self, flag: Any, *_: Any) -> None:
        if not isinstance(flag, Flag):
            self.refuse("the first input must hold a flag; make it with CreateAtomicBool.", ArgumentError)


class CheckAtomicBool(_OnFlag):
    """value = the flag.

    Shapes:   atomic_bool -> (1,) bool
    Source:   caffe2/operators/atomic_ops.cc
    """

    inputs = (Port("atomic_bool"),)
    outputs = (Port("value"),)

    def kernel(self, flag: Flag) -> Tensor:
        return torch.tensor([flag.value])


class ConditionalSetAtomicBool(_OnFlag):
    """Set the flag if the condition is true.

    Shapes:   atomic_bool; condition: one bool
    Source:   caffe2/operators/atomic_ops.cc
    """

    inputs = (Port("atomic_bool"), Port("condition", BOOL))

    def kernel(self, flag: Flag, condition: Tensor) -> tuple[Any, ...]:
        if condition.numel() != 1:
            self.refuse(f"the condition must be one bool, got {tuple(condition.shape)}.")
        if bool(condition):
            flag.value = True
        return ()


class _FetchAdd(Operator, abstract=True):
    outputs = (Port("mut_value"), Port("fetched_value"))
    inplace = ((1, 0),)

    def kernel(self, mutex: Any, value: Tensor, increment: Tensor) -> tuple[Tensor, Tensor]:
        if value.numel() < 1 or increment.numel() < 1:
            self.refuse("the value and the increment must be one number each.")
        with mutex:
            before = value.reshape(-1)[0].clone()
            return before + increment.reshape(-1)[0], before

    def infer(self, *_: Any) -> None:
        return None


for _name, _kind in (("AtomicFetchAdd", "int32"), ("AtomicFetchAdd64", "int64")):
    type(
        _name,
        (_FetchAdd,),
        {
            "__doc__": f"mut_value += increment, and its value before, while a mutex is held.\n\n"
            f"Shapes:   mutex; mut_value, increment: one {_kind} -> () each\nSource:   caffe2/operators/atomic_ops.cc",
            "__module__": __name__,
            "inputs": (Port("mutex_ptr"), Port("mut_value", (_kind,)), Port("increment", (_kind,))),
        },
    )


class Assert(Operator):
    """Fail unless all elements are true.

    Shapes:   X: any
    Raises:   KernelError with ``error_msg``.
    Source:   caffe2/operators/assert_op.h
    """

    inputs = (Port("X", ("int32", "int64", "bool")),)
    args = (Arg("error_msg", str, "", "what to say"),)

    def kernel(self, X: Tensor) -> tuple[Any, ...]:
        false = (X.reshape(-1) == 0).nonzero()
        if len(false):
            self.refuse(f"element {int(false[0])} of X is false. {self.error_msg}".rstrip(), KernelError)
        return ()

    def infer(self, *_: Any) -> None:
        return None


class _Through(Operator, abstract=True):
    """The inputs come out as they are."""

    inputs: ClassVar[tuple[Port, ...]] = (Port("inputs", many=True),)
    outputs: ClassVar[tuple[Port, ...]] = (Port("outputs", many=True),)

    def kernel(self, *inputs: Any) -> tuple[Any, ...]:
        copies = (clone(value) for value in inputs[: self.num_outputs])
        return tuple(v if c is None else c for c, v in zip(copies, inputs, strict=False))


class AsyncNetBarrier(_Through):
    """The inputs, each under its name, after all of them are there.

    Raises:   ArityError if outputs are not the inputs.
    Source:   caffe2/operators/async_net_barrier_op.h
    """

    args = (Arg("cross_device", int, 0, "of no effect here"),)
    inplace = ANY_PAIR

    def setup(self) -> None:
        if self.op.inputs != self.op.outputs:
            self.refuse("the outputs must be the inputs.", ArityError)


class DataCouple(_Through):
    """The first inputs, each under its name, after the others are there.

    Source:   caffe2/operators/data_couple.h
    """

    inputs = (Port("inputs", many=True, at_least=0),)
    outputs = (Port("outputs", many=True, at_least=0),)
    inplace = ANY_PAIR
    must_inplace = tuple((i, i) for i in range(64))
