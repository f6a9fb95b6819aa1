"""Layers over images: convolution, pooling, local response normalisation, cropping."""

from __future__ import annotations

from typing import Any

from caffe._net.layer import Lowering, layer
from freshpot.errors import ArgumentError


def spatial(
    low: Lowering, values: Any, name: str, count: int, default: int, h: str = "", w: str = ""
) -> list[int]:
    """One number for each of ``count`` spatial axes: a repeated field, or its _h and _w forms (2-D only)."""
    p = low.param.convolution_param
    if h and (p.HasField(h) or p.HasField(w)):
        if count != 2 or values:
            low.refuse(f"{h} and {w} go with 2 spatial axes and without {name}.", ArgumentError)
        return [getattr(p, h), getattr(p, w)]
    given = list(values)
    if len(given) not in (0, 1, count):
        low.refuse(
            f"{name} must be given once, or for each of {count} spatial axes; got {given}.", ArgumentError
        )
    return given * (count // len(given)) if given else [default] * count


class Window:
    """The numbers of a convolution: a value for each spatial axis."""

    def __init__(self, low: Lowering) -> None:
        p = low.param.convolution_param
        self.axis = low.axis(p.axis)
        self.count = len(low.shapes[0]) - self.axis - 1
        if self.count < 0:
            low.refuse(f"axis {p.axis} leaves no spatial axes in {low.shapes[0]}.")
        self.kernel = spatial(low, p.kernel_size, "kernel_size", self.count, 0, "kernel_h", "kernel_w")
        self.stride = spatial(low, p.stride, "stride", self.count, 1, "stride_h", "stride_w")
        self.pad = spatial(low, p.pad, "pad", self.count, 0, "pad_h", "pad_w")
        self.dilation = spatial(low, p.dilation, "dilation", self.count, 1)
        if any(k < 1 for k in self.kernel):
            low.refuse(f"kernel sizes must be at least 1, got {self.kernel}.", ArgumentError)
        if any(s < 1 for s in self.stride) or any(d < 1 for d in self.dilation):
            low.refuse(
                f"stride and dilation must be at least 1, got {self.stride}, {self.dilation}.", ArgumentError
            )

    def args(self) -> dict[str, Any]:
        """The same as arguments of a convolution operator."""
        return {
            "kernels": self.kernel,
            "strides": self.stride,
            "pads": self.pad * 2,
            "dilations": self.dilation,
        }


@layer("Convolution", bottoms=(1, None), tops=(1, None), same_count=True)
def convolution(low: Lowering) -> None:
    p = low.param.convolution_param
    window = Window(low)
    channels = low.shapes[0][window.axis]
    if p.group < 1 or channels % p.group or p.num_output % p.group or p.num_output < 1:
        low.refuse(
            f"{channels} channels to {p.num_output} outputs cannot be split into {p.group} groups.",
            ArgumentError,
        )
    if any(shape != low.shapes[0] for shape in low.shapes):
        low.refuse(f"all bottoms must have one shape, got {low.shapes}.")
    W = low.weight((p.num_output, channels // p.group, *window.kernel), p.weight_filler)
    b = [low.weight((p.num_output,), p.bias_filler)] if p.bias_term else []
    for bottom, top in zip(low.bottom, low.top, strict=True):
        low.op("Conv", [bottom, W, *b], [top], group=p.group, **window.args())
