"""What `debug_info` prints of a net: mean absolute values as layers run.

Owned here: the lines. Who calls it: `_net.net`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from caffe import _log

if TYPE_CHECKING:
    from caffe._net.net import CaffeNet


def forward(net: CaffeNet, i: int) -> None:
    """Tops and parameters of a layer that ran forwards."""
    layer, name = net.layers[i], net.layer_names[i]
    for top, blob in zip(net.top_ids[i], layer.tops, strict=True):
        _log.info(
            "net.cpp:593",
            f"    [Forward] Layer {name}, top blob {net.blob_names[top]} data: {_mean(blob.data_cell.value)}",
        )
    shown = {(layer, k): net.learnable[entry].display_name for layer, k, entry in net.param_list}
    for k, blob in enumerate(layer.blobs):
        _log.info(
            "net.cpp:605",
            f"    [Forward] Layer {name}, param blob {shown[i, k]} data: {_mean(blob.data_cell.value)}",
        )


def backward(net: CaffeNet, i: int) -> None:
    """Diffs of bottoms and parameters of a layer that ran backwards."""
    layer, name = net.layers[i], net.layer_names[i]
    for bottom, blob, wanted in zip(
        net.bottom_ids[i], layer.bottoms, net.bottom_needs_backward[i], strict=True
    ):
        if wanted:
            _log.info(
                "net.cpp:621",
                f"    [Backward] Layer {name}, bottom blob {net.blob_names[bottom]} diff: {_mean(blob.diff_tensor())}",
            )
    for k, (blob, learns) in enumerate(zip(layer.blobs, layer.param_propagate_down, strict=True)):
        if learns:
            _log.info(
                "net.cpp:632",
                f"    [Backward] Layer {name}, param blob {k} diff: {_mean(blob.diff_tensor())}",
            )


def all_params(net: CaffeNet) -> None:
    """Norms of all parameters and of their diffs."""
    data = [p.blob.data_cell.value for p in net.learnable]
    diffs = [p.blob.diff_tensor() for p in net.learnable]
    one = ", ".join(f"{sum(float(t.abs().sum()) for t in group):g}" for group in (data, diffs))
    two = ", ".join(f"{_norm(group):g}" for group in (data, diffs))
    _log.error(
        "net.cpp:721", f"    [Backward] All net params (data, diff): L1 norm = ({one}); L2 norm = ({two})"
    )


def _mean(values: Tensor) -> str:
    return f"{float(values.abs().sum()) / max(values.numel(), 1):g}"


def _norm(group: list[Tensor]) -> float:
    return float(torch.stack([t.norm() for t in group]).norm()) if group else 0.0
