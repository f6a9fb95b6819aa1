"""The last rows seen. Source: caffe2/python/layers/last_n_window_collector.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import constant, require_scalar
from caffe2.python.layers.layers import ModelLayer


class LastNWindowCollector(ModelLayer):
    """``last_n``: the last ``num_to_collect`` rows of a column, in a ring; ``num_visited``: rows seen; ``mutex``."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        num_to_collect: int,
        name: str = "last_n_window_collector",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(num_to_collect > 0, f"num_to_collect must be positive; got {num_to_collect}.")
        require_scalar(input_record, "LastNWindowCollector")
        self.num_to_collect = num_to_collect

        def kept(name: str, shape: list[int], initializer: Any) -> Any:
            return self.create_param(
                param_name=name, shape=shape, initializer=initializer, optimizer=model.NoOptim
            )

        self.last_n = kept("last_n", [0], ("ConstantFill", {}))
        self.next_blob = kept("next", [], constant(0, core.DataType.INT32))
        self.mutex = kept("mutex", [], ("CreateMutex",))
        self.num_visited_blob = kept("num_visited", [], constant(0, core.DataType.INT64))
        self.output_schema = schema.Struct(
            ("last_n", schema.from_blob_list(input_record, [self.last_n])),
            ("num_visited", schema.Scalar(blob=self.num_visited_blob)),
            ("mutex", schema.Scalar(blob=self.mutex)),
        )

    def add_ops(self, net: Any) -> None:
        """Collect."""
        net.LastNWindowCollector(
            [self.last_n, self.next_blob, self.input_record(), self.mutex, self.num_visited_blob],
            [self.last_n, self.next_blob, self.num_visited_blob],
            num_to_collect=self.num_to_collect,
        )
