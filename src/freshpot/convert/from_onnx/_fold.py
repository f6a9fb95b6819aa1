"""What is known beforehand: constants, shapes, and what follows from them.

Owned here: ONNX operators in numpy, for values that are the same at every run. Who calls it: `_model`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from freshpot.convert.from_onnx._graph import Array, Graph, Node
from freshpot.formats.onnx_file import TYPES

#: elements of a value that is worked out beforehand
_MOST = 1 << 24
#: operators whose results share their input's memory
_VIEWS = ("Identity", "Squeeze", "Unsqueeze", "Slice", "Split", "Reshape")
Fold = Callable[[Node, list[Array]], Any]


def narrowed(value: Array) -> Array:
    """The value in a type that nets have: every fraction a float32, every large whole number an int64."""
    if value.dtype.kind == "f":
        return value.astype(np.float32, copy=False)
    if value.dtype in (np.uint32, np.uint64):
        return value.astype(np.int64)
    return value


def fold(graph: Graph, node: Node) -> bool:
    """Work the node out if it can be; True if it was."""
    if node.type == "Constant":
        graph.known[node.only_output()] = narrowed(_constant(node))
        return True
    if node.type in ("Shape", "Size"):
        return _sizes(graph, node)
    function = _FOLDS.get(node.type)
    if function is None or any(name and name not in graph.known for name in node.inputs):
        return False
    values = [graph.known[name] for name in node.inputs if name]
    try:
        if not _has_room(graph, node, values):
            return False
        with np.errstate(all="ignore"):
            made = function(node, values)
    except (ValueError, IndexError, TypeError, OverflowError, AttributeError) as error:
        node.refuse(f"it cannot be worked out: {error}.")
    results = made if isinstance(made, list) else [made]
    for name, value in zip(node.places, results, strict=False):
        if name:
            graph.known[name] = narrowed(np.asarray(value))
    return True


def _has_room(graph: Graph, node: Node, values: list[Array]) -> bool:
    """False if the result follows the batch in size, or is too large to be kept."""
    shape: tuple[int, ...] = ()
    if node.type == "ConstantOfShape":
        shape = tuple(values[0].reshape(-1).tolist())
    elif node.type == "Expand":
        shape = (*values[0].shape, *values[1].reshape(-1).tolist())
        shape = tuple(n for n in shape if graph.is_open(n)) or np.broadcast_shapes(
            values[0].shape, tuple(values[1])
        )
    elif node.type == "Tile":
        repeats = values[1].reshape(-1).tolist()
        shape = (*values[0].shape, *repeats)
    elif node.type == "Range":
        start, limit, delta = (float(v.reshape(-1)[0]) for v in values)
        shape = (max(0, math.ceil((limit - start) / delta)) if delta else 0,)
    elif len(values) > 1 and (node.type in _BINARY or node.type in _SPREAD):
        try:
            shape = np.broadcast_shapes(*[v.shape for v in values])
        except ValueError:
            node.refuse("its inputs do not broadcast.")
    if any(map(graph.is_open, shape)):
        return False
    count = math.prod(max(0, n) for n in shape)
    if node.type == "Concat":
        count = sum(v.size for v in values)
    elif node.type == "Gather":
        count = values[1].size * (values[0].size // max(1, values[0].shape[node.attribute("axis", 0)]))
    elif node.type == "NonZero":
        count = values[0].ndim * values[0].size
    elif node.type in _VIEWS:
        shares = node.type != "Reshape" or values[0].flags.c_contiguous
        return graph.has_room(0 if shares else values[0].size)
    elif not shape:
        return graph.has_room(values[0].size)  # as many as there are already
    return count <= _MOST and graph.has_room(count)


def _constant(node: Node) -> Array:
    for name, dtype in (
        ("value_float", "float32"),
        ("value_floats", "float32"),
        ("value_int", "int64"),
        ("value_ints", "int64"),
    ):
        if node.has(name):
            return np.asarray(node.attribute(name), dtype)
    value = node.attribute("value")
    if not isinstance(value, np.ndarray):
        node.refuse("a constant of this kind is not converted.")
    return value


def _sizes(graph: Graph, node: Node) -> bool:
    shape = node.shape()
    if node.type == "Size":
        graph.known[node.only_output()] = np.asarray(math.prod(shape), np.int64)
        return True
    start, end = node.attribute("start", 0), node.attribute("end", len(shape))
    graph.known[node.only_output()] = np.asarray(shape[start:end], np.int64)
    return True


def _cast(node: Node, values: list[Array]) -> Array:
    to = node.attribute("to")
    node.attribute("saturate")
    if to not in TYPES:
        node.refuse(f"element type {to} is not converted.")
    return values[0].astype(TYPES[to][0])


def _gather(node: Node, values: list[Array]) -> Array:
    return np.take(values[0], values[1], node.attribute("axis", 0))


def _axes(node: Node, values: list[Array]) -> list[int] | None:
    if node.has("axes"):
        return [int(a) for a in node.attribute("axes")]
    return [int(a) for a in values[1].reshape(-1)] if len(values) > 1 else None


def _squeeze(node: Node, values: list[Array]) -> Array:
    axes = _axes(node, values)
    return np.squeeze(values[0], None if axes is None else tuple(axes))


def _slice(node: Node, values: list[Array]) -> Array:
    starts, ends, axes, steps = slice_bounds(node, values)
    at: list[Any] = [slice(None)] * values[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = values[0].shape[axis]
        at[axis] = slice(*_python_bounds(start, end, step, size))
    return values[0][tuple(at)]


def _python_bounds(start: int, end: int, step: int, size: int) -> tuple[int, int | None, int]:
    last = None if step < 0 and end < -size else end
    return start, last, step


def slice_bounds(node: Node, values: list[Array]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Starts, ends, axes and steps of a Slice, from attributes or from inputs (values behind the data)."""
    if node.has("starts"):
        starts, ends = node.attribute("starts"), node.attribute("ends")
        return starts, ends, node.attribute("axes", list(range(len(starts)))), [1] * len(starts)
    starts, ends = (v.reshape(-1).tolist() for v in values[1:3])
    axes = values[3].reshape(-1).tolist() if len(values) > 3 else list(range(len(starts)))
    return starts, ends, axes, values[4].reshape(-1).tolist() if len(values) > 4 else [1] * len(starts)


def _reshape(node: Node, values: list[Array]) -> Array:
    zero = node.attribute("allowzero", 0)
    sizes = [
        values[0].shape[i] if n == 0 and not zero else int(n) for i, n in enumerate(values[1].reshape(-1))
    ]
    return values[0].reshape(sizes)


def _reduce(function: Callable[..., Array]) -> Fold:
    def reduced(node: Node, values: list[Array]) -> Array:
        axes, keep = _axes(node, values), bool(node.attribute("keepdims", 1))
        if not axes and node.attribute("noop_with_empty_axes", 0):
            return values[0]
        return function(values[0], axis=tuple(axes) if axes else None, keepdims=keep)

    return reduced


def _concat(node: Node, values: list[Array]) -> Array:
    return np.concatenate(values, node.attribute("axis"))


def _split(node: Node, values: list[Array]) -> list[Array]:
    axis, count = node.attribute("axis", 0), len(node.places)
    sizes = node.attribute("split") or (values[1].tolist() if len(values) > 1 else None)
    node.attribute("num_outputs")
    if sizes is None:
        size = -(-values[0].shape[axis] // count)
        sizes = [size] * (count - 1) + [values[0].shape[axis] - size * (count - 1)]
    return list(np.split(values[0], np.cumsum(sizes)[:-1].tolist(), axis))


def _fill(node: Node, values: list[Array]) -> Array:
    value = node.attribute("value")
    value = np.zeros(1, np.float32) if value is None else value
    return np.full(values[0].reshape(-1).tolist(), value.reshape(-1)[0], value.dtype)


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not np.all(b):
        raise ValueError("a division by 0")
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)


def _modulo(node: Node, values: list[Array]) -> Array:
    return (np.fmod if node.attribute("fmod", 0) else np.mod)(*values)


_BINARY: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Where": np.where,
}


_SPREAD = ("Pow", "Mod", "Min", "Max", "Sum")


def _plain(function: Callable[..., Array]) -> Fold:
    return lambda node, values: function(*values)


def _many(function: Callable[..., Array]) -> Fold:
    def over(node: Node, values: list[Array]) -> Array:
        made = values[0]
        for value in values[1:]:
            made = function(made, value)
        return made

    return over


_FOLDS: dict[str, Fold] = {
    **{name: _plain(function) for name, function in _BINARY.items()},
    "Pow": lambda node, v: np.power(v[0], v[1]).astype(v[0].dtype),
    "Mod": _modulo,
    "Min": _many(np.minimum),
    "Max": _many(np.maximum),
    "Sum": _many(np.add),
    "Not": _plain(np.logical_not),
    "Neg": _plain(np.negative),
    "Abs": _plain(np.abs),
    "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil),
    "Sqrt": _plain(np.sqrt),
    "Exp": _plain(np.exp),
    "Log": _plain(np.log),
    "Reciprocal": lambda node, v: (1 / v[0]).astype(v[0].dtype),
    "Identity": lambda node, v: v[0],
    "Cast": _cast,
    "Gather": _gather,
    "Squeeze": _squeeze,
    "Unsqueeze": lambda node, v: np.expand_dims(v[0], tuple(_axes(node, v) or ())),
    "Slice": _slice,
    "Reshape": _reshape,
    "Transpose": lambda node, v: np.transpose(v[0], node.attribute("perm")).copy(),
    "Concat": _concat,
    "Split": _split,
    "ConstantOfShape": _fill,
    "Range": lambda node, v: np.arange(*[n.reshape(-1)[0] for n in v], dtype=v[0].dtype),
    "Expand": lambda node, v: np.broadcast_to(
        v[0], np.broadcast_shapes(v[0].shape, tuple(v[1].tolist()))
    ).copy(),
    "Tile": lambda node, v: np.tile(v[0], v[1].reshape(-1).tolist()),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceMean": _reduce(np.mean),
    "NonZero": lambda node, v: np.array(np.nonzero(v[0]), np.int64),
}
