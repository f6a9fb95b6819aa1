"""A sum in which every channel of one addend has a factor of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient


class ChannelAxpy(Operator):
    """Z = scale * X + Y, with a factor for each image and channel.

    Shapes:   scale: (N, C) or (N, C, 1, 1), X, Y: (N, C, …) -> Z: as X
    Raises:   ShapeError if they do not fit.
    Source:   Hu et al., Squeeze-and-Excitation Networks, 2017: the layer Axpy
    """

    inputs = (Port("scale", FLOAT), Port("X", FLOAT), Port("Y", FLOAT))
    outputs = (Port("Z"),)

    def check(self, scale: Tensor, X: Tensor, Y: Tensor, *_: Tensor) -> None:
        if X.shape != Y.shape or X.dim() < 2:
            self.refuse(f"X {tuple(X.shape)} and Y {tuple(Y.shape)} must have one shape (N, C, …).")
        if scale.shape[:2] != X.shape[:2] or scale.numel() != X.shape[:2].numel():
            self.refuse(
                f"scale must be {tuple(X.shape[:2])}, or that with ones behind it, got {tuple(scale.shape)}."
            )

    def _spread(self, scale: Tensor, X: Tensor) -> Tensor:
        return scale.reshape(*X.shape[:2], *(1,) * (X.dim() - 2))

    def kernel(self, scale: Tensor, X: Tensor, Y: Tensor) -> Tensor:
        return torch.addcmul(Y, self._spread(scale, X), X)

    @gradient("scale X Y dZ -> dscale dX dY")
    def backward(self, scale: Tensor, X: Tensor, Y: Tensor, dZ: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dscale = (dZ * X).flatten(2).sum(2) if X.dim() > 2 else dZ * X
        return dscale.reshape(scale.shape), dZ * self._spread(scale, X), dZ.clone()
