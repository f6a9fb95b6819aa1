"""Layers over images: convolution, pooling, local response normalisation, cropping."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from caffe._net.layer import Lowering, layer
from caffe.proto import caffe_pb2
from freshpot.errors import ArgumentError, ArityError, NotSupportedError


def spatial(low: Lowering, name: str, count: int, default: int | None = None, short: str = "") -> list[int]:
    """One number for each of ``count`` spatial axes: a repeated field, or its _h and _w forms (2-D only)."""
    p = low.param.convolution_param
    given = list(getattr(p, name))
    h, w = f"{short}_h", f"{short}_w"
    if short and (p.HasField(h) or p.HasField(w)):
        if count != 2 or given:
            low.refuse(
                f"{h} and {w} go with 2 spatial axes (there are {count}) and without {name} (given: {given}).",
                ArgumentError,
            )
        return [getattr(p, h), getattr(p, w)]
    if len(given) not in (1, count) and (given or default is None):
        low.refuse(
            f"{name} must be given once, or for each of {count} spatial axes; got {given}.", ArgumentError
        )
    return (given or [default or 0]) * (count if len(given) <= 1 else 1)


class Window:
    """The numbers of a convolution: a value for each spatial axis, and the axis of channels before them."""

    def __init__(self, low: Lowering) -> None:
        p = low.param.convolution_param
        self.axis = low.axis(p.axis)
        self.shape = low.shapes[0]
        self.channels = self.shape[self.axis]
        self.count = len(self.shape) - self.axis - 1
        self.kernel = spatial(low, "kernel_size", self.count, short="kernel")
        self.stride = spatial(low, "stride", self.count, 1, "stride")
        self.pad = spatial(low, "pad", self.count, 0, "pad")
        self.dilation = spatial(low, "dilation", self.count, 1)
        for name, values in (("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)):
            if any(v < 1 for v in values):
                low.refuse(f"{name} must be at least 1 in every dimension, got {values}.", ArgumentError)

    def args(self) -> dict[str, Any]:
        """The same as arguments of an operator, which needs at least one dimension."""
        return {
            "kernels": self.kernel or [1],
            "strides": self.stride or [1],
            "pads": (self.pad or [0]) * 2,
            "dilations": self.dilation or [1],
        }

    def over_images(
        self, low: Lowering, run: Callable[[str, str], Any], made: list[int], space: list[int]
    ) -> None:
        """Call ``run(input, output)`` for each bottom and top as images (N, C, space).

        Where a bottom is none (another axis of channels, no spatial axis) it is reshaped before, and the
        result, whose channels and space are ``made`` and ``space``, after.
        """
        leading, inner = self.shape[: self.axis], self.shape[self.axis + 1 :]
        for i, (bottom, top) in enumerate(zip(low.bottom, low.top, strict=True)):
            if self.axis == 1 and self.count:
                run(bottom, top)
                continue
            flat = [math.prod(leading), self.channels, *(inner or [1])]
            image, result = low.temp(f"image{i}"), low.temp(f"result{i}")
            low.op("Reshape", [bottom], [image, low.temp(f"shape{i}")], shape=flat)
            run(image, result)
            shape = [*leading, *made, *(space if self.count else [])]
            low.op("Reshape", [result], [top, low.temp(f"result_shape{i}")], shape=shape)


def convolve(low: Lowering, type: str, transposed: bool) -> None:
    """Convolution and deconvolution: check, declare the parameters, one operator for each bottom."""
    p = low.param.convolution_param
    window = Window(low)
    if p.num_output < 1:
        low.refuse(f"num_output must be at least 1, got {p.num_output}.", ArgumentError)
    if p.group < 1 or window.channels % p.group or p.num_output % p.group:
        low.refuse(
            f"{window.channels} channels to {p.num_output} outputs cannot be split into {p.group} groups.",
            ArgumentError,
        )
    if any(shape != low.shapes[0] for shape in low.shapes):
        low.refuse(f"all bottoms must have one shape, got {low.shapes}.")
    if window.count > 3:
        raise NotSupportedError(
            f"layer '{low.param.name}' ({low.param.type}): {window.count} spatial axes in bottom {window.shape}; "
            "convolutions are done over at most 3."
        )
    ends = (window.channels, p.num_output) if transposed else (p.num_output, window.channels)
    W = low.weight((ends[0], ends[1] // p.group, *window.kernel), p.weight_filler)
    b = [low.weight((p.num_output,), p.bias_filler)] if p.bias_term else []
    if not window.count:
        shape = [ends[0], ends[1] // p.group, 1]
        W = low.op("Reshape", [W], [low.temp("filter"), low.temp("filter_shape")], shape=shape)[0]
    space = _space(window, transposed)
    if any(size < 0 for size in space):
        low.refuse(
            f"a kernel of {window.kernel} does not fit bottom {window.shape} with padding {window.pad}."
        )
    window.over_images(
        low,
        lambda image, top: low.op(type, [image, W, *b], [top], group=p.group, **window.args()),
        [p.num_output],
        space,
    )


def _space(window: Window, transposed: bool) -> list[int]:
    """Spatial sizes of the top."""
    sizes = window.shape[window.axis + 1 :]
    rows = zip(sizes, window.kernel, window.stride, window.pad, window.dilation, strict=True)
    if transposed:
        return [s * (size - 1) + d * (k - 1) + 1 - 2 * p for size, k, s, p, d in rows]
    return [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in rows]


@layer("Convolution", bottoms=(1, None), tops=(1, None), same_count=True)
def convolution(low: Lowering) -> None:
    convolve(low, "Conv", transposed=False)


@layer("Deconvolution", bottoms=(1, None), tops=(1, None), same_count=True)
def deconvolution(low: Lowering) -> None:
    convolve(low, "Deconvolution", transposed=True)


@layer("Im2col")
def im2col(low: Lowering) -> None:
    window = Window(low)
    if not window.count:
        low.refuse(f"axis {window.axis} leaves no spatial axes in bottom {window.shape}.")
    window.over_images(
        low,
        lambda image, top: low.op("CaffeIm2col", [image], [top], **window.args()),
        [window.channels * math.prod(window.kernel)],
        _space(window, transposed=False),
    )


# ---- pooling ---------------------------------------------------------------------------------------
def _pair(low: Lowering, name: str, short: str) -> list[int]:
    """A number for height and width, from ``name`` or from its _h and _w forms."""
    p = low.param.pooling_param
    h, w = f"{short}_h", f"{short}_w"
    both = p.HasField(h) and p.HasField(w)
    if (p.HasField(h) or p.HasField(w)) and (p.HasField(name) or not both):
        low.refuse(f"give {name}, or both {h} and {w}, not a mixture.", ArgumentError)
    return [getattr(p, h), getattr(p, w)] if both else [getattr(p, name)] * 2


def _pool(low: Lowering, method: str, source: str, tops: list[str], **window: Any) -> None:
    """The operator of a pooling method."""
    if method == "MAX":
        low.op("CaffeMaxPool", [source], [tops[0], f"{tops[0]}/index", *tops[1:]], narrow=1, **window)
    elif method == "AVE":
        low.op("CaffeAveragePool", [source], tops, **window)
    else:
        index = [] if not low.train else [f"{tops[0]}/index"]
        low.op("StochasticPool", [source], [*tops, *index], is_test=int(not low.train), **window)


@layer("Pooling", tops=(1, 2))
def pooling(low: Lowering) -> None:
    p = low.param.pooling_param
    method = caffe_pb2.PoolingParameter.PoolMethod.Name(p.pool)
    if len(low.top) > 1 and method != "MAX":
        low.refuse(f"{method} pooling makes 1 top, got {len(low.top)}: only MAX has a mask.", ArityError)
    kernel, stride = _pair(low, "kernel_size", "kernel"), _pair(low, "stride", "stride")
    pad = _pair(low, "pad", "pad")
    if p.global_pooling:
        if any(kernel):
            low.refuse("with global_pooling the kernel is the image: leave kernel_size out.", ArgumentError)
        if pad != [0, 0] or stride != [1, 1]:
            low.refuse(f"with global_pooling leave out pad and stride, got {pad}, {stride}.", ArgumentError)
    elif not all(kernel):
        low.refuse("give kernel_size, or kernel_h and kernel_w, of at least 1.", ArgumentError)
    if len(low.shapes[0]) != 4:
        low.refuse(f"bottom must have 4 axes (num, channels, height, width), got {low.shapes[0]}.")
    if any(pad) and method == "STOCHASTIC":
        low.refuse(f"stochastic pooling knows no padding, got {pad}.", ArgumentError)
    _pool(
        low,
        method,
        low.bottom[0],
        low.top,
        kernels=kernel,
        strides=stride,
        pads=pad,
        global_pooling=int(p.global_pooling),
        round_up=int(p.round_mode == p.CEIL),
    )


@layer("SPP")
def spp(low: Lowering) -> None:
    p = low.param.spp_param
    if len(low.shapes[0]) != 4 or p.pyramid_height < 1:
        low.refuse(
            f"bottom must have 4 axes and pyramid_height must be at least 1; got {low.shapes[0]} and "
            f"{p.pyramid_height}."
        )
    method = caffe_pb2.SPPParameter.PoolMethod.Name(p.pool)
    if p.pyramid_height == 1:
        _pool(low, method, low.bottom[0], low.top, **_bins(low, 1))
        return
    parts = []
    for level in range(p.pyramid_height):
        pooled, part = low.temp(f"pooled{level}"), low.temp(f"part{level}")
        _pool(low, method, low.bottom[0], [pooled], **_bins(low, 2**level))
        low.op("Reshape", [pooled], [part, f"{part}/shape"], shape=[0, -1])
        parts.append(part)
    low.op("Concat", parts, [low.top[0], low.temp("sizes")], axis=1)


def _bins(low: Lowering, count: int) -> dict[str, Any]:
    """A window that cuts an image into ``count`` by ``count`` parts, padded evenly."""
    sizes = low.shapes[0][2:]
    kernel = [math.ceil(size / count) for size in sizes]
    pad = [(k * count - size + 1) // 2 for k, size in zip(kernel, sizes, strict=True)]
    if any(p >= k for p, k in zip(pad, kernel, strict=True) if p):
        low.refuse(
            f"pyramid_height {low.param.spp_param.pyramid_height} is too much for an image of {list(sizes)}: cut into "
            f"{count} by {count} parts, the padding {pad} would not be less than the kernel {kernel}.",
            ArgumentError,
        )
    return {"kernels": kernel, "strides": kernel, "pads": pad}


# ---- the others ------------------------------------------------------------------------------------
@layer("LRN")
def lrn(low: Lowering) -> None:
    p = low.param.lrn_param
    if p.local_size % 2 == 0:
        low.refuse(f"local_size must be odd, got {p.local_size}.", ArgumentError)
    if len(low.shapes[0]) != 4:
        low.refuse(f"bottom must have 4 axes (num, channels, height, width), got {low.shapes[0]}.")
    source = low.kept_bottom()
    if p.norm_region == p.ACROSS_CHANNELS:
        # beyond all channels a window only adds zeros
        size = min(p.local_size, max(2 * low.shapes[0][1] - 1, 1))
        alpha = p.alpha * size / p.local_size
        low.op("LRN", [source], low.top, size=size, alpha=alpha, beta=p.beta, bias=p.k)
        return
    size, pad = [p.local_size] * 2, [p.local_size // 2] * 2
    squares, mean, factor = low.temp("squares"), low.temp("mean"), low.temp("factor")
    low.op("Sqr", [source], [squares])
    _pool(low, "AVE", squares, [mean], kernels=size, strides=[1, 1], pads=pad)
    low.op("Power", [mean], [factor], power=-p.beta, scale=p.alpha, shift=1.0)
    low.op("Mul", [source, factor], low.top)


@layer("Crop", bottoms=2)
def crop(low: Lowering) -> None:
    shape, reference = low.shapes
    axis, offsets = low.axis(low.param.crop_param.axis), list(low.param.crop_param.offset)
    count = len(shape) - axis
    if len(offsets) not in (0, 1, count):
        low.refuse(
            f"give one offset, or one for each of the {count} axes from axis {axis} on; got {offsets}.",
            ArgumentError,
        )
    if len(reference) < len(shape):
        low.refuse(
            f"'{low.bottom[1]}' {reference} must have the {len(shape)} axes of '{low.bottom[0]}' {shape}."
        )
    starts = [0] * axis + (offsets or [0]) * (count if len(offsets) < 2 else 1)
    sizes = [*shape[:axis], *reference[axis : len(shape)]]
    for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        if start + size > shape[i]:
            low.refuse(
                f"{size} elements from offset {start} on reach beyond axis {i} of '{low.bottom[0]}' {shape}."
            )
    low.op("Crop", low.bottom[:1], low.top, offsets=starts, sizes=sizes)
