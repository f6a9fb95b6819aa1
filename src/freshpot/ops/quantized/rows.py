"""Tables of floats to tables of rows in few bits, and back. One table makes them all.

Source: caffe2/operators/fused_rowwise_8bit_conversion_ops.h, fused_rowwise_nbit_conversion_ops.h,
fused_rowwise_nbitfake_conversion_ops.h, lengths_reducer_rowwise_8bit_ops.h
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from freshpot.errors import NotSupportedError
from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator
from freshpot.ops.quantized._rows import EIGHT, EIGHT_HALF, Layout, decode, encode, few, imitated

_BYTES = ("uint8",)
_HALF = ("float16",)


class _Encode(Operator, abstract=True):
    outputs: ClassVar[tuple[Port, ...]] = (Port("output"),)
    gradient_stops = True
    layout: ClassVar[Layout]

    def setup(self) -> None:
        if self.op.engine == "GREEDY":
            raise NotSupportedError(
                f"{self.op}: the search for bounds of engine 'GREEDY' is not done; leave it out."
            )

    def check(self, X: Tensor) -> None:
        if X.dim() < 1 or X.numel() == 0 or X.shape[-1] % self.layout.per_byte:
            self.refuse(
                f"the input must have rows of a multiple of {self.layout.per_byte} elements, got {tuple(X.shape)}."
            )

    def kernel(self, X: Tensor) -> Tensor:
        return encode(X.float(), self.layout)


class _Decode(Operator, abstract=True):
    inputs = (Port("scale_bias_quantized_input", _BYTES),)
    outputs: ClassVar[tuple[Port, ...]] = (Port("output"),)
    gradient_stops = True
    layout: ClassVar[Layout]
    makes: ClassVar[torch.dtype]

    def check(self, rows: Tensor) -> None:
        if rows.dim() < 1 or rows.shape[-1] <= self.layout.tail:
            self.refuse(f"rows must be longer than the {self.layout.tail} bytes of scale and bias.")

    def kernel(self, rows: Tensor) -> Tensor:
        return decode(rows, self.layout).to(self.makes)


def _bits(layout: Layout) -> str:
    ends = "half" if layout.kind == torch.float16 else "single"
    return f"{layout.bits} bits an element ({layout.per_byte} in a byte), then scale and bias in {ends} precision"


def _define(name: str, base: type, layout: Layout, **members: object) -> None:
    ends = ("floats", _bits(layout))
    doc = "Rows of {} -> {}.\n\n".format(*(ends if base is _Encode else ends[::-1]))
    shapes = "(..., n) -> (..., bytes) uint8" if base is _Encode else "(..., bytes) uint8 -> (..., n)"
    type(
        name,
        (base,),
        {
            "__doc__": f"{doc}Shapes:   {shapes}\nRaises:   ShapeError if a row does not fill its bytes.\n"
            "Source:   caffe2/operators/fused_rowwise_8bit_conversion_ops.h, fused_rowwise_nbit_conversion_ops.h",
            "__module__": __name__,
            "layout": layout,
            **members,
        },
    )


#: middle of the name -> layout, and what half precision is called in the operators' names
_LAYOUTS: dict[str, tuple[Layout, str]] = {
    "8BitRowwiseQuantized": (EIGHT, "HalfFloat"),
    "8BitRowwiseQuantizedHalfScaleBias": (EIGHT_HALF, "HalfFloat"),
    "4BitRowwiseQuantized": (few(4), "Half"),
    "2BitRowwiseQuantized": (few(2), "Half"),
    "4BitFakeRowwiseQuantized": (imitated(4), "Half"),
    "2BitFakeRowwiseQuantized": (imitated(2), "Half"),
}

for _middle, (_layout, _half) in _LAYOUTS.items():
    _define(f"FloatToFused{_middle}", _Encode, _layout, inputs=(Port("input", FLOAT),))
    _define(f"{_half}ToFused{_middle}", _Encode, _layout, inputs=(Port("input", _HALF),))
    if "Fake" not in _middle:
        _define(f"Fused{_middle}ToFloat", _Decode, _layout, makes=torch.float32)
        # of one, the original makes single precision, in spite of its name
        _kind = torch.float32 if _layout is EIGHT_HALF else torch.float16
        _define(f"Fused{_middle}To{_half}", _Decode, _layout, makes=_kind)


class FloatToRowwiseQuantized8Bits(Operator):
    """quantized_input = round((x - min) / scale) for each row, where scale = (max - min) / 255; its (scale, min).

    Shapes:   input: (N, ...) -> quantized_input: as input, uint8; scale_bias: (N, 2)
    Source:   caffe2/operators/lengths_reducer_rowwise_8bit_ops.h
    """

    inputs = (Port("input", FLOAT),)
    outputs = (Port("quantized_input"), Port("scale_bias"))
    gradient_stops = True

    def check(self, X: Tensor) -> None:
        if X.dim() < 1 or X.numel() == 0:
            self.refuse(f"the input must have rows, got {tuple(X.shape)}.")

    def kernel(self, X: Tensor) -> tuple[Tensor, Tensor]:
        flat = X.reshape(X.shape[0], -1)
        low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
        even = high - low < 1e-10
        scale = torch.where(even, 1.0, (high - low) / 255)
        q = torch.floor((flat - low) * (1 / scale) + 0.5).clamp(0, 255)
        q = torch.where(even, 0.0, q).to(torch.uint8)
        return q.reshape(X.shape), torch.cat((scale, low), 1)


class Rowwise8BitQuantizedToFloat(Operator):
    """output = scale * quantized_input + bias, with a scale and a bias a row.

    Shapes:   quantized_input: (N, ...) uint8; scale_bias: (N, 2) -> output: as quantized_input
    Source:   caffe2/operators/lengths_reducer_rowwise_8bit_ops.h
    """

    inputs = (Port("quantized_input", _BYTES, "N ..."), Port("scale_bias", FLOAT, "N 2"))
    outputs = (Port("output"),)
    gradient_stops = True

    def kernel(self, q: Tensor, ends: Tensor) -> Tensor:
        flat = q.reshape(q.shape[0], -1).float()
        return (flat * ends[:, :1] + ends[:, 1:]).reshape(q.shape)
