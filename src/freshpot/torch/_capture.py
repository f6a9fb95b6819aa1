"""A ``torch.nn.Module`` as a net.

Owned here: from an exported ATen graph to operators. Who calls it: users (`freshpot.torch.capture`).
Each ATen operator has a converter, a short function in `_aten/<family>.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind, OutputKind

from freshpot.engine import Plan, Workspace
from freshpot.errors import ArityError, NotSupportedError, near_matches
from freshpot.net import Net
from freshpot.net.gradient import backward
from freshpot.net.grads import GradName
from freshpot.torch._graph import Lowering, converters, matters, name_of


@dataclass
class Captured:
    """A net made of a module: what it computes, and its parameters.

    Attributes:
        net: the operators; its inputs are the module's arguments, then its parameters and buffers.
        parameters: values by blob; blobs have the names of the module's state_dict.
        trainable: the blobs that learn.
        inputs: the blobs that are data.
    """

    net: Net
    parameters: dict[str, Tensor]
    trainable: list[str]
    inputs: list[str]
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


def capture(
    module: nn.Module, example_inputs: Sequence[Tensor] | Tensor, name: str | None = None
) -> Captured:
    """A module as a net that the engine runs and trains.

    The module is exported (torch.export) in the mode it is in, train or eval, with these inputs; the net
    keeps what the export fixed, control flow and sizes other than the batch's. Parameters are copied.

    Args:
        module: any module that torch.export takes, on the CPU or a GPU.
        example_inputs: its arguments, tensors; one tensor stands for itself.
        name: the net's name; the class's by default.

    Raises:
        NotSupportedError: ATen operators without a counterpart, all of them named, with near matches.
    """
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    program = torch.export.export(module, inputs)
    low = Lowering(name or type(module).__name__)
    _name_placeholders(program, low)
    _refuse_unknown(program.graph, low.net.name)
    for node in program.graph.nodes:
        if matters(node):
            low.convert(node)
    _set_outputs(program, low)
    low.net.inputs = [*low.inputs, *low.parameters]
    return Captured(low.net, low.parameters, low.trainable, low.inputs)


def _name_placeholders(program: Any, low: Lowering) -> None:
    """Give inputs, parameters and buffers their names."""
    values: dict[str, Any] = {**program.state_dict, **program.constants}
    nodes = {node.name: node for node in program.graph.nodes}
    for spec in program.graph_signature.input_specs:
        node = nodes[spec.arg.name]
        if spec.kind is InputKind.USER_INPUT:
            low.inputs.append(low.names.setdefault(node, low.fresh(node.name)))
            continue
        low.names[node] = low.fresh(spec.target)
        low.values[low.names[node]] = values[spec.target].detach().clone()
        if spec.kind is InputKind.PARAMETER and values[spec.target].requires_grad:
            low.learns.add(low.names[node])


def _refuse_unknown(graph: Any, net: str) -> None:
    table = converters()
    names = {name_of(node.target) for node in graph.nodes if matters(node)}
    unknown = sorted(names - set(table))
    if unknown:
        lines = "\n  ".join(f"{name}{near_matches(name, table)}" for name in unknown)
        raise NotSupportedError(
            f"module '{net}' cannot be captured: {len(unknown)} of its ATen operators have no counterpart:\n  "
            f"{lines}\nCapture the part of the module without them."
        )


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
