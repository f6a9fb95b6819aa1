"""Labels made softer. Source: caffe2/python/layers/label_smooth.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import cast
from caffe2.python.layers.layers import ModelLayer


class LabelSmooth(ModelLayer):
    """Labels as distributions: row i of ``smooth_matrix`` (D, D) for label i.

    With two numbers instead of a matrix, labels 0 and 1 (below and above 0.5) become those.
    """

    def __init__(
        self, model: Any, label: Any, smooth_matrix: Any, name: str = "label_smooth", **kwargs: Any
    ) -> None:
        super().__init__(model, name, label, **kwargs)
        self.label = label
        matrix = np.array(smooth_matrix).astype(np.float32).flatten()
        self.binary_prob_label = matrix.size == 2
        self.dim = 1 if self.binary_prob_label else math.isqrt(matrix.size)
        require(
            self.binary_prob_label or self.dim**2 == matrix.size,
            f"smooth_matrix must be square, or two numbers; it has {matrix.size} numbers.",
        )
        if self.binary_prob_label:
            self.smooth_matrix = matrix
        else:
            add = model.add_global_constant
            square = matrix.reshape((self.dim, self.dim))
            self.smooth_matrix = add(
                f"{self.name}_label_smooth_matrix", array=square, dtype=np.dtype(np.float32)
            )
            self.len = add(f"{self.name}_label_dim", array=self.dim, dtype=np.dtype(np.int64))
        self.output_schema = schema.Scalar(
            (np.float32, (self.dim,)), self.get_next_blob_reference("smoothed_label")
        )

    def add_ops(self, net: Any) -> None:
        """Soften."""
        if self.binary_prob_label:
            label = cast(net, self.label(), self.label, np.float32, "float32_label")
            low, high = self.smooth_matrix
            net.StumpFunc(label, self.output_schema(), threshold=0.5, low_value=low, high_value=high)
            return
        label = cast(net, self.label(), self.label, np.int64, "int64_label")
        one_hot = net.OneHot([label, self.len], [net.NextScopedBlob("one_hot_label")])
        net.MatMul([one_hot, self.smooth_matrix], self.output_schema())
