"""A box cut out of a tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class Crop(Operator):
    """Y = the box of X that starts at ``offsets`` and has ``sizes``.

    Shapes:   X: any -> Y: sizes
    Raises:   ShapeError if the box reaches beyond X.
    Differs:  Slice of Caffe2 cuts only one dimension.
    Source:   caffe/layers/crop_layer.cpp
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (
        Arg("offsets", [int], doc="first element in each dimension"),
        Arg("sizes", [int], doc="number of elements in each dimension"),
    )

    def setup(self) -> None:
        self._box = tuple(slice(o, o + n) for o, n in zip(self.offsets, self.sizes, strict=True))

    def check(self, X: Tensor, *_: Tensor) -> None:
        fits = X.dim() == len(self._box) and all(
            0 <= part.start and part.stop <= size for part, size in zip(self._box, X.shape, strict=True)
        )
        if not fits:
            self.refuse(f"a box of {self.sizes} at {self.offsets} reaches beyond X {tuple(X.shape)}.")

    def kernel(self, X: Tensor) -> Tensor:
        return X[self._box].clone(memory_format=torch.contiguous_format)

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        dX = torch.zeros_like(X)
        dX[self._box] = dY
        return dX
