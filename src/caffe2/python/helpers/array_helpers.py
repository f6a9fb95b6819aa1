"""Putting blobs together."""

from __future__ import annotations

import warnings
from typing import Any


def concat(model: Any, blobs_in: Any, blob_out: str, **kwargs: Any) -> Any:
    """Concatenate along ``axis`` (default: channels of ``order``)."""
    if kwargs.get("order") and kwargs.get("axis"):
        del kwargs["order"]  # the operator takes only one of the two
    return model.net.Concat(blobs_in, [blob_out, "_" + blob_out + "_concat_dims"], **kwargs)[0]


def depth_concat(model: Any, blobs_in: Any, blob_out: str, **kwargs: Any) -> Any:
    """Old name of `concat`."""
    warnings.warn("brew.depth_concat is an old name: use brew.concat.", stacklevel=2)
    return concat(model, blobs_in, blob_out, **kwargs)
