"""Convolution, products, pooling, normalisation."""

from __future__ import annotations

import numpy as np

from freshpot.convert.to_caffe._layers import PB, Call, Layers, caffe


def _windows(call: Call, kernel: list[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Strides, dilations and both kinds of padding."""
    own = call.operator
    if hasattr(own, "heads"):
        return list(own.strides), list(own.dilations), list(own.heads), list(own.tails)
    half = len(kernel)
    return list(own.strides), list(own.dilations), list(own.pads[:half]), list(own.pads[half:])


@caffe("Conv", "ConvRelu", "ConvTranspose", "Deconvolution")
def conv(layers: Layers, call: Call) -> None:
    call.channels_second()
    own, W = call.operator, call.fixed(1)
    transposed = call.op.type in ("ConvTranspose", "Deconvolution")
    kernel = list(W.shape[2:])
    strides, dilations, heads, tails = _windows(call, kernel)
    if heads != tails:
        call.refuse(f"padding {heads} and {tails} differ, which no layer has.")
    if (call.op.type == "ConvTranspose" and any(own.adjs or [])) or getattr(own, "legacy_pad", 0) in (1, 2):
        call.refuse("adj, and legacy_pad 1 and 2, are in no layer.")
    blobs = [W, call.fixed(2)] if len(call.op.inputs) > 2 else [W]
    relu = call.op.type == "ConvRelu"
    top = layers.fresh(call.tops[0]) if relu else call.tops[0]
    layer = layers.add("Deconvolution" if transposed else "Convolution", call.bottoms[:1], top, blobs)
    p = layer.convolution_param
    p.num_output = W.shape[1] * own.group if transposed else W.shape[0]
    p.bias_term = len(blobs) == 2
    p.kernel_size.extend(kernel)
    p.stride.extend(strides)
    p.pad.extend(heads)
    p.dilation.extend(dilations)
    p.group = own.group
    if relu:
        layers.add("ReLU", [top], call.tops[0])


@caffe("FC", "InnerProduct")
def fc(layers: Layers, call: Call) -> None:
    own, W = call.operator, call.fixed(1)
    if getattr(own, "axis_w", 1) != 1:
        call.refuse("axis_w other than 1 is in no layer.")
    W = W.reshape(W.shape[0], -1)
    blobs = [W, call.fixed(2).reshape(-1)] if len(call.op.inputs) > 2 else [W]
    p = layers.add("InnerProduct", call.bottoms[:1], call.tops[0], blobs).inner_product_param
    transposed = bool(getattr(own, "transpose", 0))
    p.num_output = W.shape[1 if transposed else 0]
    p.bias_term, p.axis = len(blobs) == 2, own.axis
    if transposed:
        p.transpose = True


@caffe("MatMul", "BatchMatMul")
def product(layers: Layers, call: Call) -> None:
    """With a matrix that is a parameter, behind: an InnerProduct without bias."""
    own, W, last = call.operator, call.value(1), len(call.shape()) - 1
    axis = own.axis_a if call.op.type == "MatMul" else last
    if (
        W is None
        or W.ndim != 2
        or own.trans_a
        or (call.op.type == "MatMul" and (own.axis_a, own.axis_b) != (1, 1))
    ):
        call.refuse("only a product with a matrix that is a parameter is a layer.")
    p = layers.add("InnerProduct", call.bottoms[:1], call.tops[0], [W]).inner_product_param
    p.num_output, p.bias_term = W.shape[0 if own.trans_b else 1], False
    p.axis, p.transpose = axis, not own.trans_b


@caffe("MaxPool", "AveragePool", "CaffeMaxPool", "CaffeAveragePool")
def pool(layers: Layers, call: Call) -> None:
    call.channels_second()
    own, shape = call.operator, call.shape()
    if len(shape) != 4:
        call.refuse("Caffe pools images alone.")
    layer = layers.add("Pooling", call.bottoms[:1], call.tops[0])
    p, largest = layer.pooling_param, "Max" in call.op.type
    p.pool = PB.PoolingParameter.MAX if largest else PB.PoolingParameter.AVE
    if own.global_pooling:
        p.global_pooling = True
        return
    caffes = call.op.type.startswith("Caffe")
    kernel, strides = list(own.kernels), list(own.strides)
    heads, tails = (list(own.pads), list(own.pads)) if caffes else (list(own.heads), list(own.tails))
    made = call.made_shape()[2:]
    rounded = {
        up: [_size(*row, up) for row in zip(shape[2:], kernel, strides, heads, strict=True)]
        for up in (True, False)
    }
    fitting = [up for up, sizes in rounded.items() if sizes == made]
    if not fitting or any(n < 0 for n in heads + tails):
        call.refuse(f"no layer makes {made} of {shape[2:]} with padding {heads} and {tails}.")
    if not largest and not caffes:
        over = [
            (m - 1) * s + k - n - h
            for n, k, s, h, m in zip(shape[2:], kernel, strides, heads, made, strict=True)
        ]
        hangs = any(o > h for o, h in zip(over, heads, strict=True))
        if any(heads) and (not own.count_include_pad or hangs or heads != tails):
            call.refuse("Caffe's averages count padding, but not what hangs over it.")
        if not any(heads) and hangs and own.count_include_pad:
            call.refuse("Caffe's averages do not count what hangs over the edge.")
    (p.kernel_h, p.kernel_w), (p.stride_h, p.stride_w), (p.pad_h, p.pad_w) = kernel, strides, heads
    if not fitting[0]:
        p.round_mode = PB.PoolingParameter.FLOOR


def _size(n: int, kernel: int, stride: int, pad: int, up: bool) -> int:
    """What a window makes of n pixels; none begins behind the image and its padding in front."""
    spare = n + 2 * pad - kernel
    size = (-(-spare // stride) if up else spare // stride) + 1
    return size - 1 if pad and (size - 1) * stride >= n + pad else size


@caffe("AdaptiveAveragePool")
def adaptive_average_pool(layers: Layers, call: Call) -> None:
    if set(call.operator.sizes) != {1} or len(call.shape()) != 4:
        call.refuse("only one window over an image is a layer.")
    p = layers.add("Pooling", call.bottoms[:1], call.tops[0]).pooling_param
    p.pool, p.global_pooling = PB.PoolingParameter.AVE, True


@caffe("LRN")
def lrn(layers: Layers, call: Call) -> None:
    call.channels_second()
    own = call.operator
    p = layers.add("LRN", call.bottoms[:1], call.tops[0]).lrn_param
    p.local_size, p.alpha, p.beta, p.k = own.size, own.alpha, own.beta, own.bias


@caffe("SpatialBN")
def spatial_bn(layers: Layers, call: Call) -> None:
    """BatchNorm divides, Scale multiplies and adds."""
    call.channels_second()
    own = call.operator
    if not own.is_test:
        call.refuse("only the form for use (is_test) is converted.")
    scale, bias, mean, var = (call.fixed(i) for i in range(1, 5))
    inner = layers.fresh(call.tops[0])
    p = layers.add("BatchNorm", call.bottoms[:1], inner, [mean, var, np.ones(1)]).batch_norm_param
    p.eps, p.use_global_stats = own.epsilon, True
    layers.add("Scale", [inner], call.tops[0], [scale, bias]).scale_param.bias_term = True


@caffe("BatchNorm")
def batch_norm(layers: Layers, call: Call) -> None:
    own = call.operator
    if not own.use_global_stats:
        call.refuse("only the form for use (use_global_stats) is converted.")
    blobs = [call.fixed(i) for i in range(1, 4)]
    p = layers.add("BatchNorm", call.bottoms[:1], call.tops[0], blobs).batch_norm_param
    p.eps, p.use_global_stats, p.moving_average_fraction = own.eps, True, own.moving_average_fraction


@caffe("CaffeScale", "Bias")
def scale(layers: Layers, call: Call) -> None:
    blobs = [call.value(i) for i in range(1, len(call.op.inputs))]
    fixed = [blob for blob in blobs if blob is not None]
    axis = call.operator.axis
    if call.op.type == "Bias":
        layer = layers.add("Bias", call.bottoms if not fixed else call.bottoms[:1], call.tops[0], fixed)
        layer.bias_param.axis, layer.bias_param.num_axes = axis, fixed[0].ndim if fixed else 1
        return
    if fixed and len(fixed) != len(blobs):
        call.refuse("a factor that is computed with a bias that is fixed is no layer.")
    if not fixed and len(blobs) == 2:
        call.refuse("a bias that is computed is no part of a layer.")
    layer = layers.add("Scale", call.bottoms if not fixed else call.bottoms[:1], call.tops[0], fixed)
    layer.scale_param.axis, layer.scale_param.bias_term = axis, len(fixed) == 2
    if fixed:
        layer.scale_param.num_axes = fixed[0].ndim


@caffe("MVN")
def mvn(layers: Layers, call: Call) -> None:
    own = call.operator
    p = layers.add("MVN", call.bottoms, call.tops[0]).mvn_param
    p.across_channels, p.normalize_variance = bool(own.across_channels), bool(own.normalize_variance)
    p.eps = own.eps


@caffe("Embed")
def embed(layers: Layers, call: Call) -> None:
    W = call.fixed(1)
    blobs = [W, call.fixed(2)] if len(call.op.inputs) > 2 else [W]
    p = layers.add("Embed", call.bottoms[:1], call.tops[0], blobs).embed_param
    p.input_dim, p.num_output, p.bias_term = W.shape[0], W.shape[1], len(blobs) == 2
