"""A ``torch.nn.Module``, or a net of any kind, as a net of the engine.

Owned here: from an exported ATen graph to operators. Who calls it: users (`freshpot.torch.capture`).
Each ATen operator has a converter, a short function in `_aten/<family>.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node

from freshpot.engine import Plan, Workspace
from freshpot.errors import ArgumentError, ArityError, NotSupportedError, near_matches
from freshpot.net import Net
from freshpot.net.gradient import backward
from freshpot.net.grads import GradName
from freshpot.torch._exported import export, simpler
from freshpot.torch._graph import Lowering, converters, matters, name_of
from freshpot.torch._module import NetModule, module
from freshpot.torch._sizes import is_open
from freshpot.torch._sources import Shapes, read


@dataclass
class Captured:
    """A net made of a module: what it computes, and its parameters.

    Attributes:
        net: the operators; its inputs are the module's arguments, then its parameters and buffers.
        parameters: values by blob; blobs have the names of the module's state_dict.
        trainable: the blobs that learn.
        inputs: the blobs that are data.
        constants: the parameters that no state_dict of the module has.
        shapes: sizes and type of the inputs, as far as they are known; a first size of None is open.
    """

    net: Net
    parameters: dict[str, Tensor]
    trainable: list[str]
    inputs: list[str]
    constants: list[str] = field(default_factory=list)
    shapes: Shapes = field(default_factory=dict)
    workspace: Workspace = field(default_factory=Workspace, repr=False)

    def __post_init__(self) -> None:
        for blob, value in self.parameters.items():
            self.workspace.feed(blob, value)
        self._plan: Plan | None = None

    @property
    def outputs(self) -> list[str]:
        """The blobs that are returned."""
        return self.net.outputs

    def run(self, *inputs: Tensor) -> Any:
        """Run the net by the engine on these inputs; one tensor, or a tuple.

        Raises:
            ArityError: another number of inputs. NetError: an operator refused them.
        """
        if len(inputs) != len(self.inputs):
            raise ArityError(
                f"takes {len(self.inputs)} inputs ({', '.join(self.inputs)}), got {len(inputs)}."
            )
        for blob, value in zip(self.inputs, inputs, strict=True):
            self.workspace.feed(blob, value)
        self._plan = self._plan or self.workspace.plan(self.net)
        self._plan.run()
        made = tuple(self.workspace.get(blob) for blob in self.outputs)
        return made[0] if len(made) == 1 else made

    def add_gradients(self, *losses: str) -> dict[str, GradName]:
        """Append the gradient operators of these blobs (the net's outputs if none are named).

        Returns:
            the name of each blob's gradient; a gradient of ones is taken for the blobs derived.

        Raises:
            GradientError: an operator has no gradient.
        """
        ops, grads = backward(self.net.ops, dict.fromkeys(losses or self.outputs))
        self.net.ops.extend(ops)
        self._plan = None
        return grads

    def rename(self, names: Mapping[str, str]) -> None:
        """Call inputs and outputs otherwise; a name that another blob has is not taken."""
        taken = {*self.net.blobs(), *self.net.outputs}
        table: dict[str, str] = {}
        for old, new in names.items():
            if new not in taken:
                table[old] = new
                taken.add(new)

        def called(blobs: Sequence[str]) -> list[str]:
            return [table.get(blob, blob) for blob in blobs]

        for op in self.net.ops:
            op.inputs, op.outputs = called(op.inputs), called(op.outputs)
        self.net.inputs, self.net.outputs, self.inputs = map(
            called, (self.net.inputs, self.net.outputs, self.inputs)
        )
        self.shapes = {table.get(blob, blob): shape for blob, shape in self.shapes.items()}
        self._plan = None

    def write(self, path: str | os.PathLike[str], shapes: Mapping[str, Sequence[int]] | None = None) -> None:
        """Write the net, as it is in use, to a file of the kind that the path's suffix says.

        Args:
            path: ``FILE.onnx``; ``FILE.prototxt``, which gets ``FILE.caffemodel`` beside it; ``FILE.pdmodel``, which
                gets ``FILE.pdiparams``; ``FILE.pt``, a state_dict; or a folder, for Caffe2's predict_net.pb and
                init_net.pb. Each file is written atomically.
            shapes: sizes of inputs, for ONNX and Caffe, whose nets have sizes; an open batch is 1 otherwise.

        Raises:
            ArgumentError: another suffix, or the sizes of an input are not known.
            NotSupportedError: operators that the format has no counterpart for, all of them named.
            OSError: the folder is missing or not writable.
        """
        from freshpot.torch._files import write

        write(Path(path), read(self, None, None, None), shapes)


def capture(
    net: Any,
    example_inputs: Sequence[Any] | Any = None,
    name: str | None = None,
    *,
    open_batch: bool | None = None,
) -> Captured:
    """A module, or a net of any kind, as a net that the engine runs, trains and writes.

    The module is exported (torch.export) in the mode it is in, train or eval, with these inputs; the net
    keeps what the export fixed: control flow, and sizes other than the inputs' first ones, the batch's
    (these too if the example's is 1, or the module cannot do without knowing it). Parameters are copied.

    Args:
        net: any module that torch.export takes, on the CPU or a GPU; a layer of Paddle's, taken as it is in use; or
            a net of a kind that `module` takes, which is a net already.
        example_inputs: its arguments, tensors; one tensor stands for itself. A layer of Paddle's takes Tensors
            and InputSpecs too, and none if it was marked by ``to_static`` and has run. Nets need none.
        name: the net's name; the class's by default.
        open_batch: False fixes the inputs' first sizes, too; True insists that they stay open. None leaves
            them open if torch.export can, and says so in a `FixedBatchWarning` if it cannot.

    Raises:
        NotSupportedError: ATen operators without a counterpart, all of them named, with near matches; or
            ``open_batch`` is True and the module must know a first size that is not 1.
        ArgumentError: a module without example inputs. NetError: it is no module, no layer and no net.
    """
    if isinstance(net, Captured):
        return net
    if not isinstance(net, nn.Module):
        return _of_a_layer(net, example_inputs, name) or _captured_net(module(net), name)
    if isinstance(net, NetModule):
        return _captured_net(net, name)
    return _captured_module(net, example_inputs, name, open_batch)


def _of_a_layer(layer: Any, examples: Any, name: str | None) -> Captured | None:
    """A layer of Paddle's as a net; None for anything else."""
    door = sys.modules.get("freshpot.paddle.jit")  # whoever has a layer has imported it
    if door is None or not isinstance(layer, (door.Layer, door.StaticFunction)):
        return None
    made: Captured = door.captured(layer, examples, "capture")
    made.net.name = name or made.net.name
    return made


def _captured_module(module: nn.Module, examples: Any, name: str | None, open_batch: bool | None) -> Captured:
    """See `capture`."""
    name = name or type(module).__name__
    if examples is None:
        raise ArgumentError(
            f"capture of module '{name}' takes example inputs: capture(module, torch.rand(…))"
        )
    inputs = (examples,) if isinstance(examples, Tensor) else tuple(examples)
    program = export(module, inputs, name, open_batch)
    if _writes_into_views(program.graph):
        program = simpler(program, {})
    low = _lower(program, name, module.training)
    for _ in range(3):  # what PyTorch can say in simpler operators
        table = _decompositions(low)
        if not table:
            break
        program = simpler(program, table)
        low = _lower(program, name, module.training)
    if low.refused:
        raise _refusal(low)
    _set_outputs(program, low)
    low.net.inputs = [*low.inputs, *low.parameters]
    made_up = [blob for blob in low.parameters if blob in low.made_up]
    return Captured(low.net, low.parameters, low.trainable, low.inputs, made_up, _shapes(program, low))


def _shapes(program: Any, low: Lowering) -> Shapes:
    """Sizes and type of the inputs."""
    found = {blob: node.meta.get("val") for node, blob in low.names.items() if isinstance(blob, str)}
    return {
        blob: ([None if is_open(size) else int(size) for size in like.shape], like.dtype)
        for blob in low.inputs
        if isinstance(like := found.get(blob), Tensor)
    }


def _captured_net(module: NetModule, name: str | None) -> Captured:
    """A net's module is a net already: its operators in the mode that it is in, parameters named as its state."""
    kept = module.state_blobs()
    ops = module.operators()
    taken = {blob for op in ops for blob in (*op.inputs, *op.outputs)}
    names = {blob: key for blob, (key, _) in kept.items() if key not in taken}
    ops = [
        replace(
            op,
            inputs=[names.get(blob, blob) for blob in op.inputs],
            outputs=[names.get(blob, blob) for blob in op.outputs],
            args=dict(op.args),
        )
        for op in ops
    ]
    values = {names.get(blob, blob): value.detach().clone() for blob, (_, value) in kept.items()}
    learns = [names.get(b, b) for b, (_, value) in kept.items() if value.requires_grad]
    made_up = [names.get(blob, blob) for blob, (key, _) in kept.items() if key not in module.state_dict()]
    inputs = list(module.input_names)
    net = Net(name or module.net_name, ops, [*inputs, *values], list(module.output_names))
    return Captured(net, values, learns, inputs, made_up, dict(module.shapes))


def _writes_into_views(graph: Any) -> bool:
    """True if a call overwrites a part of a tensor, or a tensor of which there are parts."""
    for node in graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None or not schema.is_mutable or not node.args:
            continue
        target = node.args[0]
        if isinstance(target, Node) and any(map(_is_view, [target, *target.users])):
            return True
    return False


def _overwrites_state(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.is_mutable or not node.args:
        return False
    return isinstance(node.args[0], Node) and node.args[0].op == "placeholder"


def _is_view(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and any(
        result.alias_info is not None and not result.alias_info.is_write for result in schema.returns
    )


def _lower(program: Any, name: str, training: bool) -> Lowering:
    low = Lowering(name, training)
    _name_placeholders(program, low)
    read = _read(program)
    for node in program.graph.nodes:
        if node in read and matters(node):
            low.convert(node)
    return low


def _read(program: Any) -> set[Node]:
    """The nodes that an output, or something overwritten, depends on."""
    read: set[Node] = set()
    for node in reversed(list(program.graph.nodes)):
        if node in read or node.op == "output" or _overwrites_state(node):
            read.update((node, *node.all_input_nodes))
    return read


def _decompositions(low: Lowering) -> dict[Any, Any]:
    """PyTorch's ways to say refused calls by simpler ones."""
    targets = {node.target for node in low.refused}
    table = torch.export.default_decompositions() if targets else {}
    return {target: table[target] for target in targets if target in table}


def _refusal(low: Lowering) -> NotSupportedError:
    """All that was refused, in one error."""
    table = converters()
    lines: dict[str, None] = {}
    for node, refusal in low.refused.items():
        name = name_of(node.target)
        known = name in table
        lines[str(refusal) if known else f"{name}{near_matches(name, table)}"] = None
    calls = "1 of its ATen operators has" if len(lines) == 1 else f"{len(lines)} of its ATen operators have"
    listed = "\n  ".join(sorted(lines))
    return NotSupportedError(
        f"module '{low.net.name}' cannot be captured: {calls} no counterpart:\n  {listed}\n"
        "Capture the part of the module without them."
    )


def _name_placeholders(program: Any, low: Lowering) -> None:
    """Give inputs, parameters and buffers their names."""
    values: dict[str, Any] = {**program.state_dict, **program.constants}
    nodes = {node.name: node for node in program.graph.nodes}
    for spec in program.graph_signature.input_specs:
        node = nodes[spec.arg.name]
        if spec.kind is InputKind.USER_INPUT:
            low.inputs.append(low.names.setdefault(node, low.fresh(node.name)))
            low.sizes.learn(low.inputs[-1], node.meta.get("val"))
            continue
        low.names[node] = low.fresh(spec.target)
        low.values[low.names[node]] = values[spec.target].detach().clone()
        if spec.kind is InputKind.CONSTANT_TENSOR:
            low.made_up.add(low.names[node])
            low.known[node] = low.values[low.names[node]]
        if spec.kind is InputKind.PARAMETER and values[spec.target].requires_grad:
            low.learns.add(low.names[node])


def _set_outputs(program: Any, low: Lowering) -> None:
    nodes = {node.name: node for node in program.graph.nodes}
    for spec in program.graph_signature.output_specs:
        node = nodes.get(spec.arg.name)
        if spec.kind is OutputKind.USER_OUTPUT and node is not None:
            low.net.outputs.append(low.blob(node))
        elif spec.kind is OutputKind.BUFFER_MUTATION and node is not None:
            target = next(n for n in low.names.values() if n == spec.target)
            if low.blob(node) != target:
                low.op("Copy", [low.blob(node)], target)
