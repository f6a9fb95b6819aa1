"""Ids hashed into a smaller range. Source: caffe2/python/layers/sparse_feature_hash.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import MisuseError, require
from caffe2.python.layers.layers import IdList, IdScoreList, ModelLayer
from caffe2.python.layers.tags import Tags


class SparseFeatureHash(ModelLayer):
    """A list of ids (with scores) with ids below ``modulo``, or below what the column's metadata says.

    ``use_hashing``: a hash with ``seed``; ``use_divide_mod``: the id divided by ``divisor``, modulo; neither: modulo.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        seed: int = 0,
        modulo: int | None = None,
        use_hashing: bool = True,
        use_divide_mod: bool = False,
        divisor: int | None = None,
        name: str = "sparse_feature_hash",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(not (use_hashing and use_divide_mod), "use_hashing and use_divide_mod exclude each other.")
        if use_divide_mod:
            require(divisor is not None and divisor >= 1, f"divisor must be positive; got {divisor}.")
            self.divisor = self.create_param(
                param_name="divisor",
                shape=[1],
                initializer=("GivenTensorInt64Fill", {"values": np.array([divisor])}),
                optimizer=model.NoOptim,
            )
        self.seed = seed
        self.use_hashing = use_hashing
        self.use_divide_mod = use_divide_mod
        if schema.equal_schemas(input_record, IdList):
            form, self._ids = IdList, "items"
        elif schema.equal_schemas(input_record, IdScoreList):
            form, self._ids = IdScoreList, "keys"
        else:
            raise MisuseError(
                f"SparseFeatureHash takes a list of ids, or of ids with scores; got {input_record!r}"
            )
        known = getattr(input_record, self._ids).metadata
        self.modulo = modulo or self.extract_hash_size(known)
        require(self.modulo >= 1, f"modulo must be positive; got {self.modulo}.")
        with core.NameScope(name):
            self.output_schema = schema.NewRecord(model.net, form)
        metadata = (known or schema.Metadata())._replace(categorical_limit=self.modulo)
        getattr(self.output_schema, self._ids).set_metadata(metadata)
        if input_record.lengths.metadata:
            self.output_schema.lengths.set_metadata(input_record.lengths.metadata)
        self.tags.update([Tags.CPU_ONLY])

    def extract_hash_size(self, metadata: Any) -> int:
        """The wanted size in the metadata, or the number that ids are below."""
        if metadata is not None and metadata.feature_specs and metadata.feature_specs.desired_hash_size:
            return metadata.feature_specs.desired_hash_size
        if metadata is not None and metadata.categorical_limit is not None:
            return metadata.categorical_limit
        raise MisuseError(
            "SparseFeatureHash needs modulo, or metadata with desired_hash_size or categorical_limit."
        )

    def add_ops(self, net: Any) -> None:
        """Hash."""
        net.Copy(self.input_record.lengths(), self.output_schema.lengths())
        if self._ids == "keys":
            net.Copy(self.input_record.values(), self.output_schema.values())
        ids, output = getattr(self.input_record, self._ids)(), getattr(self.output_schema, self._ids)()
        if self.use_hashing:
            net.IndexHash(ids, output, seed=self.seed, modulo=self.modulo)
            return
        if self.use_divide_mod:
            ids = net.Div([ids, self.divisor], [net.NextScopedBlob("quotient")])
        net.Mod(ids, output, divisor=self.modulo, sign_follow_divisor=True)
