"""Rows sampled evenly from all that were seen. Source: caffe2/python/layers/reservoir_sampling.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import constant
from caffe2.python.layers.layers import ModelLayer


class ReservoirSampling(ModelLayer):
    """``reservoir``: ``num_to_collect`` rows of ``data``; ``num_visited``: rows seen; ``mutex``.

    With a column ``object_id`` a row with an id that is there replaces it.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        num_to_collect: int,
        name: str = "reservoir_sampling",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(num_to_collect > 0, f"num_to_collect must be positive; got {num_to_collect}.")
        self.num_to_collect = num_to_collect

        def kept(name: str, shape: list[int] | None, initializer: Any) -> Any:
            return self.create_param(
                param_name=name, shape=shape, initializer=initializer, optimizer=model.NoOptim
            )

        self.reservoir = kept("reservoir", [0], ("ConstantFill",))
        self.num_visited_blob = kept("num_visited", [], constant(0, core.DataType.INT64))
        self.mutex = kept("mutex", [], ("CreateMutex",))
        self.extra_input_blobs: list[Any] = []
        self.extra_output_blobs: list[Any] = []
        if "object_id" in input_record:
            types = {"key_dtype": core.DataType.INT64, "valued_dtype": core.DataType.INT32}
            maps = [
                kept("object_to_pos", None, ("CreateMap", types)),
                kept("pos_to_object", [0], constant(0, core.DataType.INT64)),
            ]
            self.extra_input_blobs = [input_record.object_id(), *maps]
            self.extra_output_blobs = maps
        self.output_schema = schema.Struct(
            ("reservoir", schema.from_blob_list(input_record.data, [self.reservoir])),
            ("num_visited", schema.Scalar(blob=self.num_visited_blob)),
            ("mutex", schema.Scalar(blob=self.mutex)),
        )

    def add_ops(self, net: Any) -> None:
        """Sample."""
        data = self.input_record.data()
        net.ReservoirSampling(
            [self.reservoir, self.num_visited_blob, data, self.mutex, *self.extra_input_blobs],
            [self.reservoir, self.num_visited_blob, *self.extra_output_blobs],
            num_to_collect=self.num_to_collect,
        )
