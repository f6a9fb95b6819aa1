"""Operators that several processes run together, for the one process that there is: each is its own world.

Several processes are not done; a world that asks for them is refused when it is made.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.tensor._clone import clone


class CommonWorld:
    """The processes that work together: this one."""

    original_type = "std::shared_ptr<::gloo::Context>"


class CreateCommonWorld(Operator):
    """A world of one process.

    Shapes:   a store, which is not needed -> comm_world
    Raises:   NotSupportedError for more processes than one.
    Source:   caffe2/contrib/gloo/common_world_ops.h
    """

    inputs = (Port("kv_handler", optional=True),)
    outputs = (Port("comm_world"),)
    args = (
        Arg("size", int, 1, "number of processes: 1"),
        Arg("rank", int, 0, "this one's number, from 0"),
        Arg("sync", bool, False, "of no effect here"),
        Arg("name", str, "", "of no effect here"),
        Arg("transport", str, "", "of no effect here"),
        Arg("interface", str, "", "of no effect here"),
        Arg("timeout_ms", int, 30000, "of no effect here"),
        Arg("status_blob", str, "", "of no effect here: there is no partner that could fail"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if self.size != 1 or self.rank != 0:
            raise NotSupportedError(
                f"{self.op}: {self.size} processes are not supported; train in one (size=1, rank=0)."
            )

    def kernel(self, *_: Any) -> Any:
        return CommonWorld()


class _InWorld(Operator, abstract=True):
    """An operator of which every process runs one."""

    args: ClassVar[tuple[Arg, ...]] = (
        Arg("status_blob", str, "", "of no effect here: there is no partner that could fail"),
        Arg("root", int, 0, "the process that gives or gets: 0"),
        Arg("timeout_ms", int, 30000, "of no effect here"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if self.root != 0:
            self.refuse(f"argument 'root' must be 0, the only process; got {self.root}.", ArgumentError)

    def check(self, world: Any, *_: Any) -> None:
        if not isinstance(world, CommonWorld):
            self.refuse("the first input must hold a world; make it with CreateCommonWorld.", ArgumentError)


class CloneCommonWorld(_InWorld):
    """A second world of the same processes.

    Source:   caffe2/contrib/gloo/common_world_ops.h
    """

    inputs = (Port("existing_comm_world"),)
    outputs = (Port("comm_world"),)

    def kernel(self, world: Any) -> Any:
        return CommonWorld()


class DestroyCommonWorld(_InWorld):
    """Leave a world.

    Source:   caffe2/contrib/gloo/common_world_ops.h
    """

    inputs = (Port("common_world"),)
    outputs = (Port("common_world"),)
    must_inplace = ((0, 0),)

    def kernel(self, world: Any) -> Any:
        return world


class Barrier(_InWorld):
    """Wait for the other processes: there are none.

    Source:   caffe2/contrib/gloo/barrier_ops.h
    """

    inputs = (Port("comm_world"),)

    def kernel(self, world: Any) -> tuple[()]:
        return ()


_MANY_INPLACE = tuple((i + 1, i) for i in range(64))


class _Many(_InWorld, abstract=True):
    """Blobs that are the same everywhere afterwards; several blobs of one process are combined, too."""

    inputs = (Port("comm_world_and_X", many=True, at_least=2),)
    outputs = (Port("Y", many=True),)
    inplace = ANY_PAIR
    must_inplace = _MANY_INPLACE

    def kernel(self, world: Any, *X: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.combined(list(X)).clone() for _ in X)

    def combined(self, X: list[Tensor]) -> Tensor:
        """What every blob becomes."""
        raise NotImplementedError

    def infer(self, world: Any, *X: Tensor) -> tuple[Tensor, ...]:
        return X


class Allreduce(_Many):
    """Y = the sum of all X, of every process.

    Shapes:   comm_world; X: any, alike -> as X, in place
    Source:   caffe2/contrib/gloo/allreduce_ops.h
    """

    def combined(self, X: list[Tensor]) -> Tensor:
        total = X[0].clone()
        for more in X[1:]:
            total += more
        return total


class Broadcast(_Many):
    """Y = the first X of the process ``root``.

    Shapes:   comm_world; X: any, alike -> as X, in place
    Source:   caffe2/contrib/gloo/broadcast_ops.h
    """

    def combined(self, X: list[Tensor]) -> Tensor:
        return X[0]


class Reduce(_InWorld):
    """Y = the sum of every process's X, on the process ``root``.

    Shapes:   comm_world; X: any -> Y: as X
    Source:   caffe2/operators/communicator_op.cc
    """

    inputs = (Port("comm_world"), Port("X"))
    outputs = (Port("Y"),)

    def kernel(self, world: Any, X: Tensor) -> Any:
        return clone(X)


class Allgather(_InWorld):
    """Y = every process's X, one after the other.

    Shapes:   comm_world; X: any, several -> Y: (number of X of all processes, *X)
    Source:   caffe2/contrib/gloo/allgather_ops.h
    """

    inputs = (Port("comm_world"), Port("X", many=True))
    outputs = (Port("Y"),)

    def kernel(self, world: Any, *X: Tensor) -> Tensor:
        return torch.stack(X)
