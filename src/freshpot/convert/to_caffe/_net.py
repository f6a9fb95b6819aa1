"""A net as a Caffe net.

Owned here: walking the net, inputs, outputs, the two files. Who calls it: users through `to_caffe`, `freshpot convert`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from freshpot.convert._table import UNFIT, Refused, need_values, unfit
from freshpot.convert.to_caffe._layers import Call, Layers, converters
from freshpot.engine import infer_shapes
from freshpot.errors import DTypeError, FreshpotError, NotSupportedError
from freshpot.formats.atomic import write_bytes
from freshpot.formats.prototxt import TextMessage, format_prototxt
from freshpot.net import Net


def to_caffe(
    net: Net,
    parameters: Mapping[str, torch.Tensor],
    inputs: Mapping[str, tuple[Sequence[int], torch.dtype]],
    outputs: Sequence[str],
) -> Any:
    """The net as a NetParameter with its weights, in layers of BVLC Caffe.

    Args:
        net: the forward operators, in use rather than in training.
        parameters: values of the blobs that are fixed.
        inputs: shape and type of the blobs that are data.
        outputs: blobs to return.

    Raises:
        NotSupportedError: operators that no layer does, or not with these arguments, all of them named.
        MissingBlobError: a blob is neither made, nor data, nor fixed. DTypeError: an input is no float32.
    """
    need_values(net, parameters, inputs)
    values = {blob: value.detach().cpu().numpy() for blob, value in parameters.items()}
    layers = Layers(net.name or "net", values, net.blobs())
    for blob, value in parameters.items():
        layers.specs[blob] = (tuple(value.shape), value.dtype)
    for blob, (shape, dtype) in inputs.items():
        if dtype is not torch.float32:
            raise DTypeError(f"input '{blob}' is {dtype}; Caffe's blobs are float32.", net=net.name)
        layers.add("Input", [], blob).input_param.shape.add(dim=shape)
        layers.specs[blob] = (tuple(shape), dtype)
    _convert(net, layers, set(inputs))
    _finish(layers, outputs, net.name)
    return layers.net


def _convert(net: Net, layers: Layers, written: set[str]) -> None:
    refused: dict[str, None] = {}
    last = {blob: i for i, op in enumerate(net.ops) for blob in op.outputs}
    for i, op in enumerate(net.ops):
        call = Call(op, layers)
        known = {blob: layers.specs[blob] for blob in op.inputs if blob in layers.specs}
        found = infer_shapes(Net(net.name, [op]), known)
        for blob in op.outputs:
            own = last[blob] == i and blob not in written and blob not in layers.values
            layers.names[blob] = blob if own else layers.fresh(blob)
            layers.values.pop(blob, None)
            layers.specs.pop(blob, None)
            if blob in found:
                layers.specs[blob] = found[blob]
            call.tops.append(layers.names[blob])
            call.made.append(found.get(blob))
        converter = converters().get(op.type)
        if converter is None:
            refused[f"{op.type} has no layer"] = None
            continue
        try:
            converter(layers, call)
        except Refused as refusal:
            refused[str(refusal)] = None
        except FreshpotError:
            raise
        except UNFIT as error:
            refused[unfit(op, error)] = None
    if refused:
        lines = "\n  ".join(refused)
        raise NotSupportedError(f"net '{net.name}' cannot be written for Caffe:\n  {lines}")


def _finish(layers: Layers, outputs: Sequence[str], name: str) -> None:
    """Check that all that is read is made; silence tops that nobody wants."""
    wanted = [layers.names.get(blob, blob) for blob in outputs]
    made = {top for layer in layers.net.layer for top in layer.top}
    read = [bottom for layer in layers.net.layer for bottom in layer.bottom]
    lost = [blob for blob in (*read, *wanted) if blob not in made]
    if lost:
        raise NotSupportedError(
            f"net '{name}' cannot be written for Caffe: '{lost[0]}' is a parameter that a layer would have to read, "
            "or an output that no layer makes."
        )
    unread = [top for layer in layers.net.layer for top in layer.top if top not in read and top not in wanted]
    if unread:
        layers.add("Silence", unread, [])


def write_caffe(
    path: Path,
    net: Net,
    parameters: Mapping[str, torch.Tensor],
    inputs: Mapping[str, tuple[Sequence[int], torch.dtype]],
    outputs: Sequence[str],
) -> None:
    """Write ``path``, a prototxt, and the weights beside it (`.caffemodel`); each file is written atomically.

    Raises:
        as `to_caffe`; OSError: the folder is missing or not writable.
    """
    made = to_caffe(net, parameters, inputs, outputs)
    weights = made.SerializeToString()
    for layer in made.layer:
        layer.ClearField("blobs")
    write_bytes(path.with_suffix(".caffemodel"), weights)
    write_bytes(path, format_prototxt(TextMessage(made, str(path))).encode())
