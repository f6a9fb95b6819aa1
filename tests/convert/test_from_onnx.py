"""ONNX models as nets: every operator against PyTorch, and against ONNX Runtime where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from onnx_models import Arrays, model, node, run, run_by_runtime, run_net
from torch import nn
from torch.nn import functional as F

import freshpot.torch as ft
from freshpot.convert.from_onnx import converters, from_onnx
from freshpot.errors import NotSupportedError, ShapeError

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((2, 4, 7, 8)).astype("f4")
ROWS = RNG.standard_normal((3, 5)).astype("f4")
POSITIVE = np.abs(ROWS) + 0.1
UNIT = np.tanh(ROWS)
SEQ = RNG.standard_normal((5, 2, 3)).astype("f4")
LINE = RNG.standard_normal((2, 3, 9)).astype("f4")
W = (RNG.standard_normal((6, 4, 3, 3)) * 0.3).astype("f4")
W2 = (RNG.standard_normal((6, 2, 3, 3)) * 0.3).astype("f4")
WT = (RNG.standard_normal((4, 3, 3, 3)) * 0.3).astype("f4")
B6, B3 = RNG.standard_normal(6).astype("f4"), RNG.standard_normal(3).astype("f4")
M = RNG.standard_normal((5, 6)).astype("f4")
C4 = (np.abs(RNG.standard_normal(4)) + 0.5).astype("f4")
C5 = RNG.standard_normal(5).astype("f4")


@dataclass
class Case:
    """Nodes, the value of x, other fixed values, and what PyTorch makes of x."""

    nodes: Any
    x: np.ndarray
    wanted: Callable[[torch.Tensor], Any]
    fixed: Arrays = field(default_factory=dict)
    opset: int = 13
    outputs: Sequence[str] = ("y",)
    #: False where ONNX Runtime has no kernel, or another idea
    runtime: bool = True


def t(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(value)


def ints(*values: int) -> np.ndarray:
    return np.array(values, "i8")


def f(value: float) -> np.ndarray:
    return np.array(value, "f4")


def conv_same(x: torch.Tensor, upper: bool) -> torch.Tensor:
    more = (0, 1, 0, 1) if upper else (1, 0, 1, 0)
    height, width = (F.pad(x, (0, 0, 1, 1)), (0, 0))
    del height, width
    # 7 rows with stride 2 and kernel 3 want two rows of padding, 8 columns one
    return F.conv2d(F.pad(x, (more[0], more[1], 1, 1)), t(W), stride=2)


CASES: dict[str, Case] = {
    # activations
    "Relu": Case(node("Relu", "x"), ROWS, F.relu),
    "Sigmoid": Case(node("Sigmoid", "x"), ROWS, torch.sigmoid),
    "Tanh": Case(node("Tanh", "x"), ROWS, torch.tanh),
    "Exp": Case(node("Exp", "x"), ROWS, torch.exp),
    "Log": Case(node("Log", "x"), POSITIVE, torch.log),
    "Sqrt": Case(node("Sqrt", "x"), POSITIVE, torch.sqrt),
    "Abs": Case(node("Abs", "x"), ROWS, torch.abs),
    "Neg": Case(node("Neg", "x"), ROWS, torch.neg),
    "Floor": Case(node("Floor", "x"), ROWS, torch.floor),
    "Ceil": Case(node("Ceil", "x"), ROWS, torch.ceil),
    "Sign": Case(node("Sign", "x"), ROWS, torch.sign),
    "Sin": Case(node("Sin", "x"), ROWS, torch.sin),
    "Cos": Case(node("Cos", "x"), ROWS, torch.cos),
    "Tan": Case(node("Tan", "x"), UNIT, torch.tan),
    "Asin": Case(node("Asin", "x"), UNIT, torch.asin),
    "Acos": Case(node("Acos", "x"), UNIT, torch.acos),
    "Atan": Case(node("Atan", "x"), ROWS, torch.atan),
    "Sinh": Case(node("Sinh", "x"), ROWS, torch.sinh),
    "Cosh": Case(node("Cosh", "x"), ROWS, torch.cosh),
    "Erf": Case(node("Erf", "x"), ROWS, torch.erf),
    "Reciprocal": Case(node("Reciprocal", "x"), POSITIVE, torch.reciprocal),
    "Softplus": Case(node("Softplus", "x"), ROWS, F.softplus),
    "Softsign": Case(node("Softsign", "x"), ROWS, F.softsign),
    "LeakyRelu": Case(node("LeakyRelu", "x", alpha=0.2), ROWS, lambda x: F.leaky_relu(x, 0.2)),
    "LeakyRelu, its default": Case(node("LeakyRelu", "x"), ROWS, lambda x: F.leaky_relu(x, 0.01)),
    "Elu": Case(node("Elu", "x", alpha=0.5), ROWS, lambda x: F.elu(x, 0.5)),
    "Selu": Case(node("Selu", "x"), ROWS, F.selu),
    "HardSigmoid": Case(node("HardSigmoid", "x"), ROWS, lambda x: (0.2 * x + 0.5).clamp(0, 1)),
    "HardSwish": Case(node("HardSwish", "x"), ROWS, F.hardswish, opset=14),
    "Mish": Case(node("Mish", "x"), ROWS, F.mish, opset=18),
    "Gelu": Case(node("Gelu", "x"), ROWS, F.gelu, opset=20),
    "PRelu": Case(node("PRelu", "x s"), IMAGE, lambda x: F.prelu(x, t(C4)), {"s": C4.reshape(4, 1, 1)}),
    "PRelu, one slope": Case(node("PRelu", "x s"), IMAGE, lambda x: F.prelu(x, t(C4[:1])), {"s": C4[:1]}),
    "PRelu of version 6": Case(
        node("PRelu", "x s"), IMAGE, lambda x: F.prelu(x, t(C4)), {"s": C4}, opset=6, runtime=False
    ),
    "Clip of version 6": Case(node("Clip", "x", min=-0.5, max=1.0), ROWS, lambda x: x.clamp(-0.5, 1), opset=7),
    "Clip": Case(node("Clip", "x - h"), ROWS, lambda x: x.clamp(max=0.5), {"h": f(0.5)}),
    "Dropout of version 7": Case(node("Dropout", "x", ratio=0.3), ROWS, lambda x: x, opset=7),
    "Dropout": Case(node("Dropout", "x r"), ROWS, lambda x: x, {"r": f(0.3)}),
    "Identity": Case([node("Identity", "x", "i"), node("Relu", "i")], ROWS, F.relu),
    "Softmax of version 11": Case(
        node("Softmax", "x", axis=1), IMAGE, lambda x: x.flatten(1).softmax(1).view_as(x), opset=11
    ),
    "Softmax": Case(node("Softmax", "x", axis=1), IMAGE, lambda x: x.softmax(1)),
    "Softmax, its default": Case(node("Softmax", "x"), IMAGE, lambda x: x.softmax(-1)),
    "LogSoftmax of version 11": Case(
        node("LogSoftmax", "x", axis=2), IMAGE, lambda x: x.flatten(2).log_softmax(2).view_as(x), opset=11
    ),
    "LogSoftmax": Case(node("LogSoftmax", "x", axis=1), IMAGE, lambda x: x.log_softmax(1)),
    # arithmetic
    "Add": Case(node("Add", "x c"), IMAGE, lambda x: x + t(C4).view(4, 1, 1), {"c": C4.reshape(4, 1, 1)}),
    "Add of version 6": Case(
        node("Add", "x c", broadcast=1, axis=1), IMAGE, lambda x: x + t(C4).view(4, 1, 1), {"c": C4}, opset=6,
        runtime=False,
    ),
    "Sub": Case(node("Sub", "c x"), ROWS, lambda x: t(C5) - x, {"c": C5}),
    "Mul": Case(node("Mul", "x x"), ROWS, lambda x: x * x),
    "Div": Case(node("Div", "x c"), ROWS, lambda x: x / 4, {"c": f(4)}),
    "Pow": Case(node("Pow", "x c"), POSITIVE, lambda x: x**1.5, {"c": f(1.5)}),
    "Pow, whole": Case(node("Pow", "x c"), ROWS, lambda x: x**2, {"c": np.array([2], "i8")}),
    "Sum": Case(node("Sum", "x c x"), ROWS, lambda x: 2 * x + t(C5), {"c": C5}),
    "Max": Case(node("Max", "x c"), ROWS, lambda x: x.maximum(t(C5)), {"c": C5}),
    "Min": Case(node("Min", "x c"), ROWS, lambda x: x.minimum(torch.zeros(())), {"c": f(0)}),
    "Mean": Case(node("Mean", "x c"), ROWS, lambda x: (x + t(C5)) / 2, {"c": C5}),
    "Where": Case(
        [node("Greater", "x z", "g"), node("Where", "g x c")], ROWS, lambda x: x.where(x > 0, t(C5)),
        {"z": f(0), "c": C5},
    ),
    "comparisons": Case(
        [node("Less", "x z", "a"), node("LessOrEqual", "x z", "b"), node("Xor", "a b", "c"), node("Not", "c", "d"),
         node("Cast", "d", to=1)],
        ROWS, lambda x: torch.ones_like(x), {"z": f(0)},
    ),
    "logic": Case(
        [node("GreaterOrEqual", "x z", "a"), node("Equal", "x x", "b"), node("And", "a b", "c"), node("Or", "c a", "d"),
         node("Cast", "d", to=6)],
        ROWS, lambda x: (x >= 0).int(), {"z": f(0)},
    ),
    "Cast": Case([node("Cast", "x", "i", to=7), node("Cast", "i", to=1)], ROWS * 9, lambda x: x.trunc()),
    # layers
    "Conv": Case(node("Conv", "x w b", pads=[1] * 4), IMAGE, lambda x: F.conv2d(x, t(W), t(B6), padding=1),
                 {"w": W, "b": B6}),
    "Conv, groups": Case(
        node("Conv", "x w", group=2, strides=[2, 1], dilations=[1, 2], kernel_shape=[3, 3]), IMAGE,
        lambda x: F.conv2d(x, t(W2), None, (2, 1), 0, (1, 2), 2), {"w": W2},
    ),
    "Conv, uneven": Case(
        node("Conv", "x w", pads=[0, 1, 2, 0]), IMAGE, lambda x: F.conv2d(F.pad(x, (1, 0, 0, 2)), t(W)), {"w": W}
    ),
    "Conv, the same size, above": Case(
        node("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2]), IMAGE, lambda x: conv_same(x, True), {"w": W}
    ),
    "Conv, the same size, below": Case(
        node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2]), IMAGE, lambda x: conv_same(x, False), {"w": W}
    ),
    "Conv of lines": Case(
        node("Conv", "x w", pads=[1, 1]), LINE, lambda x: F.conv1d(x, t(W[:, :3, 0]), padding=1),
        {"w": np.ascontiguousarray(W[:, :3, 0])},
    ),
    "ConvTranspose": Case(
        node("ConvTranspose", "x w b", strides=[2, 2], pads=[1] * 4, output_padding=[1, 0]), IMAGE,
        lambda x: F.conv_transpose2d(x, t(WT), t(B3), 2, 1, (1, 0)), {"w": WT, "b": B3},
    ),
    "ConvTranspose, a size": Case(
        node("ConvTranspose", "x w", strides=[2, 2], output_shape=[14, 16]), IMAGE,
        lambda x: F.conv_transpose2d(x, t(WT), None, 2)[:, :, 1:, 1:], {"w": WT},
    ),
    "Gemm": Case(node("Gemm", "x w b", transB=1), ROWS, lambda x: F.linear(x, t(M.T.copy()), t(B6)),
                 {"w": M.T.copy(), "b": B6}),
    "Gemm, scaled": Case(
        node("Gemm", "x w b", alpha=0.5, beta=2.0), ROWS, lambda x: 0.5 * x @ t(M) + 2 * t(B6), {"w": M, "b": B6}
    ),
    "Gemm, turned": Case(node("Gemm", "x w", transA=1), ROWS, lambda x: x.T @ t(M[:3]), {"w": M[:3].copy()}),
    "MatMul and Add": Case(
        [node("MatMul", "x w", "m"), node("Add", "m b")], ROWS, lambda x: x @ t(M) + t(B6), {"w": M, "b": B6}
    ),
    "MatMul of three dimensions": Case(
        node("MatMul", "x w"), SEQ, lambda x: x @ t(M[:3]), {"w": np.ascontiguousarray(M[:3])}
    ),
    "MatMul of two results": Case(
        [node("Transpose", "x", "a", perm=[0, 2, 1]), node("MatMul", "x a")], SEQ, lambda x: x @ x.transpose(1, 2)
    ),
    "MaxPool": Case(node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2]), IMAGE, lambda x: F.max_pool2d(x, 2)),
    "MaxPool, rounded up": Case(
        node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, pads=[1] * 4), IMAGE,
        lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    ),
    "MaxPool, dilated": Case(
        node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 2]), IMAGE, lambda x: F.max_pool2d(x, 2, 1, 0, 2)
    ),
    "MaxPool of lines": Case(
        node("MaxPool", "x", kernel_shape=[3], strides=[2]), LINE, lambda x: F.max_pool1d(x, 3, 2)
    ),
    "AveragePool": Case(
        node("AveragePool", "x", kernel_shape=[3, 3], pads=[1] * 4), IMAGE,
        lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    ),
    "AveragePool, margins count": Case(
        node("AveragePool", "x", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1), IMAGE,
        lambda x: F.avg_pool2d(x, 3, 1, 1),
    ),
    "AveragePool, rounded up": Case(
        node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), IMAGE,
        lambda x: F.avg_pool2d(x, 2, 2, ceil_mode=True),
    ),
    "GlobalAveragePool": Case(node("GlobalAveragePool", "x"), IMAGE, lambda x: x.mean((2, 3), True)),
    "GlobalMaxPool": Case(node("GlobalMaxPool", "x"), IMAGE, lambda x: x.amax((2, 3), True)),
    "LpPool": Case(
        node("LpPool", "x", kernel_shape=[2, 2], strides=[2, 2]), IMAGE, lambda x: F.lp_pool2d(x, 2, 2)
    ),
    "BatchNormalization": Case(
        node("BatchNormalization", "x s b m v", epsilon=0.01), IMAGE,
        lambda x: F.batch_norm(x, t(C4 - 1), t(C4), t(C4 * 2), t(-C4), eps=0.01),
        {"s": C4 * 2, "b": -C4, "m": C4 - 1, "v": C4},
    ),
    "InstanceNormalization": Case(
        node("InstanceNormalization", "x s b"), IMAGE, lambda x: F.instance_norm(x, None, None, t(C4), t(-C4)),
        {"s": C4, "b": -C4},
    ),
    "LayerNormalization": Case(
        node("LayerNormalization", "x s b", epsilon=1e-3), ROWS, lambda x: F.layer_norm(x, (5,), t(C5), t(C5), 1e-3),
        {"s": C5, "b": C5}, opset=17,
    ),
    "LayerNormalization without bias": Case(
        node("LayerNormalization", "x s", axis=1), IMAGE,
        lambda x: F.layer_norm(x, (4, 7, 8), t(IMAGE[0])), {"s": IMAGE[0]}, opset=17,
    ),
    "LRN": Case(
        node("LRN", "x", size=3, alpha=0.1, beta=0.5, bias=2.0), IMAGE,
        lambda x: F.local_response_norm(x, 3, 0.1, 0.5, 2.0),
    ),
    "LpNormalization": Case(node("LpNormalization", "x", axis=1), ROWS, lambda x: F.normalize(x, dim=1)),
    # shapes
    "Reshape": Case(node("Reshape", "x s"), IMAGE, lambda x: x.reshape(2, -1, 4), {"s": ints(0, -1, 4)}),
    "Flatten": Case(node("Flatten", "x"), IMAGE, lambda x: x.flatten(1)),
    "Flatten, counted from behind": Case(node("Flatten", "x", axis=-1), IMAGE, lambda x: x.reshape(-1, 8)),
    "Transpose": Case(node("Transpose", "x"), SEQ, lambda x: x.permute(2, 1, 0)),
    "Squeeze of version 11": Case(node("Squeeze", "x", axes=[0, -1]), ROWS.reshape(1, 3, 5, 1), lambda x: x[0, ..., 0],
                                  opset=11),
    "Squeeze": Case(node("Squeeze", "x"), ROWS.reshape(1, 3, 5, 1), lambda x: x.squeeze()),
    "Unsqueeze of version 11": Case(node("Unsqueeze", "x", axes=[0, -1]), ROWS, lambda x: x[None, ..., None], opset=11),
    "Unsqueeze": Case(node("Unsqueeze", "x a"), ROWS, lambda x: x[:, None], {"a": ints(1)}),
    "Concat": Case(node("Concat", "x c x", axis=-1), ROWS, lambda x: torch.cat([x, t(M[:3]), x], 1),
                   {"c": np.ascontiguousarray(M[:3])}),
    "Split of version 11": Case(
        node("Split", "x", "a b", axis=1, split=[2, 3]), ROWS, lambda x: list(x.split([2, 3], 1)), opset=11,
        outputs=("a", "b"),
    ),
    "Split": Case(node("Split", "x", "a b", axis=1), IMAGE, lambda x: list(x.chunk(2, 1)), outputs=("a", "b")),
    "Split, one part unread": Case(
        node("Split", "x s", "a y", axis=0), ROWS, lambda x: x[1:], {"s": ints(1, 2)}
    ),
    "Slice of version 9": Case(
        node("Slice", "x", starts=[1, -3], ends=[99, -1], axes=[2, 3]), IMAGE, lambda x: x[:, :, 1:, -3:-1], opset=9
    ),
    "Slice": Case(
        node("Slice", "x s e a p"), IMAGE, lambda x: x[:, 1:3].flip(3),
        {"s": ints(1, -1), "e": ints(3, -(2**63)), "a": ints(1, 3), "p": ints(1, -1)},
    ),
    "Slice, every other": Case(
        node("Slice", "x s e a p"), ROWS, lambda x: x[:, ::2], {"s": ints(0), "e": ints(2**62), "a": ints(1),
                                                               "p": ints(2)},
    ),
    "Gather": Case(node("Gather", "x i", axis=1), ROWS, lambda x: x[:, [4, 0, -1]], {"i": ints(4, 0, -1)}),
    "Gather, one": Case(node("Gather", "x i", axis=0), ROWS, lambda x: x[1], {"i": np.array(1, "i8")}),
    "Gather from a table": Case(
        node("Gather", "w x"), np.array([[1, 2], [0, 4]], "i8"), lambda x: F.embedding(x, t(M)), {"w": M}
    ),
    "GatherElements": Case(
        node("GatherElements", "x i", axis=1), ROWS, lambda x: x.gather(1, t(np.array([[0, 1], [1, 0], [4, 4]]))),
        {"i": np.array([[0, 1], [1, 0], [4, 4]], "i8")},
    ),
    "Expand": Case(node("Expand", "x s"), ROWS, lambda x: x.expand(2, 3, 5), {"s": ints(2, 1, 5)}),
    "Tile": Case(node("Tile", "x s"), ROWS, lambda x: x.repeat(2, 3), {"s": ints(2, 3)}),
    "Pad of version 2": Case(
        node("Pad", "x", pads=[0, 0, 1, 2, 0, 0, 3, 0], value=0.5), IMAGE, lambda x: F.pad(x, (2, 0, 1, 3), value=0.5),
        opset=9,
    ),
    "Pad": Case(
        node("Pad", "x p", mode="reflect"), IMAGE, lambda x: F.pad(x, (2, 0, 1, 3), "reflect"),
        {"p": ints(0, 0, 1, 2, 0, 0, 3, 0)},
    ),
    "Pad, the edge": Case(
        node("Pad", "x p", mode="edge"), LINE, lambda x: F.pad(x, (2, 1), "replicate"), {"p": ints(0, 0, 2, 0, 0, 1)}
    ),
    "DepthToSpace": Case(node("DepthToSpace", "x", blocksize=2, mode="CRD"), IMAGE, lambda x: F.pixel_shuffle(x, 2)),
    "SpaceToDepth": Case(
        [node("DepthToSpace", "x", "d", blocksize=2), node("SpaceToDepth", "d", blocksize=2)], IMAGE, lambda x: x
    ),
    "Upsample of version 7": Case(
        node("Upsample", "x", mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]), IMAGE,
        lambda x: F.interpolate(x, scale_factor=(2, 3)), opset=7,
    ),
    "Upsample": Case(
        node("Upsample", "x s"), IMAGE, lambda x: F.interpolate(x, scale_factor=2), {"s": np.array([1, 1, 2, 2], "f4")},
        opset=9,
    ),
    "Resize of version 10": Case(
        node("Resize", "x s", mode="nearest"), IMAGE, lambda x: F.interpolate(x, (3, 4)),
        {"s": np.array([1, 1, 0.5, 0.5], "f4")}, opset=10,
    ),
    "Resize, linear": Case(
        node("Resize", "x - - s", mode="linear"), IMAGE, lambda x: F.interpolate(x, (9, 5), mode="bilinear"),
        {"s": ints(2, 4, 9, 5)},
    ),
    "Resize, corners": Case(
        node("Resize", "x - s", mode="linear", coordinate_transformation_mode="align_corners"), IMAGE,
        lambda x: F.interpolate(x, (14, 16), mode="bilinear", align_corners=True), {"s": np.array([1, 1, 2, 2], "f4")},
    ),
    "Resize, cubic": Case(
        node("Resize", "x - s", mode="cubic"), IMAGE, lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
        {"s": np.array([1, 1, 2, 2], "f4")},
    ),
    "Resize, nearest of no usual kind": Case(
        node("Resize", "x - - s", nearest_mode="ceil", coordinate_transformation_mode="half_pixel"), IMAGE,
        lambda x: x[:, :, [1, 2, 3, 5, 6]][:, :, :, [1, 2, 4, 6, 7]], {"s": ints(2, 4, 5, 5)},
    ),
    # reductions
    "ReduceSum": Case(node("ReduceSum", "x a", keepdims=0), IMAGE, lambda x: x.sum((1, 3)), {"a": ints(1, -1)}),
    "ReduceSum of version 11": Case(node("ReduceSum", "x", axes=[1]), IMAGE, lambda x: x.sum(1, True), opset=11),
    "ReduceMean": Case(node("ReduceMean", "x", axes=[2, 3]), IMAGE, lambda x: x.mean((2, 3), True)),
    "ReduceMean of version 18": Case(
        node("ReduceMean", "x a"), IMAGE, lambda x: x.mean((2, 3), True), {"a": ints(2, 3)}, opset=18
    ),
    "ReduceMax": Case(node("ReduceMax", "x", axes=[1], keepdims=0), IMAGE, lambda x: x.amax(1)),
    "ReduceMin": Case(node("ReduceMin", "x", keepdims=0), ROWS, lambda x: x.min()),
    "ReduceL1": Case(node("ReduceL1", "x", axes=[1]), ROWS, lambda x: x.abs().sum(1, True)),
    "ReduceL2": Case(node("ReduceL2", "x", axes=[1]), ROWS, lambda x: x.norm(dim=1, keepdim=True)),
    "ReduceSumSquare": Case(node("ReduceSumSquare", "x", axes=[1]), ROWS, lambda x: x.square().sum(1, True)),
    "ReduceLogSum": Case(node("ReduceLogSum", "x", axes=[1]), POSITIVE, lambda x: x.sum(1, True).log()),
    "ReduceLogSumExp": Case(
        node("ReduceLogSumExp", "x", axes=[1], keepdims=0), ROWS * 50, lambda x: x.logsumexp(1)
    ),
    "ArgMax": Case(node("ArgMax", "x", axis=1, keepdims=0), ROWS, lambda x: x.argmax(1)),
    "ArgMin": Case(node("ArgMin", "x", axis=0), ROWS, lambda x: x.argmin(0, True)),
    "TopK": Case(node("TopK", "x k", "y i", axis=1), ROWS, lambda x: list(x.topk(2, 1)), {"k": ints(2)},
                 outputs=("y", "i")),
    # what is worked out beforehand
    "constants": Case(
        [node("Constant", "", "a", value=np.float32([1, 2, 3, 4, 5])), node("Constant", "", "b", value_float=2.0),
         node("Mul", "a b", "c"), node("Add", "x c")],
        ROWS, lambda x: x + 2 * torch.arange(1, 6),
    ),
    "a shape": Case(
        [node("Shape", "x", "s"), node("Gather", "s i", "n"), node("Unsqueeze", "n z", "u"), node("Concat", "u m", "t",
                                                                                                  axis=0),
         node("Reshape", "x t")],
        IMAGE, lambda x: x.flatten(1), {"i": np.array(0, "i8"), "z": ints(0), "m": ints(-1)},
    ),
    "Range and ConstantOfShape": Case(
        [node("Range", "a b c", "r"), node("Cast", "r", "f", to=1), node("Shape", "f", "s"),
         node("ConstantOfShape", "s", "o", value=np.float32([3])), node("Mul", "o f", "p"), node("Add", "x p")],
        ROWS, lambda x: x + 3 * torch.arange(5), {"a": np.array(0, "i8"), "b": np.array(5, "i8"),
                                                  "c": np.array(1, "i8")},
    ),
}  # fmt: skip


def values_of(made: Any) -> list[np.ndarray]:
    return [value.numpy() for value in (made if isinstance(made, (list, tuple)) else [made])]


@pytest.mark.parametrize("name", CASES)
def test_operators(name: str) -> None:
    case = CASES[name]
    found = run(model(case.nodes, {"x": case.x}, case.fixed, case.outputs, case.opset), {"x": case.x})
    wanted = values_of(case.wanted(t(case.x)))
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.runtime])
def test_operators_beside_onnx_runtime(name: str) -> None:
    case = CASES[name]
    proto = model(case.nodes, {"x": case.x}, case.fixed, case.outputs, case.opset)
    wanted = run_by_runtime(proto, {"x": case.x})
    for a, b in zip(run(proto, {"x": case.x}), wanted, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_every_converter_is_tested() -> None:
    made = [
        n for case in CASES.values() for n in (case.nodes if isinstance(case.nodes, list) else [case.nodes])
    ]
    recurrent = {"LSTM", "GRU", "RNN", "GlobalLpPool"}
    assert set(converters()) - {n.op_type for n in made} == recurrent


# ---- recurrent layers ----------------------------------------------------------------------------------
def weights_of(layer: nn.RNNBase, order: list[int]) -> dict[str, np.ndarray]:
    """PyTorch's weights in ONNX's order of gates."""

    def turned(value: torch.Tensor) -> np.ndarray:
        return np.concatenate([np.split(value.detach().numpy(), len(order))[i] for i in order])

    ends = ["_l0", "_l0_reverse"] if layer.bidirectional else ["_l0"]
    W, R = (np.stack([turned(getattr(layer, f"weight_{k}{e}")) for e in ends]) for k in ("ih", "hh"))
    biases = [[turned(getattr(layer, f"bias_{k}{e}")) for k in ("ih", "hh")] for e in ends]
    return {"w": W, "r": R, "b": np.stack([np.concatenate(pair) for pair in biases])}


@pytest.mark.parametrize("way", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("kind", "order"), [("LSTM", [0, 3, 1, 2]), ("GRU", [1, 0, 2]), ("RNN", [0])])
@pytest.mark.parametrize("states", [False, True])
def test_recurrent_layers(kind: str, order: list[int], way: str, states: bool) -> None:
    torch.manual_seed(1)
    two = way == "bidirectional"
    layer = getattr(nn, kind)(3, 4, bidirectional=two)
    fixed = weights_of(layer, order)
    more = {"linear_before_reset": 1} if kind == "GRU" else {}
    firsts = [torch.randn(1 + two, 2, 4) for _ in range(2 if kind == "LSTM" else 1)]
    inputs = "x w r b"
    if states:
        fixed.update((f"s{i}", first.numpy()) for i, first in enumerate(firsts))
        inputs += " - s0 s1" if kind == "LSTM" else " - s0"
    outputs = ("y", "h", "c") if kind == "LSTM" else ("y", "h")
    proto = model(
        node(kind, inputs, " ".join(outputs), hidden_size=4, direction=way, **more),
        {"x": SEQ},
        fixed,
        outputs,
    )
    given = (firsts[0] if len(firsts) == 1 else tuple(firsts)) if states else None
    x = t(SEQ)
    y, last = layer(x.flip(0) if way == "reverse" else x, given)
    y = y.flip(0) if way == "reverse" else y
    wanted = [y.view(5, 2, 1 + two, 4).transpose(1, 2), *(last if isinstance(last, tuple) else (last,))]
    found = run(proto, {"x": SEQ})
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-4, atol=1e-5)
    if "onnxruntime" in sys.modules:
        for a, b in zip(found, run_by_runtime(proto, {"x": SEQ}), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# ---- the batch -----------------------------------------------------------------------------------------
FOLLOWING = [
    node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
    node("Shape", "c", "s"),
    node("Slice", "s zero one", "n"),
    node("Concat", "n rest", "to", axis=0),
    node("Reshape", "c to", "flat"),
    node("Concat", "n width", "size", axis=0),
    node("ConstantOfShape", "size", "ones", value=np.float32([1])),
    node("Concat", "flat ones", "wide", axis=1),
    node("Expand", "row size", "rows"),
    node("Concat", "wide rows", "y", axis=1),
]
FIXED = {
    "w": W,
    "zero": ints(0),
    "one": ints(1),
    "rest": ints(-1),
    "width": ints(3),
    "row": f(2).reshape(1, 1),
}


def test_an_open_batch_stays_open() -> None:
    proto = model(FOLLOWING, {"x": ("float32", ("N", 4, 7, 8))}, FIXED)
    made = from_onnx(proto)
    assert made.inputs == {"x": ([None, 4, 7, 8], torch.float32)}
    for batch in (1, 3):
        x = RNG.standard_normal((batch, 4, 7, 8)).astype("f4")
        (y,) = run_net(made, {"x": x})
        flat = F.conv2d(t(x), t(W), padding=1).flatten(1)
        wanted = torch.cat([flat, torch.ones(batch, 3), torch.full((batch, 3), 2.0)], 1)
        np.testing.assert_allclose(y, wanted.numpy(), rtol=1e-4, atol=1e-5)
    net = ft.module(made.net, made.parameters)
    assert net(t(IMAGE)).shape == (2, 6 * 56 + 6)


HALVES = [
    node("Shape", "x", "s"),
    node("Gather", "s zero", "n"),
    node("Div", "n two", "h"),
]


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("Concat", "h rest", "to", axis=0), node("Reshape", "x to")], r"fixed_batch=True"),
        (
            [node("Concat", "zero h", "b", axis=0), node("Gather", "x h", axis=1)],
            "depends on the batch in a way",
        ),
        ([node("Cast", "n", "c", to=1), node("Add", "x c")], "depends on the batch in a way"),
        ([node("Gather", "x n", axis=1)], "which follows the batch, is used as a number"),
        ([node("Split", "x", "y z", axis=0)], "parts of the batch"),
        ([node("Range", "zero n one", "r"), node("Add", "r x")], "Range has no converter"),
    ],
)
def test_what_follows_the_batch_in_another_way_is_refused(nodes: list[Any], words: str) -> None:
    fixed = {"zero": ints(0), "two": ints(2), "rest": ints(-1), "one": ints(1)}
    with pytest.raises((NotSupportedError, ShapeError), match=words) as caught:
        from_onnx(model(HALVES + nodes, {"x": ("float32", ("N", 4))}, fixed))
    assert "10007" not in str(caught.value)


def test_a_batch_that_is_fixed() -> None:
    nodes = [*HALVES, node("Concat", "h rest", "to", axis=0), node("Reshape", "x to")]
    fixed = {"zero": ints(0), "two": ints(2), "rest": ints(-1)}
    proto = model(nodes, {"x": ("float32", ("N", 4))}, fixed)
    (y,) = run(proto, {"x": ROWS[:2, :4].copy()}, shapes={"x": [2, 4]}, fixed_batch=True)
    assert y.shape == (1, 8)
