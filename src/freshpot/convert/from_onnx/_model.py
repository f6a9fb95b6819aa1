"""An ONNX model as a net.

Owned here: walking the graph, inputs, outputs, parameters. Who calls it: users through `from_onnx`.

A first size that the file leaves open (the batch) stays open in the net. While the graph is walked a prime
that no size has stands for it, so what follows from it shows; the walk is made with two primes, and nets that
differ depend on the batch in a way that operators' arguments cannot say.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from freshpot.convert._table import UNFIT, Refused, unfit
from freshpot.convert.from_onnx._fold import fold, narrowed
from freshpot.convert.from_onnx._graph import Array, Graph, Node, converters
from freshpot.errors import (
    ArgumentError,
    FormatError,
    FreshpotError,
    NetError,
    NotSupportedError,
    near_matches,
)
from freshpot.formats.onnx_file import TYPES, read_model, tensor_value
from freshpot.net import Net

#: the operator sets whose operators the converters know
OPSETS = range(5, 23)
_PRIMES = (10007, 20011)
#: elements that may be worked out beforehand, beside four times as many as the model's parameters have
_ROOM = 1 << 24
_FIX = "fixed_batch=True (--fixed-batch) and its size"


@dataclass
class Imported:
    """A net made of an ONNX model.

    Attributes:
        net: the operators; its inputs are the model's, then the parameters.
        parameters: values by blob, under the names of the model's initializers.
        inputs: shape and type of the blobs that are data; a first size of None is open.
        outputs: the blobs that are returned.
        constants: the parameters that are no initializers of the model, but worked out.
    """

    net: Net
    parameters: dict[str, torch.Tensor]
    inputs: dict[str, tuple[list[int | None], torch.dtype]]
    outputs: list[str]
    constants: list[str]


def read_onnx(
    path: str | os.PathLike[str],
    shapes: Mapping[str, Sequence[int]] | None = None,
    fixed_batch: bool = False,
) -> Imported:
    """The net in an ONNX file; see `from_onnx`. Data beside the file is read from its own folder alone.

    Raises:
        FormatError: the file is no ONNX model, or is damaged. OSError: it is not readable.
    """
    return from_onnx(read_model(path), shapes, fixed_batch, folder=Path(path).resolve().parent, path=path)


def from_onnx(
    model: Any,
    shapes: Mapping[str, Sequence[int]] | None = None,
    fixed_batch: bool = False,
    *,
    folder: Path | None = None,
    path: object = None,
) -> Imported:
    """An ONNX ModelProto (opset 5 to 22) as a net for use.

    Fractions of any width become float32. Sizes are fixed but for a first one that the model leaves open.

    Args:
        model: the message.
        shapes: sizes of inputs, which must be given where the model leaves others than the first open.
        fixed_batch: True fixes the first sizes, too, at what ``shapes`` say.
        folder: where data that lies beside the model may be read from.
        path: the model's file, for errors.

    Raises:
        NotSupportedError: operators that have no converter, or not with these attributes, all of them named.
        FormatError: the model contradicts itself. ArgumentError: an input's sizes are open, or there is no such input.
    """
    place = path or "model"
    version = _opset(model, place)
    initial: dict[str, Array] = {}
    for tensor in model.graph.initializer:
        if tensor.name in initial:
            raise FormatError(f"tensor '{tensor.name}' is there twice.", path=path)
        initial[tensor.name] = narrowed(tensor_value(tensor, folder=folder, path=path))
    known_inputs = [info.name for info in model.graph.input]
    for name in shapes or {}:
        if name not in known_inputs:
            raise ArgumentError(f"{place}: there is no input '{name}'.{near_matches(name, known_inputs)}")

    def walk(prime: int) -> Graph:
        graph = Graph(model.graph.name or "net", version, prime, folder, path)
        return _walk(model.graph, graph, initial, shapes or {}, fixed_batch)

    graph = walk(_PRIMES[0])
    if graph.follows is not None:
        _compare(graph, walk(_PRIMES[1]), place)
    inputs: dict[str, tuple[list[int | None], torch.dtype]] = {}
    for info in model.graph.input:
        if info.name not in initial:
            sizes, dtype = graph.specs[info.name]
            inputs[info.name] = ([None if size == graph.batch else size for size in sizes], dtype)
    graph.net.inputs = [*inputs, *graph.parameters]
    outputs = [info.name for info in model.graph.output]
    graph.net.outputs = outputs
    constants = [blob for blob in graph.parameters if blob not in initial]
    return Imported(graph.net, graph.parameters, inputs, list(outputs), constants)


def _opset(model: Any, place: object) -> int:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    version = versions.get("", versions.get("ai.onnx", 1 if not versions else 0))
    if version not in OPSETS:
        raise NotSupportedError(
            f"{place}: it is written in operator set {version}; {OPSETS[0]} to {OPSETS[-1]} are read. "
            "onnx.version_converter converts models."
        )
    if model.functions:
        raise NotSupportedError(f"{place}: it defines functions of its own, which are not read. Inline them.")
    if model.graph.sparse_initializer:
        raise NotSupportedError(f"{place}: it has sparse parameters, which are not read.")
    return int(version)


def _walk(
    proto: Any,
    graph: Graph,
    initial: Mapping[str, Array],
    shapes: Mapping[str, Sequence[int]],
    fixed_batch: bool,
) -> Graph:
    graph.known.update(initial)
    graph.room = _ROOM + 4 * sum(value.size for value in initial.values())
    for name in initial:
        graph.take(name)
    for info in proto.input:
        if info.name not in graph.known:
            _add_input(graph, info, shapes.get(info.name), fixed_batch)
    for node in proto.node:
        for name in (*node.input, *node.output):
            graph.take(name)
        for name in node.input:
            graph.readers[name] = graph.readers.get(name, 0) + 1
    for info in proto.output:
        graph.readers[info.name] = graph.readers.get(info.name, 0) + 1
    _convert(graph, proto.node)
    for info in proto.output:
        _name_output(graph, info.name)
    return graph


def _add_input(graph: Graph, info: Any, given: Sequence[int] | None, fixed_batch: bool) -> None:
    name, place = info.name, graph.path or "model"
    if name in graph.names:
        raise FormatError(f"input '{name}' is there twice.", path=graph.path)
    if not info.type.HasField("tensor_type"):
        raise NotSupportedError(f"{place}: input '{name}' is no tensor.")
    kind = info.type.tensor_type
    if kind.elem_type not in TYPES:
        raise NotSupportedError(
            f"{place}: input '{name}' has element type {kind.elem_type}, which no net has."
        )
    dtype = torch.from_numpy(narrowed(TYPES[kind.elem_type][0].type(0).reshape(1))).dtype
    if kind.elem_type == 16:
        dtype = torch.float32
    sizes = [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in kind.shape.dim
    ]
    if not kind.HasField("shape"):
        sizes = [None] * len(given or ())
    if given is not None and len(given) != len(sizes):
        raise ArgumentError(
            f"{place}: input '{name}' has {len(sizes)} dimensions, {len(given)} sizes were given."
        )
    for i, size in enumerate(given or ()):
        if sizes[i] not in (None, size):
            raise ArgumentError(f"{place}: size {i} of input '{name}' is {sizes[i]}, {size} was given.")
        if i or fixed_batch:
            sizes[i] = size
    if (
        any(size is None for size in sizes[1:])
        or (fixed_batch and None in sizes)
        or not (kind.HasField("shape") or given)
    ):
        shown = ",".join("N" if size is None else str(size) for size in sizes) or "N,C,H,W"
        raise ArgumentError(
            f"{place}: the sizes of input '{name}' are open ({shown}): give them, --shape {name}={shown}."
        )
    shape = tuple(graph.batch if size is None else size for size in sizes)
    try:
        torch.empty(shape, dtype=dtype, device="meta")
    except RuntimeError as error:
        raise FormatError(f"input '{name}' of shape {shape} is no tensor: {error}", path=graph.path) from None
    if shape and shape[0] == graph.batch and graph.follows is None:
        graph.follows = name
    graph.names[name] = name
    graph.specs[name] = (shape, dtype)
    graph.take(name)


def _convert(graph: Graph, protos: Sequence[Any]) -> None:
    refused: dict[str, None] = {}
    lost: set[str] = set()
    for proto in protos:
        domain = "" if proto.domain in ("", "ai.onnx") else f"{proto.domain}."
        converter = None if domain else converters().get(proto.op_type)
        missing = [
            name for name in proto.input if name and name not in graph.known and name not in graph.names
        ]
        unmade = [name for name in missing if name not in lost]
        if unmade:
            raise FormatError(
                f"node {proto.op_type} reads '{unmade[0]}', which nothing before it makes.", path=graph.path
            )
        for name in proto.output:
            if name and (name in graph.known or name in graph.names or name in lost):
                raise FormatError(
                    f"node {proto.op_type} makes '{name}', which is there already.", path=graph.path
                )
        try:
            if missing or not _convert_one(graph, proto, converter if not domain else None, bool(domain)):
                if converter is None and (domain or not missing or proto.op_type not in _FOLDED):
                    near = "" if domain else near_matches(proto.op_type, converters())
                    refused[f"{domain}{proto.op_type} has no converter.{near}"] = None
                lost.update(name for name in proto.output if name)
        except Refused as refusal:
            refused[str(refusal)] = None
            lost.update(name for name in proto.output if name)
        except NetError as error:
            raise _in_words(graph, error) from None
        except FreshpotError:
            raise
        except UNFIT as error:
            refused[unfit(Node(proto, graph), error)] = None
            lost.update(name for name in proto.output if name)
    if refused:
        lines = "\n  ".join(refused)
        raise NotSupportedError(f"{graph.path or 'model'} cannot be read as a net:\n  {lines}")


def _in_words(graph: Graph, error: NetError) -> NetError:
    """What an operator says of the shapes, without the prime that stands for the batch."""
    words, open_batch = str(error), graph.follows is not None
    if not open_batch or str(graph.batch) not in words:
        return error.at(net=graph.net.name)
    words = words.replace(str(graph.batch), "batch")
    return type(error)(f"{words} The batch is open; where sizes depend on it, fix it: {_FIX}.")


#: operators that are worked out where all they read is known, and have no converter
_FOLDED = {"Constant", "Shape", "Size", "Range", "ReduceProd", "NonZero", "Mod"}


def _convert_one(graph: Graph, proto: Any, converter: Any, foreign: bool) -> bool:
    """False if there is no way."""
    if foreign:
        return False
    node = Node(proto, graph)
    if fold(graph, node):
        node.check_read()
        return True
    if converter is None:
        return False
    converter(graph, node)
    node.check_read()
    made = {*graph.names, *graph.known}
    unmade = [name for name in node.outputs if name not in made and graph.readers.get(name)]
    if unmade:
        node.refuse(f"its output '{unmade[0]}' is not converted.")
    return True


def _name_output(graph: Graph, name: str) -> None:
    """The net's outputs have the model's names, and are made by operators."""
    if name not in graph.names and name not in graph.known:
        raise FormatError(f"output '{name}' is made by no node.", path=graph.path)
    blob = graph.blob(name)
    if blob != name or not graph.made_by(name):
        if blob == name:
            raise NotSupportedError(
                f"{graph.path or 'model'}: output '{name}' is an input, or the same whatever the inputs."
            )
        graph.op("Copy", [blob], name)


def _compare(graph: Graph, again: Graph, place: object) -> None:
    """Refuse a net that follows the batch in a way that no argument says."""
    same = len(graph.net.ops) == len(again.net.ops) and list(graph.parameters) == list(again.parameters)
    found = next((str(a) for a, b in zip(graph.net.ops, again.net.ops, strict=False) if a != b), None)
    for blob, value in graph.parameters.items():
        if (
            found is None
            and same
            and not torch.equal(value, again.parameters[blob])
            and not value.isnan().any()
        ):
            found = f"parameter '{blob}'"
    if found or not same:
        raise NotSupportedError(
            f"{place}: {found or 'the net'} depends on the batch in a way that nets cannot say. Fix it: {_FIX}."
        )
