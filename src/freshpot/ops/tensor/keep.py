"""What a blob holds now, kept under another name before the blob is overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


def _rule(g: GradientMaker) -> list[Op]:
    g.set_dense(0, g.GO(0))
    return []


class CaffeKeep(Operator):
    """Y = X, for layers that run in place and need X again in the backward pass.

    A copy only where X's memory is the user's, who sees what is written to it next. Otherwise what comes next
    gets memory of its own, and Y is X's old one. The gradient of X is that of Y, the same blob.

    Shapes:   X: any -> Y: as X
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_rule)

    def infer(self, *inputs: Tensor) -> Sequence[Tensor]:
        return inputs

    def recorded(self, X: Tensor) -> Tensor:
        return X  # a mirror does not copy what comes next to where X was

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        (source,), (kept,) = inputs, outputs
        kept.value = source.value.clone() if source.pinned else source.value


class CaffeCopyLater(Operator):
    """Y = X, copied when somebody looks at it: X must not be overwritten where it is until then.

    Shapes:   X: any -> Y: as X
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    no_gradient = "it is made for plans, whose backward passes are made before"

    def infer(self, *inputs: Tensor) -> Sequence[Tensor]:
        return inputs

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        source = inputs[0].value
        outputs[0].leave(_copies, (source.clone() if inputs[0].pinned else source,))


def _copies(X: Tensor) -> tuple[Tensor, ...]:
    return (X.clone(),)
