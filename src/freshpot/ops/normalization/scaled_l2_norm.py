"""Images, or their pixels, divided by their length and scaled."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class ScaledL2Norm(Operator):
    """Y = scale * X / sqrt(sum of X^2 + eps), the sum over a pixel's channels, or over the whole image.

    Shapes:   X: (N, C, …), scale: () or (C,) -> Y: as X
    Raises:   ShapeError if they do not fit.
    Differs:  dX is scale * (dY - X (X · dY) / length^2) / length, as in the original, also where the scale differs
              between channels: there that is not the derivative.
    Source:   Liu et al., ParseNet and SSD, 2015: the layer Normalize
    """

    inputs = (Port("X", FLOAT), Port("scale", FLOAT))
    outputs = (Port("Y"),)
    args = (
        Arg("across_spatial", int, 1, "1: one length an image; 0: one a pixel"),
        Arg("eps", float, 1e-10, "added to the sum of squares"),
    )

    def check(self, X: Tensor, scale: Tensor, *_: Tensor) -> None:
        if X.dim() < 2 or scale.numel() not in (1, X.shape[1]):
            self.refuse(
                f"X {tuple(X.shape)} must be (N, C, …) and scale have 1 or C elements, got {scale.numel()}."
            )

    def _sum(self, values: Tensor) -> Tensor:
        return values.sum(tuple(range(1, values.dim())) if self.across_spatial else (1,), keepdim=True)

    def _spread(self, scale: Tensor, X: Tensor) -> Tensor:
        return scale.reshape(-1, *(1,) * (X.dim() - 2))

    def _length(self, X: Tensor) -> Tensor:
        return (self._sum(X * X) + self.eps).sqrt_()

    def kernel(self, X: Tensor, scale: Tensor) -> Tensor:
        return (X / self._length(X)).mul_(self._spread(scale, X))

    @gradient("X scale dY -> dX dscale")
    def backward(self, X: Tensor, scale: Tensor, dY: Tensor) -> tuple[Tensor, Tensor]:
        length = self._length(X)
        along = self._sum(X * dY)
        of_scale = X * dY / length
        dims = [0, *range(2 if scale.numel() > 1 else 1, X.dim())]
        dX = (dY - X * (along / length / length)).div_(length).mul_(self._spread(scale, X))
        return dX, of_scale.sum(dims).reshape(scale.shape)
