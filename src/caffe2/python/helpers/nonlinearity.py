"""Activations."""

from __future__ import annotations

from typing import Any

from caffe2.python.helpers._params import FillSpec, fill_or_refer, with_engine


def prelu(
    model: Any,
    blob_in: Any,
    blob_out: Any,
    num_channels: int = 1,
    slope_init: FillSpec | None = None,
    **unused: Any,
) -> Any:
    """max(x, 0) + slope * min(x, 0), slope learnt from 0.25: one a channel, or one for all."""
    slope_init = slope_init or ("ConstantFill", {"value": 0.25})
    slope = fill_or_refer(model, blob_out + "_slope", slope_init, [num_channels])
    model.AddParameter(slope)
    return model.net.PRelu([blob_in, slope], [blob_out])


def relu(
    model: Any, blob_in: Any, blob_out: Any, use_cudnn: bool = False, order: str = "NCHW", **kwargs: Any
) -> Any:
    """max(x, 0)."""
    return model.net.Relu(blob_in, blob_out, order=order, **with_engine(kwargs, use_cudnn))


def tanh(
    model: Any, blob_in: Any, blob_out: Any, use_cudnn: bool = False, order: str = "NCHW", **kwargs: Any
) -> Any:
    """Hyperbolic tangent."""
    return model.net.Tanh(blob_in, blob_out, order=order, **with_engine(kwargs, use_cudnn))
