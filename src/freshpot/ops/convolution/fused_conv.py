"""Convolution with what comes after it, for inference."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import ANY_PAIR
from freshpot.ops._window import channels_last
from freshpot.ops.convolution import _packed
from freshpot.ops.convolution._for_inference import Way, Weights
from freshpot.ops.convolution.conv import Convolution
from freshpot.ops.normalization._affine import PARAMETERS, affine
from freshpot.ops.remade import Remade


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
        self._windows: dict[torch.Size, tuple[list[int], list[int] | None]] = {}
        relu, total = self.activation == "relu", bool(self.sum)
        self._way = Way(self.strides, self.dilations, self.group, relu, total)
        #: how many of the inputs from W on make the weight
        self.count = self.num_inputs - 1 - self.sum

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

    def _fold(self, W: Tensor, *parameters: Tensor) -> Weights:
        """Weight and bias of the one convolution."""
        on_cpu = W.device.type == "cpu" and W.dim() == 4 and W.numel() > 0
        packable = on_cpu and _packed.available()
        b = parameters[0] if self.bias else None
        if not self.norms:
            return Weights(self.channels_second(W), b, packable=packable)
        factor, addend = affine(self.norms, self.eps, parameters[self.bias :])
        b = (addend if b is None else b.double() * factor + addend).float()
        again = functools.partial(self._scaled, W, factor.float())
        return Weights(again(), b, packable=packable, again=again)

    def _scaled(self, W: Tensor, factor: Tensor) -> Tensor:
        """The filters, each times its factor."""
        filters = self.channels_second(W)
        return filters * factor.view(-1, *(1,) * (filters.dim() - 1))

    def weights(self, parameters: Sequence[Tensor]) -> Weights:
        """What the parameters (W and all up to the other summand) amount to; the same object until they change."""
        found: Weights = self._remade.of(parameters)
        return found

    def share_weights(self, other: FusedConv) -> bool:
        """Keep one form of the weights for both, which run on the same parameters; False if that is not of one form."""
        told = ("bias", "norms", "eps", "group", "order")
        if self.count != other.count or any(getattr(self, a) != getattr(other, a) for a in told):
            return False
        self._remade = other._remade
        return True

    def kernel(self, X: Tensor, W: Tensor, *others: Tensor) -> Tensor:
        return self._run(False, X, W, *others)

    def kernel_inplace(self, X: Tensor, W: Tensor, *others: Tensor) -> Tensor:
        return self._run(True, X, W, *others)

    def _run(self, overwrite: bool, X: Tensor, *others: Tensor) -> Tensor:
        images = self.channels_second(X)
        space = images.shape[2:]
        window = self._windows.get(space)
        if window is None:
            window = self._windows[space] = self._padding(self.layout(tuple(space)))
        padding, margins = window
        if margins:
            images = pad_tensor(images, margins)
        parameters = others[: self.count]
        weights = self._fold(*parameters) if X.is_meta else self.weights(parameters)
        other = channels_last(self.channels_second(others[-1])) if self.sum else None
        return self.in_order(weights.run(self._way, channels_last(images), other, padding, overwrite))
