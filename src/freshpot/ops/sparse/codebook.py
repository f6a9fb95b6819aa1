"""Numbers stored as codes: of a codebook, in bytes; text from rows; positions as waves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INTS, Arg, Port
from freshpot.ops._operator import Operator

_CODES = ("uint8", "uint16", "int32")


def _decode_rule(g: GradientMaker) -> list[Op]:
    grads = [g.GO(i) for i in range(len(g.op.outputs))]
    return [g.new("QuantDecodeGradient", [*g.op.inputs, *grads], [g.GI(0)])]


class _Coded(Operator, abstract=True):
    def numbers(self, codes: Tensor, size: int) -> Tensor:
        """Codes as places in the codebook, checked."""
        flat = codes.long()
        if flat.numel() and not 0 <= int(flat.min()) <= int(flat.max()) < size:
            self.refuse(f"codes must be from 0 to {size - 1}, the size of the codebook.")
        return flat


class QuantDecode(_Coded):
    """decoded_i = codebook[codes_i].

    Shapes:   codebook: (C,); codes: any, for each output -> as codes, float32
    Raises:   ShapeError for a code that is not in the codebook.
    Source:   caffe2/operators/quant_decode_op.h
    """

    inputs = (Port("codebook_and_codes", many=True, at_least=0),)
    outputs = (Port("decoded", many=True, at_least=0),)
    gradient_rule = staticmethod(_decode_rule)

    def setup(self) -> None:
        if self.num_inputs < 2 or self.num_inputs != self.num_outputs + 1:
            self.refuse("takes a codebook and codes for each output.", ArityError)

    def check(self, codebook: Tensor, *codes: Tensor) -> None:
        kinds = {str(c.dtype).removeprefix("torch.") for c in codes}
        if codebook.dtype != torch.float32 or not kinds <= set(_CODES):
            self.refuse(f"the codebook must be float32, and codes {', '.join(_CODES)}.")

    def kernel(self, codebook: Tensor, *codes: Tensor) -> tuple[Tensor, ...]:
        flat = codebook.reshape(-1)
        return tuple(flat[self.numbers(c, len(flat))] for c in codes)


class QuantDecodeGradient(_Coded):
    """dcodebook = for each of its numbers, the sum of the gradients of all places that have it.

    Source:   caffe2/operators/quant_decode_op.h
    """

    inputs = (Port("codebook_codes_and_gradients", many=True, at_least=3),)
    outputs = (Port("dcodebook"),)
    no_gradient = "it is itself a gradient"

    def kernel(self, codebook: Tensor, *rest: Tensor) -> Tensor:
        half = len(rest) // 2
        made = torch.zeros_like(codebook).reshape(-1)
        for codes, grad in zip(rest[:half], rest[half:], strict=True):
            made.index_add_(0, self.numbers(codes, len(made)).reshape(-1), grad.reshape(-1))
        return made.reshape(codebook.shape)


class ByteWeightDequant(Operator):
    """Y = min + (max - min) / 255 * X.

    Shapes:   X: any uint8 -> Y: ``shape``, float32
    Raises:   ShapeError if the shape has another number of elements.
    Source:   caffe2/operators/byte_weight_dequant_op.h
    """

    inputs = (Port("X", ("uint8",)),)
    outputs = (Port("Y"),)
    args = (
        Arg("min", float, -3.0, "what 0 stands for"),
        Arg("max", float, 3.0, "what 255 stands for"),
        Arg("shape", [int], [], "shape of Y"),
    )

    def check(self, X: Tensor) -> None:
        if torch.Size(self.shape).numel() != X.numel():
            self.refuse(f"{X.numel()} elements do not fit into shape {self.shape}.")

    def kernel(self, X: Tensor) -> Tensor:
        return (X.float() * ((self.max - self.min) / 255) + self.min).reshape(self.shape)


class StringJoin(Operator):
    """Each row (or column, ``axis`` 1) as one text: its elements, each followed by the delimiter.

    Shapes:   input: (N,) or (N, M), numbers or text -> strings: (N,) or (M,)
    Source:   caffe2/operators/string_ops.h
    """

    inputs = (
        Port(
            "input",
            ("float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool", "string"),
        ),
    )
    outputs = (Port("strings"),)
    args = (Arg("delimiter", str, ",", "put after each element"), Arg("axis", int, 0, "0: rows, 1: columns"))

    def setup(self) -> None:
        if self.axis not in (0, 1):
            self.refuse(f"argument 'axis' must be 0 or 1, got {self.axis}.", ArgumentError)

    def check(self, X: Any) -> None:
        if len(X.shape) not in (1, 2) or self.axis >= len(X.shape):
            self.refuse(
                f"the input must have one or two dimensions, and 'axis' be one; got {tuple(X.shape)}."
            )

    def kernel(self, X: Any) -> Any:
        rows = X.reshape(X.shape[0], -1)
        rows = (rows.T if self.axis else rows).tolist()
        made = np.empty(len(rows), dtype=object)
        made[:] = [b"".join(_text(v) + self.delimiter.encode() for v in row) for row in rows]
        return made


def _text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return (f"{value:g}" if isinstance(value, float) else str(int(value))).encode()


class SinusoidPositionEncoding(Operator):
    """output[i, j, k] = amplitude * sin(p / alpha ** (k / size)), with pi / 2 added for odd k; p = positions[i, 0].

    Positions below 1 come out as NaN, but for the last wave of 0.

    Shapes:   positions: (M, K) -> (M, K, embedding_size) float32
    Source:   caffe2/operators/sinusoid_position_encoding_op.h
    """

    inputs = (Port("positions", INTS, "M K"),)
    outputs = (Port("output"),)
    args = (
        Arg("embedding_size", int, 100, "waves, the last dimension"),
        Arg("alpha", float, 10000.0, "ratio of the longest wave to the first"),
        Arg("amplitude", float, 1.0, "height of the waves"),
    )

    def kernel(self, positions: Tensor) -> Tensor:
        k = torch.arange(self.embedding_size, device=positions.device, dtype=torch.float64)
        scale = torch.exp(-math.log(self.alpha) * k / self.embedding_size)
        waves = positions[:, :1].double() * scale + (k % 2) * (math.pi / 2)
        made = (self.amplitude * waves.sin()).float()
        # the original works with logarithms: of 0 it gets nothing but the last wave, of negative ones nothing
        lost = positions[:, :1] < (k == self.embedding_size - 1).long().neg().add(1)
        made = torch.where(lost, torch.nan, made)
        return made[:, None].expand(-1, positions.shape[1], -1).contiguous()


class Accumulate(Operator):
    """output = input + gamma * output, from run to run.

    Shapes:   input: any -> output: as input
    Source:   caffe2/operators/accumulate_op.h
    """

    inputs = (Port("input", FLOAT),)
    outputs = (Port("output"),)
    args = (Arg("gamma", float, 1.0, "share of the output before that is kept"),)

    def run(self, ws: Any, inputs: Any, outputs: Any) -> None:
        new, before = inputs[0].value, None if outputs[0].empty else outputs[0].value
        if isinstance(before, Tensor) and before.shape == new.shape and before.dtype == new.dtype:
            outputs[0].value = new + self.gamma * before
        else:
            outputs[0].value = new.clone()
