"""Whatever a user calls a net, as operators, inputs, outputs and persistent blobs.

Owned here: telling the kinds of nets apart and gathering their parameters. Who calls it: `_module`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freshpot.convert.from_onnx import Imported, read_onnx
from freshpot.convert.netdef import net_from_proto
from freshpot.engine import Workspace
from freshpot.errors import MissingBlobError, NetError, NotSupportedError, near_matches
from freshpot.net import Net, Op, registry
from freshpot.net.gradient import AUTOGRAD_SUFFIX
from freshpot.torch._names import looks_like_parameter, statistics

Parameters = Mapping[str, Any] | Workspace | Net | None
#: sizes (None: open) and type of inputs
Shapes = dict[str, tuple[list[int | None], torch.dtype]]


@dataclass
class Source:
    """A net that can become a module."""

    name: str
    ops: list[Op]
    inputs: list[str]
    outputs: list[str]
    values: dict[str, torch.Tensor]
    #: persistent blobs that are not learnt
    fixed: set[str] = field(default_factory=set)
    #: persistent blobs that the net's description gives, and no state_dict need keep
    constants: set[str] = field(default_factory=set)
    #: True if blobs have the names of a module's state
    as_named: bool = False
    #: sizes and type of the inputs of which they are known; a size of None is open
    shapes: Shapes = field(default_factory=dict)


def read(
    net: Any,
    parameters: Any,
    inputs: Sequence[str] | None,
    outputs: Sequence[str] | None,
) -> Source:
    """A source from a net of any kind; see `freshpot.torch.module`."""
    if hasattr(net, "net") and hasattr(net, "parameters") and isinstance(net.net, Net):  # Captured
        source = from_net(net.net, net.parameters, inputs, outputs)
        source.as_named = True
        source.constants.update(blob for blob in net.constants if blob in source.values)
        source.fixed.update(blob for blob in source.values if blob not in net.trainable)
        source.shapes = dict(net.shapes)
        return source
    if isinstance(net, (str, os.PathLike)):
        if Path(net).suffix.lower() == ".onnx":
            return from_imported(read_onnx(net), inputs, outputs)
        if Path(net).suffix.lower() == ".pdmodel" or Path(net).name == "__model__":
            return read(_paddle_net(Path(net), parameters), None, inputs, outputs)
        net = _caffe_net(Path(net), parameters)
    if hasattr(net, "_net") and hasattr(net._net, "learnable"):
        return _from_caffe(net._net, outputs)
    if hasattr(net, "param_init_net") and hasattr(net, "net"):
        return _from_model(net, parameters, inputs, outputs)
    if not isinstance(net, Net):
        net = _as_net(net)
    if parameters is not None and not isinstance(parameters, (Mapping, Workspace, Net)):
        parameters = _as_net(parameters)
    return from_net(net, parameters if parameters is not None else _current_workspace(), inputs, outputs)


def from_imported(
    made: Imported, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> Source:
    """A source from an ONNX model: parameters have the names of its initializers."""
    source = from_net(made.net, made.parameters, inputs, outputs)
    source.as_named = True
    source.constants.update(blob for blob in made.constants if blob in source.values)
    source.fixed |= source.constants
    source.shapes = dict(made.inputs)
    return source


def from_net(
    net: Net, parameters: Parameters, inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> Source:
    """A source from the IR."""
    ops = _forward_part(net.ops)
    if outputs is not None:
        ops = _needed(ops, outputs, net.name)
    missing = Net(ops=ops).missing_inputs()
    values = _persistent(missing, ops, parameters, inputs)
    free = [blob for blob in missing if blob not in values]
    order = [blob for blob in (inputs or net.inputs) if blob in free]
    order += [blob for blob in free if blob not in order]
    return Source(
        net.name or "net", ops, order, list(outputs or _outputs(net, ops)), values, _unlearnt(ops, values)
    )


def _forward_part(ops: Sequence[Op]) -> list[Op]:
    """The operators before the first gradient operator: what a training net computes."""
    for i, op in enumerate(ops):
        if op.is_gradient or any(blob.endswith(AUTOGRAD_SUFFIX) for blob in op.outputs):
            return list(ops[:i])
    return list(ops)


def _needed(ops: Sequence[Op], outputs: Sequence[str], net: str) -> list[Op]:
    written = {blob for op in ops for blob in op.outputs}
    unknown = [blob for blob in outputs if blob not in written]
    if unknown:
        raise MissingBlobError(
            f"no operator makes output '{unknown[0]}'.{near_matches(unknown[0], written)}", net=net
        )
    wanted, kept = set(outputs), []
    for op in reversed(ops):
        if wanted.intersection(op.outputs):
            kept.append(op)
            wanted.update(op.inputs)
    return kept[::-1]


def _outputs(net: Net, ops: Sequence[Op]) -> list[str]:
    """The net's own outputs; without any, what is made and not read."""
    written = {blob for op in ops for blob in op.outputs}
    named = [blob for blob in net.outputs if blob in written]
    if named:
        return named
    read = {blob for op in ops for blob in op.inputs}
    return list(dict.fromkeys(op.outputs[0] for op in ops if op.outputs and op.outputs[0] not in read))


def _persistent(
    missing: Sequence[str], ops: Sequence[Op], parameters: Parameters, inputs: Sequence[str] | None
) -> dict[str, torch.Tensor]:
    if isinstance(parameters, Mapping):
        return {blob: as_tensor(blob, parameters[blob]) for blob in missing if blob in parameters}
    if isinstance(parameters, Net):
        workspace = Workspace()
        workspace.run_once(parameters)
        parameters = workspace
        if inputs is None and any(blob not in workspace for blob in missing):
            # with data left for the user to give, all that this net makes is parameters; some make data, too
            return {blob: as_tensor(blob, workspace.get(blob)) for blob in missing if blob in workspace}
    if parameters is None:
        return {}
    named = set(inputs or ())
    persistent = {
        blob
        for blob in missing
        if blob in parameters
        and blob not in named
        and (inputs is not None or looks_like_parameter(blob, ops))
    }
    return {blob: as_tensor(blob, parameters.get(blob)) for blob in missing if blob in persistent}


def _unlearnt(ops: Sequence[Op], values: Mapping[str, torch.Tensor]) -> set[str]:
    computed = statistics(ops)
    return {blob for blob, value in values.items() if blob in computed or not value.is_floating_point()}


def as_tensor(blob: str, value: Any) -> torch.Tensor:
    """A copy of a parameter's value.

    Raises:
        NetError: it is no tensor.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.array(value))
    raise NetError(f"parameter '{blob}' is no tensor of numbers but {type(value).__name__}.", blob=blob)


# ---- kinds of nets -------------------------------------------------------------------------------------
def _as_net(net: Any) -> Net:
    """A net from a NetDef, or from an object that has one (``core.Net``)."""
    proto = net.Proto() if hasattr(net, "Proto") else net
    if hasattr(proto, "external_input") and hasattr(proto, "op"):
        return net_from_proto(proto)
    raise NetError(
        f"a {type(net).__name__} is no net. Give a caffe.Net, the path of a prototxt, a NetDef, a core.Net, "
        "a ModelHelper, a captured net or a freshpot.net.Net."
    )


def _current_workspace() -> Workspace | None:
    """The workspace that Caffe2 programs are in, if the program uses Caffe2 at all."""
    module = sys.modules.get("caffe2.python._workspace.state")
    workspace = getattr(module, "current", lambda: None)()
    return workspace if isinstance(workspace, Workspace) else None


def _from_model(model: Any, parameters: Any, inputs: Any, outputs: Any) -> Source:
    net = _as_net(model.net)
    workspace = parameters if parameters is not None else _current_workspace()
    if not isinstance(workspace, Workspace):
        return from_net(net, workspace, inputs, outputs)
    learnt = {str(blob) for blob in model.GetAllParams("")}
    values = {blob: workspace.get(blob) for blob in learnt if blob in workspace}
    filled = [blob for op in _as_net(model.param_init_net).ops if _is_fill(op) for blob in op.outputs]
    constants = {
        blob: workspace.get(blob)
        for blob in filled
        if blob in workspace and blob not in values and blob not in (inputs or ())
    }
    source = from_net(net, {**values, **constants}, inputs, outputs)
    source.constants.update(blob for blob in constants if blob in source.values)
    source.fixed |= source.constants
    return source


def _is_fill(op: Op) -> bool:
    """True of an operator that makes the same at every run (a counter, a step's number)."""
    return op.type.endswith("Fill") and not op.type.startswith(("Uniform", "Gaussian", "XavierF", "MSRA"))


def _paddle_net(model: Path, parameters: Any) -> Any:
    from freshpot.paddle.jit import captured_file

    return captured_file(model, None if parameters is None else Path(parameters), {})


def _caffe_net(prototxt: Path, weights: Any) -> Any:
    import caffe

    files = [str(prototxt)] if weights is None else [str(prototxt), os.fspath(weights)]
    return caffe.Net(*files, caffe.TEST)


def _from_caffe(net: Any, outputs: Sequence[str] | None) -> Source:
    """A Caffe net, for the shapes that its blobs have, but for the batch's: data layers become inputs."""
    ops: list[Op] = []
    inputs: list[str] = []
    refused: list[str] = []
    values: dict[str, torch.Tensor] = {}
    made = Source(net.name or "net", ops, inputs, [], values)
    for layer in net.layers:
        tops = [blob.name for blob in layer.tops]
        if layer.type == "Silence":
            continue
        if layer.host_forward is not None:
            if layer.bottoms:
                refused.append(f"layer '{layer.name}' ({layer.type}) is Python code or works on files")
            inputs.extend(tops)
            continue
        if layer.type == "Split":
            ops.extend(Op("Copy", [layer.bottoms[0].name], [top], name=layer.name) for top in tops)
        # what keeps a blob from being overwritten is a copy here
        made_ops = [replace(op, type="Copy") if op.type == "CaffeKeep" else op for op in layer.ops]
        ops.extend(_open_batch(op, layer) for op in made_ops)
        values.update((blob.name, blob.data_cell.on_cpu().clone()) for blob in layer.blobs)
        values.update((name, value.detach().clone()) for name, value in layer.constants.items())
        made.constants.update(layer.constants)
        learns = zip(layer.blobs, layer.param_propagate_down, strict=True)
        made.fixed.update(blob.name for blob, learn in learns if not learn)
    refuse_effects(ops, made.name, refused)
    made.outputs = list(outputs or _computed(ops, [net.blob_names[i] for i in net.output_ids], made.name))
    made.fixed |= made.constants | _unlearnt(ops, values)
    if outputs is not None:
        made.ops = _needed(ops, outputs, made.name)
    missing = Net(ops=made.ops).missing_inputs()
    made.inputs = [blob for blob in inputs if blob in missing]
    made_by_layers = {blob.name: blob for layer in net.layers for blob in layer.tops}
    made.shapes = {blob: (list(made_by_layers[blob].dims), torch.float32) for blob in made.inputs}
    return made


def _computed(ops: Sequence[Op], outputs: Sequence[str], net: str) -> list[str]:
    """The outputs without data that no layer reads (a label)."""
    written = {blob for op in ops for blob in op.outputs}
    found = [blob for blob in outputs if blob in written]
    if not found:
        raise NetError(
            f"its outputs ({', '.join(outputs) or 'none'}) are data; no layer computes any.", net=net
        )
    return found


def _open_batch(op: Op, layer: Any) -> Op:
    """A reshape that keeps the first size, the batch's, keeps that of any batch."""
    shape: Any = op.args.get("shape")
    first = layer.bottoms[0] if layer.bottoms else None
    if op.type != "Reshape" or not shape or first is None or op.inputs != [first.name]:
        return op
    if not first.dims or shape[0] != first.dims[0]:
        return op
    return replace(op, args={**op.args, "shape": [0, *shape[1:]]})


def refuse_effects(ops: Iterable[Op], net: str, refused: Sequence[str] = ()) -> None:
    """Refuse operators that are no functions of tensors, all of them in one error.

    Raises:
        UnknownOperatorError: an operator that there is not.
        NotSupportedError: operators that work on files, databases or the workspace itself.
    """
    found = list(refused)
    for op in ops:
        if registry.get(op.type).run is not None:
            found.append(f"{op} works on the workspace, files or other nets")
    if found:
        lines = "\n  ".join(found)
        count = "1 operator is" if len(found) == 1 else f"{len(found)} operators are"
        raise NotSupportedError(
            f"net '{net}' cannot be a module: {count} no function of tensors:\n  {lines}\n"
            "Name outputs= that do not need them, or take the net without its data input."
        )
