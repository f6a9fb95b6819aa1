"""One weight and one bias a column."""

from __future__ import annotations

from typing import Any

from caffe2.python.helpers._params import FillSpec, fill_or_refer
from caffe2.python.modeling.parameter_info import ParameterTags


def elementwise_linear(
    model: Any,
    blob_in: Any,
    blob_out: Any,
    dim: int,
    weight_init: FillSpec | None = None,
    bias_init: FillSpec | None = None,
    **kwargs: Any,
) -> Any:
    """``Y[i, j] = X[i, j] * w[j] + b[j]``, w from 1 and b from 0 unless told otherwise."""
    blob_out = blob_out or model.net.NextName()
    weight_init = weight_init or ("ConstantFill", {"value": 1.0})
    bias_init = bias_init or ("ConstantFill", {"value": 0.0})
    weight = fill_or_refer(model, blob_out + "_w", weight_init, [dim])
    bias = fill_or_refer(model, blob_out + "_b", bias_init, [dim])
    model.AddParameter(weight, ParameterTags.WEIGHT)
    model.AddParameter(bias, ParameterTags.BIAS)
    return model.net.ElementwiseLinear([blob_in, weight, bias], blob_out, **kwargs)
