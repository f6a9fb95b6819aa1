"""A module exported, its batch left open where it allows that.

Owned here: the call of torch.export, and saying what it fixed. Who calls it: `_capture`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ShapesCollection
from torch.export.graph_signature import InputKind

from freshpot.errors import NotSupportedError
from freshpot.torch._sizes import is_open

__all__ = ["FixedBatchWarning", "export", "simpler"]


class FixedBatchWarning(UserWarning):
    """A module was captured for the example's batch alone, as it must know it."""


def export(module: nn.Module, inputs: tuple[Any, ...], name: str, open_batch: bool | None) -> Any:
    """The exported module; the inputs' first sizes are open, but for those that are 1.

    Args:
        module, inputs: what torch.export takes.
        name: what the module is called in words.
        open_batch: False fixes the first sizes; True refuses a module that must know one; None warns of it.

    Raises:
        NotSupportedError: ``open_batch`` is True, and the module must know a first size.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if open_batch is False:
            return torch.export.export(module, _unmarked(inputs))
        try:
            program = _open(module, _unmarked(inputs))
            fixed = _fixed(program, inputs)
        except Exception as error:  # of any kind: what it cannot do with open sizes it may do with fixed ones
            fixed = f"torch.export fails otherwise ({type(error).__name__}: {_first_line(error)})"
            if not open_batch:
                program = torch.export.export(module, _unmarked(inputs))
    if fixed and open_batch:
        raise NotSupportedError(f"module '{name}' cannot be captured with an open batch: {fixed}.")
    if fixed:
        sizes = ", ".join(str(tuple(x.shape)) for x in inputs if isinstance(x, Tensor))
        warnings.warn(
            f"module '{name}' is captured for inputs of {sizes} alone: {fixed}. "
            "open_batch=False says that this is meant.",
            FixedBatchWarning,
            stacklevel=4,
        )
    return program


def simpler(program: Any, table: dict[Any, Any]) -> Any:
    """The exported module with some calls said by simpler ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of itself
        return program.run_decompositions(table)


def _unmarked(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs as objects of their own: torch.export notes on a tensor that its size is open."""
    return tuple(x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs)


def _open(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
    open_sizes = ShapesCollection()
    for x in inputs:
        if isinstance(x, Tensor) and x.dim():
            open_sizes[x] = {0: Dim.AUTO}
    return torch.export.export(module, inputs, dynamic_shapes=open_sizes.dynamic_shapes(module, inputs))


def _fixed(program: Any, inputs: Sequence[Any]) -> str:
    """The inputs whose first sizes, other than 1, the program knows, in words."""
    nodes = {node.name: node for node in program.graph.nodes}
    specs = [spec for spec in program.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT]
    found = []
    for spec, given in zip(specs, inputs, strict=False):
        like = nodes[spec.arg.name].meta.get("val") if spec.arg.name in nodes else None
        if isinstance(like, Tensor) and like.dim() and not is_open(like.shape[0]) and given.shape[0] != 1:
            found.append(f"it must know that the first size of '{spec.arg.name}' is {int(like.shape[0])}")
    return " and ".join(found)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else "no words"
