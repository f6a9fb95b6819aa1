"""Conditional random field in use: scores after which the best sequence of labels has the highest ones.

Source: caffe2/python/crf_predict.py.
"""

from __future__ import annotations

from typing import Any

from caffe2.python.crf import CRFWithLoss

__all__ = ["apply_crf", "crf_update_predictions"]


def crf_update_predictions(model: Any, crf_with_loss: CRFWithLoss, classes: Any) -> Any:
    """Add the operators to a model, with the transitions of its layer; see `apply_crf`."""
    return apply_crf(
        model.param_init_net, model.net, crf_with_loss.transitions, classes, crf_with_loss.num_classes
    )


def apply_crf(init_net: Any, net: Any, transitions: Any, predictions: Any, num_classes: int) -> Any:
    """Add operators that find the best sequence and swap its scores with the highest ones.

    Args:
        init_net, net: where they go.
        transitions: blob (num_classes + 2, num_classes + 2).
        predictions: blob (T, num_classes).
        num_classes: how many labels there are.
    """
    padded = CRFWithLoss.pad_predictions(predictions, init_net, net, num_classes)
    swapped = net.SwapBestPath([padded, net.ViterbiPath([padded, transitions])])
    rows = net.RemovePadding([swapped], padding_width=1, end_padding_width=1)
    starts = net.GivenTensorIntFill([], shape=[2], values=[0, 0])
    ends = net.GivenTensorIntFill([], shape=[2], values=[-1, -3])
    return net.Slice([rows, starts, ends])
