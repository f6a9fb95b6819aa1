"""Several tensors in one piece of memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch

from freshpot.errors import ArityError
from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import ANY_PAIR, Operator

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class UnsafeCoalesce(Operator):
    """The last output is all inputs, one after the other; the outputs before it are their parts of it.

    Shapes:   n inputs: any -> n outputs: as the inputs; coalesced: (sum of their sizes,); all in one memory
    Raises:   ArityError if there is not one output more than inputs.
    Source:   caffe2/operators/unsafe_coalesce.h
    """

    inputs: ClassVar[tuple[Port, ...]] = (Port("inputs", FLOAT, many=True, at_least=0),)
    outputs = (Port("parts_and_coalesced", many=True),)
    inplace = ANY_PAIR
    no_gradient = "the original has none"

    def setup(self) -> None:
        if self.num_outputs != self.num_inputs + 1:
            self.refuse(
                f"for {self.num_inputs} inputs there must be {self.num_inputs + 1} outputs, "
                f"got {self.num_outputs}.",
                ArityError,
            )

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        values = [blob.value for blob in inputs]
        self.check_inputs(values)
        whole = torch.cat([value.reshape(-1) for value in values]) if values else torch.zeros(0)
        sizes = [value.numel() for value in values]
        for blob, value, part in zip(outputs, values, whole.split(sizes) if sizes else (), strict=False):
            blob.value = part.reshape(value.shape)
        outputs[-1].value = whole
