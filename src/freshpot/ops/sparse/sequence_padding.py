"""What lies beyond the ends of sequences becomes 0."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, Port
from freshpot.ops._operator import Operator


class VariableLengthSequencePadding(Operator):
    """X, but 0 from each sequence's length on.

    Shapes:   X: (T, B, M); lengths: (B,) int32 -> as X
    Raises:   ShapeError for a length outside 0 … T.
    Differs:  it may also write to another blob, where the original crashes.
    Source:   caffe2/operators/variable_length_sequence_padding.h
    """

    inputs = (Port("X", FLOAT, "T B M"), Port("lengths", INT, "B"))
    outputs = (Port("X"),)
    inplace = ((0, 0),)
    no_gradient = "the original has none"

    def kernel(self, X: Tensor, lengths: Tensor) -> Tensor:
        if lengths.numel() and not 0 <= int(lengths.min()):
            self.refuse(f"lengths must not be negative, got {int(lengths.min())}.")
        beyond = torch.arange(len(X), device=X.device)[:, None] >= lengths
        return X.masked_fill(beyond[..., None], 0.0)
