"""A net as an ONNX model.

Owned here: walking the net, inputs, outputs, parameters. Who calls it: users through `to_onnx`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from freshpot.convert.onnx._graph import Call, Graph, Refused, converters
from freshpot.engine import infer_shapes
from freshpot.errors import MissingBlobError, NotSupportedError
from freshpot.formats.onnx import MESSAGES, tensor, value_info
from freshpot.net import Net
from freshpot.ops.dtypes import name_of

#: the operator set that the families are written for, and the file version that goes with it
OPSET, IR_VERSION = 13, 7


def to_onnx(
    net: Net,
    parameters: Mapping[str, torch.Tensor],
    inputs: Mapping[str, tuple[Sequence[int], torch.dtype]],
    outputs: Sequence[str],
) -> Any:
    """The net as an ONNX ModelProto, opset 13.

    Args:
        net: the forward operators, in use rather than in training.
        parameters: values of the blobs that are fixed.
        inputs: shape and type of the blobs that are data.
        outputs: blobs to return.

    Raises:
        NotSupportedError: operators that have no converter, or not with these arguments, all of them named.
        MissingBlobError: a blob is neither made, nor data, nor fixed.
    """
    lost = [blob for blob in net.missing_inputs() if blob not in parameters and blob not in inputs]
    if lost:
        raise MissingBlobError(
            f"no value and no shape for {', '.join(lost)}. Give parameters or shapes.", net=net.name
        )
    graph = _converted(net, parameters, inputs)
    made = MESSAGES.ModelProto(ir_version=IR_VERSION, producer_name="freshpot")
    made.opset_import.add(domain="", version=OPSET)
    made.graph.name = net.name or "net"
    made.graph.node.extend(graph.nodes)
    read = {name for node in graph.nodes for name in node.input}
    made.graph.initializer.extend(tensor(name, value) for name, value in graph.values.items() if name in read)
    made.graph.initializer.extend(graph.initializers.values())
    made.graph.input.extend(
        value_info(blob, name_of(torch.empty(0, dtype=dtype)), shape)
        for blob, (shape, dtype) in inputs.items()
    )
    _name_outputs(made.graph, graph, outputs)
    return made


def _converted(net: Net, parameters: Mapping[str, torch.Tensor], inputs: Mapping[str, Any]) -> Graph:
    known = {blob: (tuple(v.shape), v.dtype) for blob, v in parameters.items()}
    known.update({blob: (tuple(shape), dtype) for blob, (shape, dtype) in inputs.items()})
    shapes = {blob: tuple(shape) for blob, (shape, _) in known.items()}
    for blob, (shape, _) in infer_shapes(net, known).items():
        shapes.setdefault(blob, tuple(shape))
    graph = Graph({blob: value.detach().cpu().numpy() for blob, value in parameters.items()}, shapes)
    refused: dict[str, None] = {}
    written = set(known)
    for op in net.ops:
        names = [graph.name_of(blob) for blob in op.inputs]
        converter = converters().get(op.type)
        if converter is None:
            refused[f"{op.type} has no converter"] = None
        else:
            call = Call(op, names, graph)
            outputs = []
            for blob in op.outputs:
                name = graph.name_output(blob, blob in written)
                if blob in shapes:
                    shapes.setdefault(name, shapes[blob])
                written.add(blob)
                outputs.append(name)
            call.outputs = outputs
            try:
                converter(graph, call)
            except Refused as refusal:
                refused[str(refusal)] = None
    if refused:
        lines = "\n  ".join(refused)
        raise NotSupportedError(f"net '{net.name}' cannot be written as ONNX:\n  {lines}")
    return graph


def _name_outputs(proto: Any, graph: Graph, outputs: Sequence[str]) -> None:
    """The blobs' last values, under the blobs' own names where these are free."""
    for blob in outputs:
        name = graph.name_of(blob)
        if name not in graph.shapes and blob not in graph.shapes:
            proto.output.append(value_info(name, "float32", []))
            proto.output[-1].type.tensor_type.ClearField("shape")
        else:
            proto.output.append(
                value_info(name, "float32", graph.shapes.get(name, graph.shapes.get(blob, ())))
            )
