"""Pooled maxima put back where they came from."""

from __future__ import annotations

from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class CaffeUnpool(Operator):
    """Y = zeros, but X[n, c, i] at place mask[n, c, i] = row * W' + column.

    Where two maxima have one place (windows that overlap) the later one stays.

    Shapes:   X, mask: (N, C, H, W) -> Y: (N, C, *sizes)
    Raises:   ArgumentError unless sizes are two numbers greater than 0; ShapeError for shapes that differ, and for
              a place that is none of Y's.
    Source:   Badrinarayanan et al., SegNet, 2015: the layer Upsample
    """

    inputs = (Port("X", FLOAT, "N C H W"), Port("mask", FLOAT, "N C H W"))
    outputs = (Port("Y"),)
    args = (Arg("sizes", [int], doc="height and width of Y, pixels"),)

    def setup(self) -> None:
        if len(self.sizes) != 2 or min(self.sizes) < 1:
            self.refuse(f"sizes must be two numbers greater than 0, got {self.sizes}.", ArgumentError)

    def _places(self, mask: Tensor) -> Tensor:
        places = mask.flatten(2).long()
        count = self.sizes[0] * self.sizes[1]
        if not mask.is_meta and places.numel() and not 0 <= int(places.min()) <= int(places.max()) < count:
            self.refuse(
                f"the mask names place {int(places.max())}, and an image of {self.sizes[0]} x {self.sizes[1]} has "
                f"{count}: are its sizes those of the image that was pooled?"
            )
        return places

    def kernel(self, X: Tensor, mask: Tensor) -> Tensor:
        Y = X.new_zeros(X.shape[0], X.shape[1], self.sizes[0] * self.sizes[1])
        return Y.scatter_(2, self._places(mask), X.flatten(2)).view(*X.shape[:2], *self.sizes)

    @gradient("mask dY -> dX")
    def backward(self, mask: Tensor, dY: Tensor) -> Tensor:
        return dY.flatten(2).gather(2, self._places(mask)).view(mask.shape)
