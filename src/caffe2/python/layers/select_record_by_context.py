"""One record or another, by what the net is for. Source: caffe2/python/layers/select_record_by_context.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import InstantiationContext, ModelLayer


class SelectRecordByContext(ModelLayer):
    """The record of the Struct that has the name of the `InstantiationContext`, or else the one named by
    ``default_output_record_field``; a copy with ``use_copy``, else an alias."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "select_record_by_context",
        check_field_metas: bool = True,
        use_copy: bool = False,
        default_output_record_field: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(
            isinstance(input_record, schema.Struct) and len(input_record) > 1,
            f"SelectRecordByContext takes a Struct of two records or more; got {input_record!r}",
        )
        self.use_copy = use_copy
        default = default_output_record_field
        self.default_output_record = None if default is None else input_record[default]
        first = input_record[0]
        require(
            all(
                schema.equal_schemas(record, first, check_field_metas=check_field_metas)
                for record in input_record
            ),
            f"SelectRecordByContext's records must be of one schema; got {input_record!r}",
        )
        self.output_schema = schema.NewRecord(model.net, first)

    def _select(self, net: Any, context: str) -> None:
        record = self.input_record.get(context, self.default_output_record)
        require(record is not None, f"there is no record for context {context}, and no default.")
        put = net.Copy if self.use_copy else net.Alias
        for source, output in zip(record.field_blobs(), self.output_schema.field_blobs(), strict=True):
            put(source, output)

    def add_ops(self, net: Any) -> None:
        """The record for prediction."""
        self._select(net, InstantiationContext.PREDICTION)

    def add_eval_ops(self, net: Any) -> None:
        """The record for evaluation."""
        self._select(net, InstantiationContext.EVAL)

    def add_train_ops(self, net: Any) -> None:
        """The record for training."""
        self._select(net, InstantiationContext.TRAINING)

    def add_ops_to_accumulate_pred(self, net: Any) -> None:
        """The record for collecting predictions."""
        self._select(net, InstantiationContext.ACCUMULATE_PRED)
