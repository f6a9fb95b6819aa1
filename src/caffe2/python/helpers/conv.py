"""Convolutions."""

from __future__ import annotations

from typing import Any

from caffe2.python.helpers._params import XAVIER, ZERO, FillSpec, fill_or_refer, initializer
from caffe2.python.modeling.parameter_info import ParameterTags
from freshpot.errors import ArgumentError


def _cudnn_arguments(
    kwargs: dict[str, Any], use_cudnn: bool, exhaustive_search: bool, ws_nbytes_limit: int | None
) -> dict[str, Any]:
    if not use_cudnn:
        return kwargs
    limit = {"ws_nbytes_limit": ws_nbytes_limit} if ws_nbytes_limit else {}
    return {**kwargs, "engine": "CUDNN", "exhaustive_search": exhaustive_search, **limit}


def _check_engine(engine: str | None, use_cudnn: bool) -> None:
    if engine is not None and use_cudnn != (engine == "CUDNN"):
        wanted = "CUDNN" if use_cudnn else "anything but CUDNN"
        raise ArgumentError(f"brew.conv: with use_cudnn={use_cudnn} the engine is {wanted}; got '{engine}'.")


def _kernel_sizes(kernel: int | list[int], is_nd: bool) -> list[int]:
    if isinstance(kernel, list):
        if not is_nd and len(kernel) != 2:
            raise ArgumentError(
                f"brew.conv: 'kernel' must be one size or [height, width]; got {kernel}."
                " Use brew.conv_nd for other dimensions."
            )
        return kernel
    return [kernel] if is_nd else [kernel] * 2


def _kernel_arguments(kernel: int | list[int], is_nd: bool) -> dict[str, Any]:
    if is_nd:
        return {"kernels": _kernel_sizes(kernel, True)}
    if isinstance(kernel, list):
        return {"kernel_h": kernel[0], "kernel_w": kernel[1]}
    return {"kernel": kernel}


def _convolution(
    model: Any,
    is_nd: bool,
    blob_in: Any,
    blob_out: Any,
    dim_in: int,
    dim_out: int,
    kernel: int | list[int],
    weight_init: FillSpec | None = None,
    bias_init: FillSpec | None = None,
    WeightInitializer: Any = None,
    BiasInitializer: Any = None,
    group: int = 1,
    transform_inputs: Any = None,
    use_cudnn: bool = False,
    order: str = "NCHW",
    cudnn_exhaustive_search: bool = False,
    ws_nbytes_limit: int | None = None,
    float16_compute: bool = False,
    **kwargs: Any,
) -> Any:
    sizes = _kernel_sizes(kernel, is_nd)
    _check_engine(kwargs.get("engine"), use_cudnn)
    kwargs = _cudnn_arguments(kwargs, use_cudnn, cudnn_exhaustive_search, ws_nbytes_limit)
    no_bias = kwargs.pop("no_bias", False)
    blob_out = blob_out or model.net.NextName()
    channels = int(dim_in / group)
    weight = model.create_param(
        param_name=blob_out + "_w",
        shape=[dim_out, channels, *sizes] if order == "NCHW" else [dim_out, *sizes, channels],
        initializer=initializer(model, WeightInitializer, weight_init, XAVIER),
        tags=ParameterTags.WEIGHT,
    )
    inputs = [blob_in, weight]
    if not no_bias:
        bias = model.create_param(
            param_name=blob_out + "_b",
            shape=[dim_out],
            initializer=initializer(model, BiasInitializer, bias_init, ZERO),
            tags=ParameterTags.BIAS,
        )
        inputs.append(bias)
    if transform_inputs is not None:
        transform_inputs(model, blob_out, inputs)
    if float16_compute:
        kwargs["float16_compute"] = True
    if group != 1:
        kwargs["group"] = group
    return model.net.Conv(inputs, blob_out, **_kernel_arguments(kernel, is_nd), order=order, **kwargs)


def conv(model: Any, *args: Any, **kwargs: Any) -> Any:
    """``conv(model, X, "y", dim_in, dim_out, kernel, …)``: convolution in two dimensions.

    Weight (dim_out, dim_in / group, kernel, kernel) for order NCHW, channels last for NHWC; ``kernel``
    is one size or [height, width]. ``no_bias``: leave the bias out.
    """
    return _convolution(model, False, *args, **kwargs)


def conv_nd(model: Any, *args: Any, order: str = "NCHW", **kwargs: Any) -> Any:
    """Like `conv`, in as many dimensions as ``kernel`` has sizes; NCHW only."""
    if order != "NCHW":
        raise ArgumentError(f"brew.conv_nd: order must be NCHW; got '{order}'.")
    return _convolution(model, True, *args, **{**kwargs, "order": order})


def conv_transpose(
    model: Any,
    blob_in: Any,
    blob_out: Any,
    dim_in: int,
    dim_out: int,
    kernel: int,
    weight_init: FillSpec | None = None,
    bias_init: FillSpec | None = None,
    use_cudnn: bool = False,
    order: str = "NCHW",
    cudnn_exhaustive_search: bool = False,
    ws_nbytes_limit: int | None = None,
    **kwargs: Any,
) -> Any:
    """Transposed convolution; weight (dim_in, dim_out, kernel, kernel), channels last for NHWC."""
    blob_out = blob_out or model.net.NextName()
    shape = [dim_in, dim_out, kernel, kernel] if order == "NCHW" else [dim_in, kernel, kernel, dim_out]
    weight = fill_or_refer(model, blob_out + "_w", weight_init or XAVIER, shape)
    bias = fill_or_refer(model, blob_out + "_b", bias_init or ZERO, [dim_out])
    model.AddParameter(weight, ParameterTags.WEIGHT)
    model.AddParameter(bias, ParameterTags.BIAS)
    kwargs = _cudnn_arguments(kwargs, use_cudnn, cudnn_exhaustive_search, ws_nbytes_limit)
    return model.net.ConvTranspose([blob_in, weight, bias], blob_out, kernel=kernel, order=order, **kwargs)


def group_conv(
    model: Any,
    blob_in: Any,
    blob_out: Any,
    dim_in: int,
    dim_out: int,
    kernel: int | list[int],
    weight_init: FillSpec | None = None,
    bias_init: FillSpec | None = None,
    group: int = 1,
    **kwargs: Any,
) -> Any:
    """`conv` with ``group`` in a prominent place."""
    kwargs.update(weight_init=weight_init, bias_init=bias_init, group=group)
    return conv(model, blob_in, blob_out, dim_in, dim_out, kernel, **kwargs)


def group_conv_deprecated(
    model: Any,
    blob_in: Any,
    blob_out: str,
    dim_in: int,
    dim_out: int,
    kernel: int,
    weight_init: FillSpec | None = None,
    bias_init: FillSpec | None = None,
    group: int = 1,
    use_cudnn: bool = False,
    order: str = "NCHW",
    cudnn_exhaustive_search: bool = False,
    ws_nbytes_limit: int | None = None,
    **kwargs: Any,
) -> Any:
    """Grouped convolution from a split, one convolution a group, and a concatenation."""
    for what, channels in (("dim_in", dim_in), ("dim_out", dim_out)):
        if channels % group:
            raise ArgumentError(
                f"brew.group_conv_deprecated: {what} {channels} is not a multiple of {group}."
            )
    kwargs = _cudnn_arguments(kwargs, use_cudnn, cudnn_exhaustive_search, ws_nbytes_limit)
    no_bias = kwargs.pop("no_bias", False)
    c_in, c_out = dim_in // group, dim_out // group
    shape = [c_out, c_in, kernel, kernel] if order == "NCHW" else [c_out, kernel, kernel, c_in]
    parts = model.net.DepthSplit(
        blob_in,
        [f"_{blob_out}_gconv_split_{i}" for i in range(group)],
        dimensions=[c_in] * group,
        order=order,
    )
    made = []
    for i in range(group):
        name = f"{blob_out}_gconv_{i}"
        params = [fill_or_refer(model, name + "_w", weight_init or XAVIER, shape)]
        model.AddParameter(params[0], ParameterTags.WEIGHT)
        if not no_bias:
            params.append(fill_or_refer(model, name + "_b", bias_init or ZERO, [c_out]))
            model.AddParameter(params[1], ParameterTags.BIAS)
        made.append(model.net.Conv([parts[i], *params], name, kernel=kernel, order=order, **kwargs))
    return model.net.Concat(made, [blob_out, "_" + blob_out + "_concat_dims"], order=order)[0]
