"""Lists of tensors that keep a sample of all tensors seen."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.state.datasets import TensorVector
from freshpot.ops.tensor._clone import clone


class CollectTensor(Operator):
    """Append a tensor to each list; when they hold ``num_to_collect``, put it in a random place, or nowhere.

    All lists get and lose the tensors of the same runs.

    Shapes:   for each list: tensor_vector; then for each list: tensor -> the lists, in place
    Raises:   ArgumentError if ``num_to_collect`` is not positive, or an input is no list; ArityError for another
              number of blobs.
    Source:   caffe2/operators/dataset_ops.cc; Vitter, 1985
    """

    inputs = (Port("vectors_and_tensors", many=True, at_least=2),)
    outputs = (Port("vectors", many=True),)
    args = (Arg("num_to_collect", int, -1, "tensors to keep, > 0"),)
    inplace = ANY_PAIR
    must_inplace = tuple((i, i) for i in range(64))
    remembers = True
    gradient_stops = True

    def setup(self) -> None:
        self._seen = 0
        if self.num_to_collect < 1:
            self.refuse(
                f"argument 'num_to_collect' must be positive, got {self.num_to_collect}.", ArgumentError
            )
        if self.num_inputs != 2 * self.num_outputs:
            self.refuse(
                f"for {self.num_outputs} outputs there must be {2 * self.num_outputs} inputs.", ArityError
            )

    def kernel(self, *both: Any) -> tuple[Any, ...]:
        vectors, tensors = both[: self.num_outputs], both[self.num_outputs :]
        if not all(isinstance(each, TensorVector) for each in vectors):
            self.refuse(
                "the first inputs must hold lists of tensors; make them with CreateTensorVector.",
                ArgumentError,
            )
        at = self._seen
        if at >= self.num_to_collect:
            at = int(torch.randint(self._seen + 1, (), generator=self.generator))
        self._seen += 1
        for vector, tensor in zip(vectors, tensors, strict=True):
            if at >= self.num_to_collect:
                continue
            if at < len(vector.tensors):
                vector.tensors[at] = clone(tensor)
            else:
                vector.tensors.append(clone(tensor))
        return vectors

    def infer(self, *_: Any) -> None:
        return None
