"""Blobs that are emptied, and blobs that get a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from freshpot.errors import ArityError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class Free(Operator):
    """Empty blobs; each is input and output.

    Raises:   ArityError if the outputs are not the inputs.
    Source:   caffe2/operators/free_op.h
    """

    inputs = (Port("blobs", many=True),)
    outputs = (Port("blobs", many=True),)
    inplace = ANY_PAIR

    def setup(self) -> None:
        if self.op.inputs != self.op.outputs:
            self.refuse(
                f"outputs must be the inputs, got {self.op.inputs} and {self.op.outputs}.", ArityError
            )

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        for blob in outputs:
            blob.clear()


class FeedBlob(Operator):
    """output = a text.

    Shapes:   none -> output: text
    Source:   caffe2/operators/feed_blob_op.h
    """

    outputs = (Port("output"),)
    args = (Arg("value", bytes, b"", "the text"),)
    no_gradient = "it has no input"

    def kernel(self) -> Any:
        return self.value
