"""Operators that tell their outputs' shapes from sizes alone: as the kernel makes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from freshpot.net import registry
from freshpot.net.op import Op

_WINDOW = {"kernels": [3, 2], "strides": [2, 1], "pads": [1, 1]}


@pytest.mark.parametrize(
    ("type", "shapes", "outputs", "args"),
    [
        ("Conv", [(2, 4, 7, 8), (6, 2, 3, 3), (6,)], 1, {"kernel": 3, "group": 2, "stride": 2, "pad": 1}),
        ("Conv", [(2, 7, 8, 4), (6, 3, 3, 4)], 1, {"kernel": 3, "order": "NHWC", "dilation": 2}),
        ("Conv1D", [(2, 4, 9), (6, 4, 3)], 1, {"kernels": [3]}),
        ("Conv3D", [(1, 2, 5, 6, 7), (3, 2, 3, 3, 3)], 1, {"kernels": [3, 3, 3]}),
        ("ConvRelu", [(2, 4, 7, 8), (6, 4, 3, 3), (6,)], 1, {"kernel": 3, "pad": 1}),
        ("ConvGradient", [(2, 4, 7, 8), (6, 4, 3, 3), (2, 6, 5, 6)], 3, {"kernel": 3}),
        ("ConvGradient", [(2, 4, 7, 8), (6, 4, 3, 3), (2, 6, 5, 6)], 2, {"kernel": 3}),
        ("ConvGradient", [(2, 4, 7, 8), (6, 4, 3, 3), (2, 6, 5, 6)], 2, {"kernel": 3, "no_bias": 1}),
        ("FC", [(2, 3, 4), (5, 12), (5,)], 1, {}),
        ("FC", [(2, 3, 4), (5, 2, 2), (5,)], 1, {"axis": -1}),
        ("Relu", [(2, 3)], 1, {}),
        ("CaffeMaxPool", [(2, 3, 7, 8)], 1, _WINDOW),
        ("CaffeMaxPool", [(2, 3, 7, 8)], 2, {**_WINDOW, "round_up": 0}),
        ("CaffeMaxPool", [(2, 3, 7, 8)], 3, _WINDOW),
        ("CaffeAveragePool", [(2, 3, 7, 8)], 1, {"global_pooling": 1}),
        ("StochasticPool", [(2, 3, 7, 8)], 2, _WINDOW),
        ("CaffeSoftmaxWithLoss", [(4, 5, 3), (12,)], 2, {"axis": 1}),
    ],
)
def test_shapes_and_types_are_the_kernels(
    type: str, shapes: list[tuple[int, ...]], outputs: int, args: dict[str, Any]
) -> None:
    op = Op(type, [f"i{k}" for k in range(len(shapes))], [f"o{k}" for k in range(outputs)], args)
    inputs = [torch.zeros(shape) for shape in shapes]
    operator = registry.get(type)(op)
    operator.check_inputs(inputs)
    made = operator.kernel(*inputs)
    made = list(made) if isinstance(made, (tuple, list)) else [made]
    told = operator.infer(*(torch.empty(shape, device="meta") for shape in shapes))
    assert told is not None
    assert all(tensor.is_meta for tensor in told)
    assert [(t.shape, t.dtype) for t in told] == [(t.shape, t.dtype) for t in made[:outputs]]
