"""Convolution with what comes after it, for inference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import ANY_PAIR
from freshpot.ops._window import channels_last
from freshpot.ops.convolution import _packed
from freshpot.ops.convolution.conv import Convolution
from freshpot.ops.normalization._affine import PARAMETERS, affine
from freshpot.ops.remade import Remade

_ATEN = torch.ops.aten


class FusedConv(Convolution):
    """Y = activation(normalisations(Conv(X, W, b)) + other): what a convolution and its followers make, in one pass.

    A plan for inference puts it in place of Conv, the normalisations with constant statistics behind it, a sum
    with another blob, and Relu. All their parameters come in as they are; the weight that they amount to is
    computed again when one of them changed.

    Shapes:   X, W, b: as Conv; parameters: those of the normalisations, in order; other: as Y -> Y: as Conv's
    Raises:   as Conv; ShapeError if the parameters have not one element for each filter, or other is not as Y.
    Source:   freshpot's own
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT), Port("others", FLOAT, many=True, at_least=0))
    args = (
        *Convolution.args,
        Arg("bias", int, 0, "1: the third input is the convolution's bias"),
        Arg("norms", [str], [], "the normalisations, in order"),
        Arg("eps", [float], [], "what each adds to the variance"),
        Arg("sum", int, 0, "1: the last input is added before the activation"),
        Arg("activation", str, "", "what comes last", choices=("", "relu")),
    )
    inplace = ANY_PAIR
    gradient_rule = None
    no_gradient = "it is for inference"

    def setup(self) -> None:
        super().setup()
        if self.sum:  # what `kernel_inplace` overwrites
            self.inplace = ((self.num_inputs - 1, 0),)
        self._remade = Remade(self._fold)
        self._windows: dict[tuple[int, ...], tuple[list[int], list[int] | None]] = {}
        #: how many of the inputs from W on make the weight
        self._count = self.num_inputs - 1 - self.sum

    def check(self, X: Tensor, W: Tensor, *others: Tensor) -> None:
        bias = others[0] if self.bias else None
        super().check(X, W, bias)
        M = W.shape[0]
        wanted = sum(PARAMETERS[kind] for kind in self.norms)
        parameters = others[self.bias : self.bias + wanted]
        if any(p.numel() not in (1, M) for p in parameters):
            self.refuse(f"parameters of normalisations must have {M} elements, one for each filter.")
        if self.sum:
            space = self.layout(tuple(self.channels_second(X).shape[2:])).outputs
            found = self.channels_second(others[-1]).shape
            if tuple(found) != (X.shape[0], M, *space):
                self.refuse(f"the other summand must be {(X.shape[0], M, *space)}, got {tuple(found)}.")

    # ---- weights -------------------------------------------------------------------------------
    def _fold(self, W: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor | None, Any]:
        """Weight and bias of the one convolution, and the packed weight where there is such a thing."""
        filters = self.channels_second(W)
        b = parameters[0] if self.bias else None
        if self.norms:
            factor, addend = affine(self.norms, self.eps, parameters[self.bias :])
            filters = (filters.double() * factor.view(-1, *(1,) * (filters.dim() - 1))).float()
            b = (addend if b is None else b.double() * factor + addend).float()
        packable = W.device.type == "cpu" and W.dim() == 4 and W.numel() and _packed.available()
        if not packable:
            return filters, b, None
        return filters, b, _packed.PackedWeights(filters.contiguous())

    # ---- running -------------------------------------------------------------------------------
    def _window(self, images: Tensor) -> tuple[list[int], list[int] | None]:
        space = tuple(images.shape[2:])
        found = self._windows.get(space)
        if found is None:
            found = self._windows[space] = self._padding(self.layout(space))
        return found

    def kernel(self, X: Tensor, W: Tensor, *others: Tensor) -> Tensor:
        return self._run(False, X, W, *others)

    def kernel_inplace(self, X: Tensor, W: Tensor, *others: Tensor) -> Tensor:
        return self._run(True, X, W, *others)

    def _run(self, overwrite: bool, X: Tensor, *others: Tensor) -> Tensor:
        images = self.channels_second(X)
        padding, margins = self._window(images)
        if margins:
            images = pad_tensor(images, margins)
        images = channels_last(images)
        parameters = others[: self._count]
        if X.is_meta:
            W, b, packed = *self._fold(*parameters)[:2], None
        else:
            W, b, packed = self._remade.of(parameters)
        other = channels_last(self.channels_second(others[-1])) if self.sum else None
        window = (padding, self.strides, self.dilations, self.group)
        if packed is None:
            Y = self._unpacked(images, other, W, b, padding)
        else:
            ready = packed.for_images(tuple(images.shape), *window)
            if other is None:
                Y = _packed.convolution(images, ready, b, *window, self.activation or "none")
            elif overwrite:
                Y = _packed.convolution_sum_(other, images, ready, b, *window, self.activation or None)
            else:
                Y = _packed.convolution_sum(images, other, ready, b, *window, self.activation or None)
        return self.in_order(Y)

    def _unpacked(
        self, images: Tensor, other: Tensor | None, W: Tensor, b: Tensor | None, padding: list[int]
    ) -> Tensor:
        Y = _ATEN.convolution(
            images, W, b, self.strides, padding, self.dilations, False, self._none, self.group
        )
        if other is not None:
            Y += other
        return torch.relu_(Y) if self.activation else Y
