"""Margins of any tensor."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from freshpot.errors import ArgumentError
from freshpot.net.schema import BOOL, NUMERIC, Arg, Port
from freshpot.ops._derived import derive
from freshpot.ops._operator import Operator, gradient

_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


class Pad(Operator):
    """Y = X with margins; negative margins cut off.

    Shapes:   X: any -> Y: each size + both its margins
    Raises:   ArgumentError for another mode or a margin too many or too few; KernelError if nothing is left.
    Source:   freshpot's own, for nets made of modules; PadImage pads images alone
    """

    inputs = (Port("X", (*NUMERIC, *BOOL)),)
    outputs = (Port("Y"),)
    args = (
        Arg("pads", [int], doc="margins of the last dimensions: all heads, then all tails"),
        Arg("mode", str, "constant", "what margins hold: constant, reflect, edge or wrap"),
        Arg("value", float, 0.0, "the constant"),
    )

    def setup(self) -> None:
        if self.mode not in _MODES:
            self.refuse(
                f"argument 'mode' must be one of {', '.join(_MODES)}; got '{self.mode}'.", ArgumentError
            )
        if len(self.pads) % 2:
            self.refuse(f"pads must be heads and as many tails, got {self.pads}.", ArgumentError)
        half = len(self.pads) // 2
        pairs = list(zip(self.pads[:half], self.pads[half:], strict=True))
        self._margins = [margin for pair in reversed(pairs) for margin in pair]

    def check(self, X: Tensor) -> None:
        if len(self.pads) > 2 * X.dim():
            self.refuse(f"pads {self.pads} are for {len(self.pads) // 2} dimensions, X has {X.dim()}.")

    def kernel(self, X: Tensor) -> Tensor:
        return self.forwards(X)

    def forwards(self, X: Tensor) -> Tensor:
        """What the kernel computes; a gradient operator's kernel is another."""
        value = self.value if self.mode == "constant" else None
        return functional.pad(X, self._margins, _MODES[self.mode], value).contiguous()

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return derive(self.forwards, [X], [dY])[0]
