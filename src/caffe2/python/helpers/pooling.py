"""Pooling."""

from __future__ import annotations

from typing import Any

from caffe2.python.helpers._params import with_engine


def max_pool(
    model: Any, blob_in: Any, blob_out: Any, use_cudnn: bool = False, order: str = "NCHW", **kwargs: Any
) -> Any:
    """Largest element of each window."""
    return model.net.MaxPool(blob_in, blob_out, order=order, **with_engine(kwargs, use_cudnn))


def average_pool(
    model: Any, blob_in: Any, blob_out: Any, use_cudnn: bool = False, order: str = "NCHW", **kwargs: Any
) -> Any:
    """Mean of each window."""
    return model.net.AveragePool(blob_in, blob_out, order=order, **with_engine(kwargs, use_cudnn))


def max_pool_with_index(model: Any, blob_in: Any, blob_out: str, order: str = "NCHW", **kwargs: Any) -> Any:
    """`max_pool` that also writes where each maximum is, to ``OUT_index``."""
    return model.net.MaxPoolWithIndex(blob_in, [blob_out, blob_out + "_index"], order=order, **kwargs)[0]
