"""Which sequences of a batch still run at a step. Who calls it: the units of recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from freshpot.ops._operator import Operator


def running(rest: Sequence[Tensor]) -> Tensor | None:
    """Mask (N, 1) of the sequences longer than the step; None if all are. ``rest``: lengths, step, …"""
    lengths, timestep = rest[0], rest[1]
    step = timestep.item()
    if lengths.device.type == "cpu" and (lengths.numel() == 0 or lengths.min().item() > step):
        return None
    return (lengths > step).unsqueeze(-1)


def check_lengths(operator: Operator, lengths: Tensor, batch: int) -> None:
    """Refuse lengths that are not one a sequence."""
    if lengths.numel() != batch:
        operator.refuse(
            f"seq_lengths must have one entry for each of {batch} sequences, got {lengths.numel()}."
        )
