"""Normalisations with constant statistics in one pass over the image, for inference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops._window import ORDER
from freshpot.ops.normalization._affine import affine
from freshpot.ops.remade import Remade


class ChannelAffine(Operator):
    """Y = X * factor + addend, one of each a channel, which normalisations amount to; then perhaps max(Y, 0).

    A plan for inference puts it in place of BatchNorm, CaffeScale, Bias and SpatialBN (is_test), one after the
    other; their parameters come in as they are, and the factors are computed again when one of them changed.

    Shapes:   X: (N, C, space) or (N, space, C); parameters: (C,), or (1,) for the weight of BatchNorm -> Y: as X
    Raises:   ShapeError if the parameters have not C elements.
    Source:   freshpot's own
    """

    inputs = (Port("X", FLOAT), Port("parameters", FLOAT, many=True))
    outputs = (Port("Y"),)
    args = (
        Arg("norms", [str], [], "the normalisations, in order"),
        Arg("eps", [float], [], "what each adds to the variance"),
        Arg("activation", str, "", "what comes after", choices=("", "relu")),
        ORDER,
    )
    inplace = ((0, 0),)
    no_gradient = "it is for inference"

    def setup(self) -> None:
        self._folded = Remade(self._fold)

    def check(self, X: Tensor, *parameters: Tensor) -> None:
        C = X.shape[1 if self.order == "NCHW" else -1] if X.dim() > 1 else 0
        if any(p.numel() not in (1, C) for p in parameters):
            self.refuse(f"parameters must have {C} elements, one a channel of X {tuple(X.shape)}.")

    def _fold(self, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        factor, addend = affine(self.norms, self.eps, parameters)
        return factor.float(), addend.float()

    def folded(self, parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Factor and addend; the same object until the parameters change."""
        found: tuple[Tensor, Tensor] = self._folded.of(parameters)
        return found

    def _spread(self, X: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        factor, addend = self._fold(*parameters) if X.is_meta else self.folded(parameters)
        if self.order == "NHWC":
            return factor, addend
        shape = (1, -1, *(1,) * (X.dim() - 2))
        return factor.view(shape), addend.view(shape)

    def kernel(self, X: Tensor, *parameters: Tensor) -> Tensor:
        factor, addend = self._spread(X, parameters)
        Y = torch.addcmul(addend, X, factor)
        return torch.relu_(Y) if self.activation else Y

    def kernel_inplace(self, X: Tensor, *parameters: Tensor) -> Tensor:
        factor, addend = self._spread(X, parameters)
        torch.addcmul(addend, X, factor, out=X)
        return torch.relu_(X) if self.activation else X
