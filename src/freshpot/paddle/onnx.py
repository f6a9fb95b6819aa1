"""``paddle.onnx``: layers as ONNX models."""

from __future__ import annotations

import os
from typing import Any

from freshpot.errors import NotSupportedError
from freshpot.paddle.jit._captured import captured

__all__ = ["export"]


def export(layer: Any, path: str, input_spec: Any = None, opset_version: int = 9, **configs: Any) -> None:
    """Write a layer, as it is in use, to ``<path>.onnx``. An open batch is written as 1: ONNX models here have sizes.

    Args:
        input_spec: an :class:`InputSpec` or tensor for each input; see :func:`freshpot.paddle.jit.save`.
        opset_version: not looked at: the model says which version it needs.

    Raises:
        ArgumentError: nothing is known of the inputs.
        NotSupportedError: ``output_spec``; operations that ONNX or nets have no counterpart for.
    """
    if configs.get("output_spec") is not None:
        raise NotSupportedError(
            "onnx.export: output_spec is not done here; export a layer that returns what you want"
        )
    made = captured(layer, input_spec, "onnx.export")
    target = str(path).removesuffix(".onnx") + ".onnx"
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    made.write(target)
