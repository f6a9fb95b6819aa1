"""Fully connected layers and their decomposed, pruned and sparse kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2.python.helpers._params import XAVIER, ZERO, FillSpec, fill_or_refer, initializer
from caffe2.python.modeling.initializers import update_initializer
from caffe2.python.modeling.parameter_info import ParameterTags


def _fully_connected(
    model: Any,
    operator: Callable[..., Any],
    blob_in: Any,
    blob_out: Any,
    dim_in: int,
    dim_out: int,
    weight_init: FillSpec | None = None,
    bias_init: FillSpec | None = None,
    WeightInitializer: Any = None,
    BiasInitializer: Any = None,
    enable_tensor_core: bool = False,
    float16_compute: bool = False,
    **kwargs: Any,
) -> Any:
    blob_out = blob_out or model.net.NextName()
    weight = model.create_param(
        param_name=blob_out + "_w",
        shape=[dim_out, dim_in],
        initializer=initializer(model, WeightInitializer, weight_init, XAVIER),
        tags=ParameterTags.WEIGHT,
    )
    frozen = [ParameterTags.COMPUTED_PARAM] if "freeze_bias" in kwargs else []
    bias = model.create_param(
        param_name=blob_out + "_b",
        shape=[dim_out],
        initializer=initializer(model, BiasInitializer, bias_init, ZERO),
        tags=[ParameterTags.BIAS, *frozen],
    )
    if enable_tensor_core:
        kwargs["engine"] = "TENSORCORE"
    if float16_compute:
        kwargs["float16_compute"] = True
    return operator([blob_in, weight, bias], blob_out, **kwargs)


def fc(model: Any, *args: Any, **kwargs: Any) -> Any:
    """``fc(model, X, "y", dim_in, dim_out)``: Y = X W^T + b with W (dim_out, dim_in) and b (dim_out)."""
    return _fully_connected(model, model.net.FC, *args, **kwargs)


def packed_fc(model: Any, *args: Any, **kwargs: Any) -> Any:
    """`fc` by the operator that packs its weight ahead."""
    return _fully_connected(model, model.net.PackedFC, *args, **kwargs)


def fc_decomp(
    model: Any,
    blob_in: Any,
    blob_out: Any,
    dim_in: int,
    dim_out: int,
    rank_approx: int = 5,
    weight_init: FillSpec | None = None,
    bias_init: FillSpec | None = None,
    WeightInitializer: Any = None,
    BiasInitializer: Any = None,
    **kwargs: Any,
) -> Any:
    """`fc` with the weight U V^T, U (dim_out, rank_approx) and V (dim_in, rank_approx)."""
    weight_fill = update_initializer(WeightInitializer, weight_init, XAVIER)
    bias_fill = update_initializer(BiasInitializer, bias_init, ZERO)
    blob_out = blob_out or model.net.NextName()
    u = model.create_param(blob_out + "_u", [dim_out, rank_approx], weight_fill)
    v = model.create_param(blob_out + "_v", [dim_in, rank_approx], weight_fill)
    bias = model.create_param(blob_out + "_b", [dim_out], bias_fill)
    return model.net.FC_Decomp([blob_in, u, v, bias], blob_out, **kwargs)


def fc_prune(
    model: Any,
    blob_in: Any,
    blob_out: Any,
    dim_in: int,
    dim_out: int,
    weight_init: FillSpec | None = None,
    bias_init: FillSpec | None = None,
    mask_init: FillSpec | None = None,
    threshold: float = 0.00001,
    need_compress_rate: bool = False,
    comp_lb: float = 0.05,
    **kwargs: Any,
) -> Any:
    """`fc` whose weights below ``threshold`` are masked out while it trains."""
    blob_out = blob_out or model.net.NextName()
    matrix = [dim_out, dim_in]
    plan: dict[str, tuple[FillSpec, list[int]]] = {
        "lb": (("ConstantFill", {"value": comp_lb}), [1]),
        "w": (weight_init or XAVIER, matrix),
        "m": (("ConstantFill", {"value": 1.0}), matrix),
        "ag_dw": (mask_init or ZERO, matrix),
        "b": (bias_init or ZERO, [dim_out]),
        "mask_seq": (mask_init or ZERO, matrix),
        "thres": (("ConstantFill", {"value": threshold}), [1]),
    }
    blob = {
        suffix: fill_or_refer(model, f"{blob_out}_{suffix}", fill, shape)
        for suffix, (fill, shape) in plan.items()
    }
    model.AddParameter(blob["w"])
    model.AddParameter(blob["b"])
    inputs = [blob_in, *(blob[s] for s in ("w", "m", "b", "ag_dw", "mask_seq", "thres", "lb"))]
    outputs = [blob_out, blob_out + "_compress_rate"] if need_compress_rate else blob_out
    return model.net.FC_Prune(inputs, outputs, **kwargs)


def fc_sparse(
    model: Any, blob_in: Any, blob_out: Any, w_csr: Any, iw: Any, jw: Any, bias: Any, **kwargs: Any
) -> Any:
    """`fc` with a weight in compressed rows: values, row starts, column numbers, made beforehand."""
    for param in (w_csr, iw, jw, bias):
        model.AddParameter(param)
    return model.net.FC_Sparse([blob_in, w_csr, iw, jw, bias], blob_out, **kwargs)
