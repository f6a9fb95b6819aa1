"""Features that a row may lack, made dense. Source: caffe2/python/layers/feature_sparse_to_dense.py."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import AccessedFeatures, ModelLayer

#: What a feature of a list type gives besides its ranges: name in the output, type, name in the input.
_LISTS: dict[str, list[tuple[str, Any, str]]] = {
    "ID_LIST": [("values", np.int64, "items")],
    "ID_SCORE_LIST": [("ids", np.int64, "keys"), ("scores", np.float32, "values")],
    "EMBEDDING": [("values", np.float32, "items")],
    "GENERIC_FEATURE": [("values", np.float32, "")],
}
_RANGES = {
    "ID_LIST": "id_list_ranges",
    "ID_SCORE_LIST": "id_score_list_ranges",
    "EMBEDDING": "embeddings_ranges",
    "GENERIC_FEATURE": "generics_ranges",
}


class FeatureSparseToDense(ModelLayer):
    """Takes maps of feature id -> value, gives a column for each feature id asked for.

    ``input_specs``: pairs of a field and a `schema.FeatureSpec`. A FLOAT field gives (N, features), with
    ``default_dense_value``, 0 or NaN, where a row lacks one; fields of lists give ``ranges`` (N, features, 2) into
    their values.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        input_specs: Any,
        name: str = "feature_sparse_to_dense",
        default_dense_value: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        default = 0.0 if default_dense_value is None else float(default_dense_value)
        require(np.isnan(default) or default == 0.0, f"default_dense_value must be 0 or NaN; got {default}.")
        self.input_specs = input_specs
        self.default_float_value = model.global_constants["NAN" if np.isnan(default) else "ZERO"]
        self.zero_range = model.global_constants["ZERO_RANGE"]
        self.output_schema = schema.Struct(
            *((field, self._output(field, spec)) for field, spec in input_specs)
        )
        for field, spec in input_specs:
            schema.attach_metadata_to_scalars(self.output_schema[field], schema.Metadata(feature_specs=spec))

    def _output(self, field: str, spec: Any) -> Any:
        count = len(spec.feature_ids)
        require(
            len(spec.feature_names) == count,
            f"field {field} has {len(spec.feature_names)} names for {count} features.",
        )
        if spec.feature_type == "FLOAT":
            return schema.Scalar((np.float32, (count,)), self.get_next_blob_reference(f"{field}_output"))
        if spec.feature_type not in _LISTS:
            raise TypeError(
                f"feature_type of {field} must be FLOAT, {', '.join(_LISTS)}; got {spec.feature_type}."
            )
        columns = [("ranges", (np.int32, (count, 2)))]
        columns += [(part, kind) for part, kind, _ in _LISTS[spec.feature_type]]
        return schema.Struct(
            *(
                (part, schema.Scalar(kind, self.get_next_blob_reference(f"{field}_{part}")))
                for part, kind in columns
            )
        )

    def add_ops(self, net: Any) -> None:
        """Make dense."""
        for field, spec in self.input_specs:
            record, output = self.input_record[field], self.output_schema[field]
            if spec.feature_type == "FLOAT":
                inputs = [record.keys(), record.values(), self.default_float_value, record.lengths()]
                net.SparseToDenseMask(inputs, [output()], mask=spec.feature_ids)
                continue
            if spec.feature_type == "GENERIC_FEATURE":
                names = ["feature_lengths", "feature_ids", "value_lengths", "value_values"]
                lengths, ids, value_lengths, values = net.ParseGeneric([record()], names, feature_type_enum=1)
                sources = [values]
            else:
                lengths, ids, value_lengths = record.lengths(), record.keys(), record.values.lengths()
                sources = [getattr(record.values, part)() for _, _, part in _LISTS[spec.feature_type]]
            ranges = net.LengthsToRanges(value_lengths, net.NextScopedBlob(_RANGES[spec.feature_type]))
            inputs = [ids, ranges, self.zero_range, lengths]
            net.SparseToDenseMask(inputs, output.ranges(), mask=spec.feature_ids)
            for source, (part, _, _) in zip(sources, _LISTS[spec.feature_type], strict=True):
                net.Alias(source, output[part]())

    def get_metadata(self) -> list[Any]:
        """For each field: what its features are, its blobs, their types."""
        metadata = []
        for field, spec in self.input_specs:
            told = {"type": spec.feature_type, "names": spec.feature_names, "ids": spec.feature_ids}
            if spec.feature_type == "FLOAT":
                told["cardinality"] = 1
            output = self.output_schema[field]
            metadata.append((told, output.field_blobs(), output.field_types()))
        return metadata

    def get_accessed_features(self) -> dict[str, list[AccessedFeatures]]:
        """The features asked for."""
        accessed: dict[str, list[AccessedFeatures]] = defaultdict(list)
        for field, spec in self.input_specs:
            accessed[field].append(AccessedFeatures(spec.feature_type, set(spec.feature_ids)))
        return accessed
