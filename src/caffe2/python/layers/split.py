"""A column cut into several. Source: caffe2/python/layers/split.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import require_scalar
from caffe2.python.layers.layers import ModelLayer


class Split(ModelLayer):
    """A Tuple of ``num_splits`` equal parts along ``axis``, or of parts of the sizes in ``split``."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        num_splits: int = 1,
        axis: int = 1,
        name: str = "split",
        split: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        self.axis = axis
        self.split = split
        require(axis >= 1, f"Split takes an axis from 1 on; got {axis}.")
        require_scalar(input_record, "Split")
        shape = input_record.field_type().shape
        require(len(shape) >= axis, f"Split must know axis {axis} of its input; its rows are {shape}.")
        size = shape[axis - 1]
        if split is None:
            require(size % num_splits == 0, f"Split cannot cut {size} into {num_splits} equal parts.")
            sizes = [size // num_splits] * num_splits
        else:
            sizes = list(split)
            require(size == sum(sizes), f"Split's parts {sizes} are {sum(sizes)} together, not {size}.")
        self.output_schema = schema.Tuple(
            *(
                schema.Scalar(
                    (input_record.field_type().base, (*shape[: axis - 1], part, *shape[axis:])),
                    self.get_next_blob_reference(f"output_{i}"),
                )
                for i, part in enumerate(sizes)
            )
        )

    def add_ops(self, net: Any) -> None:
        """Cut."""
        inputs, outputs = self.input_record.field_blobs(), self.output_schema.field_blobs()
        net.Split(inputs, outputs, split=self.split, axis=self.axis)
