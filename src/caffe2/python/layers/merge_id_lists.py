"""Lists of ids merged. Source: caffe2/python/layers/merge_id_lists.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import IdList, ModelLayer, get_categorical_limit


class MergeIdLists(ModelLayer):
    """One list of ids of a Tuple of them; each id once a row."""

    def __init__(self, model: Any, input_record: Any, name: str = "merged") -> None:
        super().__init__(model, name, input_record)
        records = list(input_record)
        require(
            all(schema.equal_schemas(record, IdList) for record in records),
            f"MergeIdLists takes lists of int64 ids; got {input_record!r}",
        )
        require(
            all(record.items.metadata is not None for record in records),
            "MergeIdLists must know the number that ids are below: give their columns metadata.",
        )
        limit = max(get_categorical_limit(record) for record in records)
        column = schema.Scalar(
            np.int64, blob=model.net.NextBlob(name), metadata=schema.Metadata(categorical_limit=limit)
        )
        self.output_schema = schema.NewRecord(model.net, schema.List(column))

    def add_ops(self, net: Any) -> None:
        """Merge."""
        net.MergeIdLists(self.input_record.field_blobs(), self.output_schema.field_blobs())
