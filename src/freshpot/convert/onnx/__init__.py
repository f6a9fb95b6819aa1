"""Nets as ONNX models.

Owned here: `to_onnx`. Who calls it: `freshpot convert`. Each operator has a converter, a short function in
one of the families beside this file.
"""

from freshpot.convert.onnx._graph import converters
from freshpot.convert.onnx._model import to_onnx

__all__ = ["converters", "to_onnx"]
