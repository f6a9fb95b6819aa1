"""One factor on many blobs."""

from __future__ import annotations

from torch import Tensor

from freshpot.errors import ArityError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator


class ScaleBlobs(Operator):
    """Y_i = scale * X_i.

    Shapes:   all X: any -> Y_i: as X_i
    Raises:   ArityError if there are not as many outputs as inputs.
    Source:   caffe2/operators/scale_blobs_op.h
    """

    inputs = (Port("X", FLOAT, many=True),)
    outputs = (Port("Y", many=True),)
    args = (Arg("scale", float, 1.0, "the factor"),)
    inplace = ANY_PAIR

    def setup(self) -> None:
        if self.num_inputs != self.num_outputs:
            self.refuse(
                f"takes as many outputs as inputs, got {self.num_outputs} for {self.num_inputs}.", ArityError
            )

    def kernel(self, *inputs: Tensor) -> list[Tensor]:
        return [X * self.scale for X in inputs]
