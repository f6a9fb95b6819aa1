"""Mean of all elements, the usual last step of a loss."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient


class AveragedLoss(Operator):
    """Y = mean of all elements of X; 0 if X has none.

    Shapes:   X: any -> Y: ()
    Source:   caffe2/operators/loss_op.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)

    def kernel(self, X: Tensor) -> Tensor:
        return X.mean() if X.numel() else X.new_zeros(())

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return (dY.reshape(()) / max(X.numel(), 1)).expand(X.shape).contiguous()
