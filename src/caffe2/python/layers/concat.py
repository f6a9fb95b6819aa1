"""Columns joined. Source: caffe2/python/layers/concat.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import ModelLayer


def get_concatenated_feature_to_index(blobs_to_concat: Iterable[Any]) -> dict[Any, list[int]] | None:
    """Feature -> its columns in what is joined, from the columns' metadata; None if they say nothing."""
    places: dict[Any, list[int]] = defaultdict(list)
    start = 0
    for column in blobs_to_concat:
        specs = getattr(getattr(column, "metadata", None), "feature_specs", None)
        known = getattr(specs, "feature_to_index", None)
        if isinstance(known, dict):
            for feature, indices in known.items():
                places[feature].extend(start + index for index in indices)
        start += column.dtype.shape[0]
    return dict(places) or None


class Concat(ModelLayer):
    """The columns of a Struct, joined along ``axis`` (0: the batch); ``add_axis=1`` makes that axis first."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        axis: int = 1,
        add_axis: int = 0,
        name: str = "concat",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        self.axis, self.add_axis = axis, add_axis
        require(not (axis == 0 and add_axis == 1), "Concat cannot add axis 0.")
        require(
            isinstance(input_record, schema.Struct),
            f"Concat takes a Struct; got {type(input_record).__name__}: {input_record!r}",
        )
        shapes = []
        for field, column in input_record.fields.items():
            require(
                isinstance(column, schema.Scalar),
                f"Concat takes Scalars; field {field} is a {type(column).__name__}.",
            )
            shape = list(column.field_type().shape)
            if add_axis:
                shape.insert(axis - 1, 1)
            require(
                len(shape) >= axis, f"Concat must know axis {axis} of field {field}; its rows are {shape}."
            )
            shapes.append(shape)
        if axis == 0:
            blob = self.get_next_blob_reference("output")
            self.output_schema = schema.from_blob_list(input_record[0], [blob])
            return
        joined = list(shapes[0])
        joined[axis - 1] = sum(shape[axis - 1] for shape in shapes)
        others = [shape[: axis - 1] + shape[axis:] for shape in shapes]
        require(
            all(other == others[0] for other in others),
            f"Concat cannot join rows of shapes {shapes} along axis {axis}: they differ elsewhere too.",
        )
        self.output_schema = schema.Scalar((np.float32, joined), self.get_next_blob_reference("output"))
        places = get_concatenated_feature_to_index(input_record.fields.values())
        if places:
            specs = schema.FeatureSpec(feature_to_index=places)
            self.output_schema.set_metadata(schema.Metadata(feature_specs=specs))

    def add_ops(self, net: Any) -> None:
        """Join."""
        output = self.output_schema.field_blobs()[0]
        outputs = [output, output + "_concat_dims"]
        net.Concat(self.input_record.field_blobs(), outputs, axis=self.axis, add_axis=self.add_axis)
