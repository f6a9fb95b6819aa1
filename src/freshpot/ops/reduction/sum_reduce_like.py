"""The inverse of broadcasting."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.schema import FLOATS, Port
from freshpot.ops.elementwise._broadcast import Broadcasting


class SumReduceLike(Broadcasting):
    """C = A, summed to the shape of B (which could be broadcast to A's).

    Shapes:   A: any; B: broadcasts to A -> C: as B
    Raises:   DTypeError, ShapeError if B does not fit.
    Source:   caffe2/operators/elementwise_ops.h
    """

    inputs = (Port("A", FLOATS), Port("B", FLOATS))

    def setup(self) -> None:
        super().setup()
        self.broadcast = True  # the original always lays B on A from `axis` on

    def kernel(self, A: Tensor, B: Tensor) -> Tensor:
        return self.fold(A, B.shape, self.aligned_shape(A, B)).clone()
