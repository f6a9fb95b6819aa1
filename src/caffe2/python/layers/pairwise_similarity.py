"""Products of all pairs of rows. Source: caffe2/python/layers/pairwise_similarity.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import require_scalar
from caffe2.python.layers.layers import ModelLayer


class PairwiseSimilarity(ModelLayer):
    """X Y^T of embeddings (M, D) and (K, D), as one row: of ``all_embeddings`` with itself, or of ``x_embeddings``
    and ``y_embeddings``; of it those of ``indices_to_gather``, where that is given.

    ``pairwise_similarity_func``: "dot", or "cosine_similarity".
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        output_dim: int,
        pairwise_similarity_func: str = "dot",
        name: str = "pairwise_similarity",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(
            isinstance(input_record, schema.Struct),
            f"PairwiseSimilarity takes a Struct; got {type(input_record).__name__}: {input_record!r}",
        )
        one = "all_embeddings" in input_record
        two = "x_embeddings" in input_record and "y_embeddings" in input_record
        require(
            one != two,
            "PairwiseSimilarity takes either all_embeddings, or x_embeddings and y_embeddings;"
            f" got {input_record.field_names()}.",
        )
        if pairwise_similarity_func not in ("dot", "cosine_similarity"):
            raise NotImplementedError(
                f"pairwise_similarity_func must be dot or cosine_similarity; got {pairwise_similarity_func}."
            )
        self.pairwise_similarity_func = pairwise_similarity_func
        self.x_embeddings = input_record["all_embeddings" if one else "x_embeddings"]
        self.y_embeddings = input_record["all_embeddings" if one else "y_embeddings"]
        self.indices_to_gather = input_record.get("indices_to_gather", None)
        for column in (self.x_embeddings, self.y_embeddings, self.indices_to_gather):
            if column is not None:
                require_scalar(column, "PairwiseSimilarity")
        self.output_schema = schema.Scalar(
            (self.x_embeddings.field_types()[0].base, (output_dim,)), self.get_next_blob_reference("output")
        )

    def add_ops(self, net: Any) -> None:
        """Multiply."""
        x, y = self.x_embeddings(), self.y_embeddings()
        if self.pairwise_similarity_func == "cosine_similarity":
            x, y = net.Normalize(x, axis=1), net.Normalize(y, axis=1)
        product = self.get_next_blob_reference(x + "_matmul")
        product = net.BatchMatMul([x, y], [product], trans_b=1)
        if self.indices_to_gather is None:
            net.Flatten(product, self.output_schema())
        else:
            row = net.Flatten(product, product + "_flatten")
            net.BatchGather([row, self.indices_to_gather()], self.output_schema())
