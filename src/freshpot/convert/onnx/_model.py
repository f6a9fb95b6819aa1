"""A net as an ONNX model.

Owned here: walking the net, inputs, outputs, parameters. Who calls it: users through `to_onnx`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from freshpot.convert._table import UNFIT, Refused, need_values, unfit
from freshpot.convert.onnx._graph import Call, Graph, converters
from freshpot.engine import infer_shapes
from freshpot.errors import FreshpotError, NotSupportedError
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
    need_values(net, parameters, inputs)
    graph = _converted(net, parameters, inputs)
    _check_made(net, graph, inputs, outputs)
    made = MESSAGES.ModelProto(ir_version=IR_VERSION, producer_name="freshpot")
    made.opset_import.add(domain="", version=OPSET)
    made.graph.name = net.name or "net"
    made.graph.node.extend(graph.nodes)
    read = {name for node in graph.nodes for name in _reads(node)}
    made.graph.initializer.extend(tensor(name, value) for name, value in graph.values.items() if name in read)
    made.graph.initializer.extend(graph.initializers.values())
    made.graph.input.extend(
        value_info(blob, name_of(torch.empty(0, dtype=dtype)), shape)
        for blob, (shape, dtype) in inputs.items()
    )
    _name_outputs(made.graph, graph, outputs)
    return made


def _converted(net: Net, parameters: Mapping[str, torch.Tensor], inputs: Mapping[str, Any]) -> Graph:
    specs: dict[str, Any] = {blob: (tuple(v.shape), v.dtype) for blob, v in parameters.items()}
    specs.update({blob: (tuple(shape), dtype) for blob, (shape, dtype) in inputs.items()})
    graph = Graph({blob: value.detach().cpu().numpy() for blob, value in parameters.items()}, dict(specs))
    graph.reserve(net.blobs())
    refused: dict[str, None] = {}
    written = set(specs)
    for op in net.ops:
        names = [graph.name_of(blob) for blob in op.inputs]
        known = {blob: specs[blob] for blob in op.inputs if blob in specs}
        found = infer_shapes(Net(net.name, [op]), known)
        outputs = []
        for blob in op.outputs:
            outputs.append(graph.name_output(blob, blob in written))
            written.add(blob)
            specs.pop(blob, None)
            if blob in found:
                specs[blob] = graph.specs[outputs[-1]] = found[blob]
        converter = converters().get(op.type)
        if converter is None:
            refused[f"{op.type} has no converter"] = None
            continue
        call = Call(op, names, graph)
        call.outputs = outputs
        try:
            converter(graph, call)
        except Refused as refusal:
            refused[str(refusal)] = None
        except FreshpotError:
            raise
        except UNFIT as error:
            refused[unfit(op, error)] = None
    if refused:
        lines = "\n  ".join(refused)
        raise NotSupportedError(f"net '{net.name}' cannot be written as ONNX:\n  {lines}")
    return graph


def _reads(node: Any) -> list[str]:
    """What a node reads, those in its body included."""
    names = list(node.input)
    for attribute in node.attribute:
        names.extend(name for inner in attribute.g.node for name in _reads(inner))
    return names


def _check_made(net: Net, graph: Graph, inputs: Mapping[str, Any], outputs: Sequence[str]) -> None:
    """Refuse a net that reads or returns what converters leave out: masks, statistics, old shapes."""
    known = {*graph.made, *graph.values, *graph.initializers, *inputs}
    read = [name for node in graph.nodes for name in node.input if name]
    lost = [name for name in (*read, *map(graph.name_of, outputs)) if name not in known]
    if lost:
        raise NotSupportedError(
            f"net '{net.name}' cannot be written as ONNX: '{lost[0]}' is an output that is not converted."
        )


def _name_outputs(proto: Any, graph: Graph, outputs: Sequence[str]) -> None:
    """The blobs' last values, under the blobs' own names where these are free."""
    for blob in outputs:
        name = graph.name_of(blob)
        shape, dtype = graph.specs.get(name, (None, torch.float32))
        proto.output.append(value_info(name, name_of(torch.empty(0, dtype=dtype)), shape or ()))
        if shape is None:
            proto.output[-1].type.tensor_type.ClearField("shape")
