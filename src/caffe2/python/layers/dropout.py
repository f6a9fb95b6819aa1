"""Dropout. Source: caffe2/python/layers/dropout.py."""

from __future__ import annotations

from typing import Any

from caffe2.python._errors import require
from caffe2.python.layers._parts import require_scalar
from caffe2.python.layers.layers import ModelLayer


class Dropout(ModelLayer):
    """Dropout of ``ratio`` in training, and in evaluation if ``dropout_for_eval``."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "dropout",
        ratio: float = 0.5,
        dropout_for_eval: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require_scalar(input_record, "Dropout")
        require(0 <= ratio < 1, f"Dropout takes a ratio from 0 to below 1; got {ratio}.")
        self.output_schema = input_record.clone_schema()
        self.output_schema.set_value(self.get_next_blob_reference("output"))
        self.dropout_for_eval = dropout_for_eval
        self.ratio = ratio

    def _add_ops(self, net: Any, is_test: bool) -> None:
        outputs = [*self.output_schema.field_blobs(), net.NextScopedBlob("d_mask")]
        net.Dropout(self.input_record.field_blobs(), outputs, ratio=self.ratio, is_test=is_test)

    def add_train_ops(self, net: Any) -> None:
        """Drop."""
        self._add_ops(net, is_test=False)

    def add_eval_ops(self, net: Any) -> None:
        """Drop nothing, unless told to."""
        self._add_ops(net, is_test=not self.dropout_for_eval)

    def add_ops(self, net: Any) -> None:
        """As in evaluation."""
        self.add_eval_ops(net)
