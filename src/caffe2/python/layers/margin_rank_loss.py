"""Loss of a right answer that is not ahead by a margin. Source: caffe2/python/layers/margin_rank_loss.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python.layers.bpr_loss import _RankLoss


class MarginRankLoss(_RankLoss):
    """max(0, margin - (right - wrong)), summed, or averaged with ``average_loss``."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "margin_rank_loss",
        margin: float = 0.1,
        average_loss: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, input_record, name, **kwargs)
        require(margin >= 0, f"margin must not be negative; got {margin}.")
        self._margin = margin
        self._average_loss = average_loss

    def add_ops(self, net: Any) -> None:
        """Compute the loss."""
        right, wrong = self._scores(net)
        ones = net.ConstantFill(wrong, net.NextScopedBlob("const_1"), value=1, dtype=core.DataType.INT32)
        loss = net.MarginRankingCriterion(
            [right, wrong, ones], net.NextScopedBlob("rank_loss"), margin=self._margin
        )
        reduce = net.AveragedLoss if self._average_loss else net.ReduceFrontSum
        reduce(loss, self.output_schema.field_blobs())
