"""summary: a table of layers, shapes and numbers of parameters."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._state import default_float, to_dtype
from freshpot.paddle._tensor import Tensor, wrap
from freshpot.paddle.nn.layer import Layer

__all__ = ["summary"]


def summary(net: Layer, input_size: Any = None, dtypes: Any = None, input: Any = None) -> dict[str, int]:
    """Run the network on zeros and print its layers; ``total_params`` and ``trainable_params``.

    Raises:
        ArgumentError: neither a size nor an input.
    """
    if input is None and input_size is None:
        raise ArgumentError("summary: give input_size, for instance (1, 1, 28, 28)")
    sizes = [input_size] if input_size is not None and isinstance(input_size[0], int) else input_size
    kind = default_float() if dtypes is None else to_dtype(dtypes[0] if isinstance(dtypes, list) else dtypes)
    inputs = [input] if input is not None else [_zeros(size, kind) for size in sizes]
    rows: list[tuple[str, str, str, int]] = []
    hooks = [
        layer.register_forward_post_hook(_row(rows, number))
        for number, layer in enumerate((one for one in net.sublayers() if not one.sublayers()), 1)
    ]
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            net(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
        if training:
            net.train()
    total = sum(p.size for p in net.parameters())
    learning = sum(p.size for p in net.parameters() if not p.stop_gradient)
    _print(rows, total, learning)
    return {"total_params": total, "trainable_params": learning}


def _zeros(size: Any, kind: torch.dtype) -> Tensor:
    return wrap(torch.zeros([1 if part is None or part < 0 else part for part in size], dtype=kind))


def _row(rows: list[tuple[str, str, str, int]], number: int) -> Any:
    def hook(layer: Layer, inputs: Any, output: Any) -> None:
        own = sum(p.size for p in layer.parameters(include_sublayers=False))
        name = f"{type(layer).__name__}-{number}"
        rows.append((name, str([x.shape for x in inputs]), str(getattr(output, "shape", "")), own))

    return hook


def _print(rows: list[tuple[str, str, str, int]], total: int, learning: int) -> None:
    line = "-" * 75
    print(line)
    print(f"{'Layer (type)':^15} {'Input Shape':^20} {'Output Shape':^20} {'Param #':^15}")
    print("=" * 75)
    for name, into, out, count in rows:
        print(f"{name:^15} {into:^20} {out:^20} {count:^15,}")
    print("=" * 75)
    print(
        f"Total params: {total:,}\nTrainable params: {learning:,}\nNon-trainable params: {total - learning:,}"
    )
    print(line)
