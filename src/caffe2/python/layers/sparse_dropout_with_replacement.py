"""Lists of ids dropped. Source: caffe2/python/layers/sparse_dropout_with_replacement.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import IdList, ModelLayer


class SparseDropoutWithReplacement(ModelLayer):
    """A list of ids where a row becomes ``[replacement_value]``, with a probability for each kind of net."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        dropout_prob_train: float,
        dropout_prob_eval: float,
        dropout_prob_predict: float,
        replacement_value: int,
        name: str = "sparse_dropout",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(
            schema.equal_schemas(input_record, IdList),
            f"SparseDropoutWithReplacement takes a list of int64 ids; got {input_record!r}",
        )
        self.dropout_prob_train = float(dropout_prob_train)
        self.dropout_prob_eval = float(dropout_prob_eval)
        self.dropout_prob_predict = float(dropout_prob_predict)
        self.replacement_value = int(replacement_value)
        probabilities = (self.dropout_prob_train, self.dropout_prob_eval, self.dropout_prob_predict)
        require(
            all(0 <= p <= 1 for p in probabilities) and any(probabilities),
            f"probabilities must be from 0 to 1, and one of them above 0; got {probabilities}.",
        )
        self.output_schema = schema.NewRecord(model.net, IdList)
        for column in ("lengths", "items"):
            metadata = getattr(input_record, column).metadata
            if metadata:
                getattr(self.output_schema, column).set_metadata(metadata)

    def _add_ops(self, net: Any, ratio: float) -> None:
        given, output = self.input_record, self.output_schema
        net.SparseDropoutWithReplacement(
            [given.items(), given.lengths()],
            [output.items(), output.lengths()],
            ratio=ratio,
            replacement_value=self.replacement_value,
        )

    def add_train_ops(self, net: Any) -> None:
        """Drop as in training."""
        self._add_ops(net, self.dropout_prob_train)

    def add_eval_ops(self, net: Any) -> None:
        """Drop as in evaluation."""
        self._add_ops(net, self.dropout_prob_eval)

    def add_ops(self, net: Any) -> None:
        """Drop as in prediction."""
        self._add_ops(net, self.dropout_prob_predict)
