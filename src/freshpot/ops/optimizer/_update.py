"""What update rules share: writing in place, learning rates, and rows picked by indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INTS, Port
from freshpot.ops._operator import Operator

ITER = Port("iter", ("int64",), doc="iterations done so far, one number")
LR = Port("lr", FLOAT, doc="learning rate, one number; its sign is the direction of the step")
INDICES = Port("indices", INTS, doc="rows to update")


def f32(value: float) -> float:
    """A number as single precision has it: what the original computes with."""
    return float(np.float32(value))


def scalar(one: Tensor) -> Any:
    """A one-element tensor as something to multiply with; no wait for a GPU."""
    return one.item() if one.device.type == "cpu" else one.reshape(())


def fusable(param: Tensor, *others: Tensor) -> bool:
    """True if torch's fused updates take the tensors: all on the CPU, dense, of single precision (or counts)."""
    shape = param.shape
    return all(
        t.device.type == "cpu"
        and t.dtype in (torch.float32, torch.int64)
        and (t.numel() == 1 or (t.shape == shape and t.is_contiguous()))
        for t in (param, *others)
    )


class Update(Operator, abstract=True):
    """An update rule, written as `kernel_inplace`: it changes the inputs of the in-place pairs.

    Called with outputs that have blobs of their own, it works on copies.
    """

    no_gradient = "it updates parameters"
    #: names of inputs that must have as many elements as each other
    alike: ClassVar[tuple[str, ...]] = ()
    kernel_inplace: Callable[..., Any]

    def check(self, *inputs: Tensor) -> None:
        named = dict(zip((p.name for p in self.inputs), inputs, strict=False))
        sizes = {name: named[name].numel() for name in self.alike}
        if len(set(sizes.values())) > 1:
            shapes = ", ".join(f"{name} {tuple(named[name].shape)}" for name in self.alike)
            self.refuse(f"{', '.join(self.alike)} must have as many elements as each other; got {shapes}.")
        for name in ("lr", "iter", "alpha"):
            if name in named and named[name].numel() != 1:
                self.refuse(f"input {name} must be one number, got shape {tuple(named[name].shape)}.")

    def kernel(self, *inputs: Tensor) -> Any:
        own = list(inputs)
        for i, _ in {*self.inplace, *self.must_inplace}:
            own[i] = own[i].clone()
        return self.kernel_inplace(*own)


class SparseUpdate(Update, abstract=True):
    """An update rule for some rows of its tables; a row named twice is updated twice, in order."""

    def check(self, *inputs: Tensor) -> None:
        super().check(*inputs)
        named = dict(zip((p.name for p in self.inputs), inputs, strict=False))
        param, indices, grad = (named[n] for n in ("param", "indices", "grad"))
        row, given = param.shape[1:].numel(), grad.shape[indices.dim() :].numel()
        if param.dim() < 1 or row != given:
            self.refuse(
                f"each row of param {tuple(param.shape)} has {row} elements; "
                f"grad {tuple(grad.shape)} has {given} for each of the indices {tuple(indices.shape)}."
            )
        if grad.numel() != indices.numel() * row:
            self.refuse(f"grad {tuple(grad.shape)} must have one row for each of {indices.numel()} indices.")

    def update_rows(
        self, indices: Tensor, grad: Tensor, tables: Sequence[Tensor], step: Callable[..., Any]
    ) -> list[Any]:
        """Call ``step(rows of grad, rows of each table …)``, which changes the tables' rows in place.

        Returns what each call returned; there is one call unless a row is named more than once.
        """
        flat = indices.reshape(-1).long()
        self._check_range(flat, tables[0].shape[0])
        grad = grad.reshape(flat.numel(), *tables[0].shape[1:])
        made = []
        for at in rounds(flat):
            rows = flat if at is None else flat[at]
            picked = [table.index_select(0, rows) for table in tables]
            made.append((at, step(grad if at is None else grad[at], *picked)))
            for table, new in zip(tables, picked, strict=True):
                table.index_copy_(0, rows, new)
        return made

    def _check_range(self, flat: Tensor, rows: int) -> None:
        if flat.numel():
            low, high = (int(x) for x in torch.aminmax(flat))
            if low < 0 or high >= rows:
                self.refuse(f"indices must be from 0 to {rows - 1} (rows of param); found {low} to {high}.")


def rounds(indices: Tensor) -> Iterator[Tensor | None]:
    """Positions in ``indices``, in groups without repeats: first occurrences, then second, and so on.

    One ``None`` stands for all of them where nothing repeats; nothing comes where there are none.
    """
    if indices.numel() == 0:
        return
    order = torch.argsort(indices, stable=True)
    ordered = indices[order]
    same = ordered[1:] == ordered[:-1]
    if not bool(same.any()):
        yield None
        return
    position = torch.arange(len(ordered), device=indices.device)
    start = torch.where(torch.cat([same.new_zeros(1), same]), 0, position).cummax(0).values
    rank = position - start
    for k in range(int(rank.max()) + 1):
        yield order[rank == k]
