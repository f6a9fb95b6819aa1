"""Losses of a right answer beside a list of wrong ones. Source: caffe2/python/layers/bpr_loss.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python.layers._parts import require_columns
from caffe2.python.layers.layers import ModelLayer
from caffe2.python.layers.tags import Tags


class _RankLoss(ModelLayer):
    """Takes ``pos_prediction``, one score an example, and ``neg_prediction``, a list of scores an example."""

    def __init__(self, model: Any, input_record: Any, name: str, **kwargs: Any) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require_columns(input_record, "pos_prediction", lists=("neg_prediction",))
        self.tags.update([Tags.EXCLUDE_FROM_PREDICTION])
        self.output_schema = schema.Scalar(np.float32, self.get_next_blob_reference("output"))

    def _scores(self, net: Any) -> tuple[Any, Any]:
        """Scores of right answers, repeated for each wrong one, and those of the wrong ones."""
        negative = self.input_record.neg_prediction
        inputs = [self.input_record.pos_prediction(), negative["lengths"]()]
        return net.LengthsTile(inputs, net.NextScopedBlob("pos_score_repeated")), negative["values"]()


class BPRLoss(_RankLoss):
    """- sum of log sigmoid(right - wrong). Source: Rendle and others, arXiv:1205.2618."""

    def __init__(self, model: Any, input_record: Any, name: str = "bpr_loss", **kwargs: Any) -> None:
        super().__init__(model, input_record, name, **kwargs)

    def add_ops(self, net: Any) -> None:
        """Compute the loss."""
        right, wrong = self._scores(net)
        softplus = net.Softplus([net.Sub([wrong, right])])
        net.ReduceFrontSum(softplus, self.output_schema.field_blobs())
