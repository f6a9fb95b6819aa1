"""ONNX models as nets.

Owned here: `from_onnx`. Who calls it: `freshpot convert`, `freshpot.torch.module`. Each operator of ONNX has a
converter, a short function in one of the families beside this file.
"""

from freshpot.convert.from_onnx._graph import converters
from freshpot.convert.from_onnx._model import Imported, from_onnx, read_onnx

__all__ = ["Imported", "converters", "from_onnx", "read_onnx"]
