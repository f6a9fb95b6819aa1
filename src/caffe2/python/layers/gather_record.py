"""Rows of a whole record gathered. Source: caffe2/python/layers/gather_record.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import ModelLayer


class GatherRecord(ModelLayer):
    """The rows ``indices`` of every column of ``record``; of a list its lengths and all its items, nested lists too."""

    def __init__(self, model: Any, input_record: Any, name: str = "gather_record", **kwargs: Any) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(
            "indices" in input_record and "record" in input_record,
            f"GatherRecord takes indices and record; got {input_record.field_names()}.",
        )
        self.output_schema = schema.NewRecord(model.net, input_record.record.clone_schema())
        self._indices = input_record.indices()

    def _gather(self, net: Any, record: Any, lengths: Any, output: Any) -> None:
        """Gather a record whose rows are items of lists of these lengths (None: plain rows)."""
        if isinstance(record, schema.Scalar):
            if lengths is None:
                net.Gather([record(), self._indices], output())
            else:
                net.LengthsGather([record(), lengths, self._indices], output())
        elif isinstance(record, schema.Struct):
            for name, field in record.get_children():
                self._gather(net, field, lengths, output[name])
        elif isinstance(record, schema.List):
            self._gather(net, record.lengths, lengths, output.lengths)
            inner = record.lengths() if lengths is None else self._summed(net, record.lengths(), lengths)
            self._gather(net, record._items, inner, output._items)
        else:
            raise NotImplementedError(f"GatherRecord cannot gather a {type(record).__name__}.")

    @staticmethod
    def _summed(net: Any, inner: Any, outer: Any) -> Any:
        """The number of items of all inner lists of each outer one."""
        floats = net.Cast(inner, net.NextScopedBlob(f"{inner}_float"), to=core.DataType.FLOAT)
        sums = net.LengthsSum([floats, outer], net.NextScopedBlob(f"{inner}_nested_float"))
        return net.Cast(sums, net.NextScopedBlob(f"{inner}_nested"), to=core.DataType.INT32)

    def add_ops(self, net: Any) -> None:
        """Gather."""
        self._gather(net, self.input_record.record, None, self.output_schema)
