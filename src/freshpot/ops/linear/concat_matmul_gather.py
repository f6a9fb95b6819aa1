"""Products of pairs of rows, of which some are picked: one operator for three."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INTS, Port
from freshpot.ops._operator import Operator


class ConcatBatchMatMulBatchGatherOp(Operator):
    """Y[n, k] = dot product of two of sample n's embeddings: indices[k] counts the pairs (i, j), row by row.

    Shapes:   indices: (K,); S embeddings: (N, D) each -> Y: (N, K)
    Raises:   ShapeError if embeddings differ, or an index is not from 0 to S * S - 1.
    Source:   caffe2/operators/fused_concat_batch_matmul_batch_gather_op.h
    """

    inputs = (Port("indices", INTS), Port("embeddings", FLOAT, many=True, at_least=0))
    outputs = (Port("Y"),)
    no_gradient = "the original has none"

    def check(self, indices: Tensor, *embeddings: Tensor) -> None:
        if len({e.shape for e in embeddings}) != 1 or embeddings[0].dim() != 2:
            self.refuse("embeddings must be matrices of one shape.")

    def kernel(self, indices: Tensor, *embeddings: Tensor) -> Any:
        S = len(embeddings)
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < S * S:
            self.refuse(f"indices must be from 0 to {S * S - 1}.")
        rows = torch.stack(embeddings, 1)
        return torch.bmm(rows, rows.transpose(1, 2)).flatten(1).index_select(1, indices.reshape(-1).long())

    def infer(self, indices: Tensor, *embeddings: Tensor) -> tuple[Tensor, ...]:
        return (embeddings[0].new_empty(len(embeddings[0]), indices.numel()),)
