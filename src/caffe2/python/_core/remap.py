"""Renaming blobs inside operators that carry whole nets.

Owned here: what must be renamed besides inputs and outputs. Who calls it: `Net.Clone`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: renames the blobs in an OperatorDef: (operator, prefix of the clone, old name -> new name)
RemapFunction = Callable[[Any, str, Mapping[str, str]], None]


def remap_names(names: Any, blob_remap: Mapping[str, str]) -> None:
    """Rename in a repeated field of names."""
    names[:] = [str(blob_remap.get(name, name)) for name in names]


def remap_input(op: Any, blob_name_remapping: Mapping[str, str]) -> None:
    """Rename an operator's inputs."""
    remap_names(op.input, blob_name_remapping)


def remap_proto(argument: Any, blob_remap: Mapping[str, str]) -> None:
    """Rename the blobs of the net in an argument; the net becomes ``cloned_sub_net``."""
    _clone_in_place(argument, "cloned_sub_net", blob_remap)


def _clone_in_place(argument: Any, name: str, blob_remap: Mapping[str, str]) -> None:
    from caffe2.python._core.net import Net

    argument.n.CopyFrom(Net(argument.n).Clone(name, dict(blob_remap)).Proto())


def recurrent_network_op_remap(op: Any, prefix: str, blob_remap: Mapping[str, str]) -> None:
    """Rename the blobs that a recurrent network names in its arguments and step nets."""

    def renamed(name: bytes) -> bytes:
        text = name.decode("utf-8")
        return blob_remap.get(text, text).encode("utf-8")

    for argument in op.arg:
        if argument.strings:
            argument.strings[:] = [renamed(name) for name in argument.strings]
        elif argument.name == "timestep":
            argument.s = renamed(argument.s)
        elif argument.name.endswith("step_net"):
            remap_proto(argument, blob_remap)


def control_op_remap(op: Any, prefix: str, blob_remap: Mapping[str, str]) -> None:
    """Rename the blobs in the branches of a conditional, or in the nets of a loop."""
    branches = ("then_net", "else_net") if op.type in ("If", "AsyncIf") else ("loop_net", "cond_net")
    for argument in op.arg:
        if argument.name in branches:
            from caffe2.python._core.net import Net

            name = Net(argument.n).Name()
            _clone_in_place(argument, f"{name}_remapped", blob_remap)


DEFAULT_REMAP_FUNCS: dict[str, RemapFunction] = {
    "RecurrentNetwork": recurrent_network_op_remap,
    "RecurrentNetworkGradient": recurrent_network_op_remap,
    "If": control_op_remap,
    "While": control_op_remap,
    "AsyncIf": control_op_remap,
}
