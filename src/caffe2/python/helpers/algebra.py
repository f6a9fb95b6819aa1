"""Sums, differences, products, transposition."""

from __future__ import annotations

from typing import Any

from caffe2.python.helpers._params import with_engine


def transpose(model: Any, blob_in: Any, blob_out: Any, use_cudnn: bool = False, **kwargs: Any) -> Any:
    """Permute dimensions by ``axes`` (reversed if not given)."""
    return model.net.Transpose(blob_in, blob_out, **with_engine(kwargs, use_cudnn))


def sum(model: Any, blob_in: Any, blob_out: Any, **kwargs: Any) -> Any:
    """Add blobs of one shape, element by element."""
    return model.net.Sum(blob_in, blob_out, **kwargs)


def reduce_sum(model: Any, blob_in: Any, blob_out: Any, **kwargs: Any) -> Any:
    """Sum over ``axes``."""
    return model.net.ReduceSum(blob_in, blob_out, **kwargs)


def sub(model: Any, blob_in: Any, blob_out: Any, **kwargs: Any) -> Any:
    """First blob minus second."""
    return model.net.Sub(blob_in, blob_out, **kwargs)


def mat_mul(model: Any, blob_in: Any, blob_out: Any, **kwargs: Any) -> Any:
    """Product of two matrices."""
    return model.net.MatMul(blob_in, blob_out, **kwargs)


def arg_min(model: Any, blob_in: Any, blob_out: Any, **kwargs: Any) -> Any:
    """Index of the smallest element along ``axis``."""
    return model.net.ArgMin(blob_in, blob_out, **kwargs)


def batch_mat_mul(
    model: Any, blob_in: Any, blob_out: Any, enable_tensor_core: bool = False, **kwargs: Any
) -> Any:
    """Products of two stacks of matrices."""
    if enable_tensor_core:
        kwargs["engine"] = "TENSORCORE"
    return model.net.BatchMatMul(blob_in, blob_out, **kwargs)


def sparse_lengths_sum_4bit_rowwise_sparse(model: Any, blob_in: Any, blob_out: Any, **kwargs: Any) -> Any:
    """Sums of segments of a pruned table of 4 bit rows."""
    return model.net.SparseLengthsSum4BitRowwiseSparse(blob_in, blob_out, **kwargs)
