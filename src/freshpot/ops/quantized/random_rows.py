"""Tables of floats to rows of 1, 2, 4 or 8 bits, rounded at random or to the nearest, and back.

A row is: bits of an element; places of the last byte's series that are not used; least and greatest element in
single precision; bytes. Byte i holds elements i, i + n, i + 2n ... of a row of n bytes, from its lowest bits on.

Source: caffe2/operators/fused_rowwise_random_quantization_ops.h
"""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator

_HEAD = 10
_EPSILON = 1e-8


class FloatToFusedRandRowwiseQuantized(Operator):
    """output = round((x - min) / step) of each row, in ``bitwidth`` bits; see the file's head for the bytes.

    Shapes:   input: (N, D) -> (N, 10 + bytes) uint8
    Raises:   ArgumentError for other widths; ShapeError for rows without elements.
    Source:   caffe2/operators/fused_rowwise_random_quantization_ops.h
    """

    inputs = (Port("input", FLOAT, "N D"),)
    outputs = (Port("output"),)
    args = (
        Arg("bitwidth", int, 8, "bits of an element", choices=(1, 2, 4, 8)),
        Arg("random", bool, True, "0: round to the nearest; 1: up or down, as likely as it is near"),
    )
    gradient_stops = True

    def check(self, X: Tensor) -> None:
        if X.shape[1] < 1:
            self.refuse("rows must have elements.")

    def kernel(self, X: Tensor) -> Tensor:
        per_byte, levels = 8 // self.bitwidth, (1 << self.bitwidth) - 1
        size = -(-X.shape[1] // per_byte)
        unused = size * per_byte - X.shape[1]
        low, high = X.amin(1, keepdim=True), X.amax(1, keepdim=True)
        steps = (X - low) * (1 / ((high - low) / levels + _EPSILON))
        if self.random:
            steps = torch.floor(steps + torch.rand(X.shape, generator=self.generator, device=X.device))
        q = torch.nn.functional.pad(torch.round(steps).clamp(0, levels).int(), (0, unused))
        shifts = torch.arange(per_byte, device=X.device, dtype=torch.int32)[:, None] * self.bitwidth
        packed = (q.reshape(-1, per_byte, size) << shifts).sum(1).to(torch.uint8)
        sizes = packed.new_tensor([self.bitwidth, unused]).expand(len(X), 2)
        return torch.cat((sizes, torch.cat((low, high), 1).view(torch.uint8), packed), 1)


class FusedRandRowwiseQuantizedToFloat(Operator):
    """float_output = min + step * q, of rows that FloatToFusedRandRowwiseQuantized made.

    Shapes:   quantized_input: (N, 10 + bytes) uint8 -> (N, D)
    Raises:   ShapeError if the rows are too short, or say what cannot be.
    Source:   caffe2/operators/fused_rowwise_random_quantization_ops.h
    """

    inputs = (Port("quantized_input", ("uint8",), "N B"),)
    outputs = (Port("float_output"),)
    gradient_stops = True

    def check(self, rows: Tensor) -> None:
        if rows.shape[1] <= _HEAD or not rows.shape[0]:
            self.refuse(f"there must be rows longer than {_HEAD} bytes, got {tuple(rows.shape)}.")

    def kernel(self, rows: Tensor) -> Tensor:
        bits, unused = rows[0, :2].tolist()
        if bits not in (1, 2, 4, 8) or unused >= 8 // bits or bool((rows[:, :2] != rows[0, :2]).any()):
            self.refuse("the rows do not say, or not all alike, how many bits an element has.")
        size, per_byte, levels = rows.shape[1] - _HEAD, 8 // bits, (1 << bits) - 1
        low, high = rows[:, 2:_HEAD].contiguous().view(torch.float32).split(1, 1)
        shifts = torch.arange(per_byte, device=rows.device, dtype=torch.int32)[:, None] * bits
        q = ((rows[:, None, _HEAD:].int() >> shifts) & levels).reshape(len(rows), -1)
        q = q[:, : size * per_byte - unused]
        return low + q.float() * ((high - low) / levels + _EPSILON)

    def infer(self, rows: Tensor) -> None:
        return None
