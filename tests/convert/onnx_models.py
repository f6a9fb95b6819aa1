"""ONNX models in a few words, and running them by the engine and by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from freshpot.convert.from_onnx import Imported, from_onnx
from freshpot.engine import Workspace
from freshpot.formats.onnx import MESSAGES, attribute, tensor, value_info

Arrays = Mapping[str, np.ndarray]


def node(type: str, inputs: str, outputs: str = "y", domain: str = "", **attributes: Any) -> Any:
    """A node; names are words, "-" is an input that is left out."""
    made = MESSAGES.NodeProto(op_type=type, domain=domain)
    made.input.extend("" if name == "-" else name for name in inputs.split())
    made.output.extend("" if name == "-" else name for name in outputs.split())
    for name, value in attributes.items():
        made.attribute.append(attribute(name, value))
    return made


def model(
    nodes: Sequence[Any] | Any,
    inputs: Mapping[str, Any],
    fixed: Arrays | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 13,
) -> Any:
    """A model; an input is an array, whose shape it gets, or (type, sizes with words for open ones)."""
    made = MESSAGES.ModelProto(ir_version=7)
    made.opset_import.add(domain="", version=opset)
    made.graph.name = "g"
    made.graph.node.extend(nodes if isinstance(nodes, (list, tuple)) else [nodes])
    for name, like in inputs.items():
        dtype, shape = like if isinstance(like, tuple) else (str(like.dtype), like.shape)
        made.graph.input.append(value_info(name, dtype, shape))
    made.graph.initializer.extend(tensor(name, value) for name, value in (fixed or {}).items())
    for name in outputs:
        made.graph.output.append(value_info(name, "float32", []))
        made.graph.output[-1].type.tensor_type.ClearField("shape")
    return made


def run_net(made: Imported, feeds: Arrays) -> list[np.ndarray]:
    """The net's outputs."""
    workspace = Workspace()
    for blob, value in made.parameters.items():
        workspace.feed(blob, value)
    for blob, value in feeds.items():
        workspace.feed(blob, torch.from_numpy(value.copy()))
    workspace.run_once(made.net)
    return [workspace.get(blob).numpy() for blob in made.outputs]


def run(proto: Any, feeds: Arrays, **options: Any) -> list[np.ndarray]:
    """The model's outputs, by the engine."""
    return run_net(from_onnx(proto, **options), feeds)


def run_by_runtime(proto: Any, feeds: Arrays) -> list[np.ndarray]:
    """The model's outputs, by ONNX Runtime; skips where it is not installed."""
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    copy = MESSAGES.ModelProto.FromString(proto.SerializeToString())
    types = {"bool": 9, "int64": 7, "float32": 1, "int32": 6}
    found = from_onnx(proto)
    for output in copy.graph.output:
        _, dtype = shape_of(found, output.name)
        output.type.tensor_type.elem_type = types[dtype]
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(copy.SerializeToString(), options)
    return session.run(None, dict(feeds))


def shape_of(made: Imported, blob: str) -> tuple[tuple[int, ...], str]:
    """Shape and type of a blob of the net."""
    from freshpot.engine import infer_shapes

    known = {name: (tuple(v.shape), v.dtype) for name, v in made.parameters.items()}
    known.update(
        {b: (tuple(2 if s is None else s for s in sizes), t) for b, (sizes, t) in made.inputs.items()}
    )
    shape, dtype = infer_shapes(made.net, known)[blob]
    return shape, str(dtype).removeprefix("torch.")
