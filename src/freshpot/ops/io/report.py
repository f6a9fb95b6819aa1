"""Printing blobs and summaries of them, to the console or to files in the workspace's root folder."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, DTypeError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe, name_of

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

#: element type -> the name that is printed
_C_NAMES = {
    "float32": "float",
    "float64": "double",
    "int32": "int",
    "int64": "long int",
    "bool": "bool",
    "uint8": "unsigned char",
    "string": "std::basic_string<char>",
}
_DEFAULT_LIMIT = 1000


class _Log:
    """A file of an operator in the root folder: begun anew by the first line of each created operator."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._mode = "wb"

    def write(self, ws: Workspace, line: bytes) -> None:
        path = os.path.join(ws.root, self._name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, self._mode) as file:
            file.write(line + b"\n")
        self._mode = "ab"


class Print(Operator):
    """Print a tensor: name, type, sizes and its first elements in a line.

    Shapes:   tensor: any; no output
    Raises:   DTypeError for an element type that the original does not print either.
    Differs:  the original prints to the console only where its log level is 0 (INFO); folders in the blob's
              name are made.
    Source:   caffe2/operators/utility_ops.h (PrintOp), caffe2/core/tensor.h (TensorPrinter)
    """

    inputs = (Port("tensor"),)
    args = (
        Arg("to_file", int, 0, "1: append to <root folder>/<blob>.log; 0: standard error"),
        Arg("limit", int, 0, "elements to print; 0: 1000"),
        Arg("every_n", int, 1, "print at runs 1, 1 + n, 1 + 2n …"),
    )
    no_gradient = "it prints"

    def setup(self) -> None:
        if self.every_n < 1:
            self.refuse(f"argument 'every_n' must be >= 1, got {self.every_n}.", ArgumentError)
        self.runs = 0
        self.log = _Log(self.op.inputs[0] + ".log")

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        self.runs += 1
        if (self.runs - 1) % self.every_n:
            return
        line = self._line(inputs[0])
        if self.to_file and isinstance(inputs[0].value, (Tensor, np.ndarray)):
            self.log.write(ws, line)
        else:
            print(f"[I tensor.h:630] {line.decode('utf-8', 'backslashreplace')}", file=sys.stderr)

    def _line(self, blob: Blob) -> bytes:
        value = blob.value
        if not isinstance(value, (Tensor, np.ndarray)):
            return f"Blob of type: {describe(value)}".encode()
        kind = name_of(value)
        empty = 0 in value.shape
        if kind not in _C_NAMES and not empty:
            self.refuse(f"cannot print {describe(value)}. Use Cast to convert it.", DTypeError)
        sizes = "".join(f"{size}," for size in value.shape)
        head = f"Tensor {blob.name} of type {_C_NAMES.get(kind, kind)}. Dims: ({sizes}): "
        return head.encode() + b",".join(self._elements(value, kind))

    def _elements(self, value: Any, kind: str) -> list[bytes]:
        first = value.reshape(-1)[: self.limit if self.limit > 0 else _DEFAULT_LIMIT].tolist()
        if kind == "string":
            return first
        if kind == "uint8":  # the original prints characters
            return [bytes([v]) for v in first]
        if kind in ("float32", "float64"):
            return [b"%g" % v for v in first]
        return [b"%d" % v for v in first]


class Summarize(Operator):
    """summary = least, greatest, mean, standard deviation (of a sample).

    Shapes:   X: any, not empty -> summary: (4,); optional. With ``to_file``, a line in <root folder>/<blob>.summary
    Source:   caffe2/operators/summarize_op.cc
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("summary", optional=True),)
    args = (Arg("to_file", int, 0, "1: append a line to <root folder>/<blob>.summary"),)
    no_gradient = "it reports"

    def setup(self) -> None:
        self.log = _Log(self.op.inputs[0] + ".summary")

    def check(self, X: Tensor) -> None:
        if not X.numel():
            self.refuse("input X must not be empty.")

    def infer(self, X: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty(4, device="meta"),)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        X = inputs[0].value
        wide = X.double()
        spread = float(wide.std()) if X.numel() > 1 else 0.0
        summary = [float(X.min()), float(X.max()), float(wide.mean()), spread]
        if math.isnan(summary[2]):
            summary[3] = math.nan
        if self.to_file:
            self.log.write(ws, b" ".join(b"%g" % v for v in summary))
        if outputs:
            outputs[0].value = torch.tensor(summary, dtype=torch.float32, device=self.device)
