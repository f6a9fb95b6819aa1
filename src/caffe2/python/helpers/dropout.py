"""Dropout."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError


def dropout(model: Any, blob_in: Any, blob_out: str, use_cudnn: bool = False, **kwargs: Any) -> Any:
    """Set elements to zero with probability ``ratio``; ``is_test`` (required) says whether to."""
    if "is_test" not in kwargs:
        raise ArgumentError("brew.dropout: argument 'is_test' is required (0 to train, 1 to test).")
    kwargs["engine"] = "CUDNN" if use_cudnn else "DEFAULT"
    return model.net.Dropout(blob_in, [blob_out, "_" + blob_out + "_mask"], **kwargs)[0]
