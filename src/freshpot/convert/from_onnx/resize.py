"""Images made larger or smaller."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from freshpot.convert.from_onnx._graph import Array, Graph, Node, onnx

#: the largest size that is changed, or made
_LONGEST = 1 << 20


@onnx("Upsample", "Resize")
def resize(graph: Graph, node: Node) -> None:
    shape, old = node.shape(), node.type == "Upsample" or node.version < 11
    sizes, scales = _sizes(graph, node, old)
    how = "asymmetric" if old else node.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else node.attribute("nearest_mode", "round_prefer_floor")
    mode = node.attribute("mode", "nearest")
    factor = float(node.attribute("cubic_coeff_a", -0.75))
    if node.attribute("exclude_outside", 0) or node.attribute("antialias", 0) or how == "tf_crop_and_resize":
        node.refuse("exclude_outside, antialias and cropping are not converted.")
    node.attribute("extrapolation_value")
    if node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch" or node.has("axes"):
        node.refuse("axes and a kept aspect ratio are not converted.")
    if min(sizes) < 1:
        node.refuse(f"sizes {sizes} leave nothing.")
    changed = [i for i, (n, size) in enumerate(zip(shape, sizes, strict=True)) if n != size]
    if any(graph.is_open(shape[i]) for i in changed):
        node.refuse("the batch cannot be resized.")
    if max((n for i in changed for n in (shape[i], sizes[i])), default=0) > _LONGEST:
        node.refuse(f"sizes {graph.words(shape)} and {sizes} are too large.")
    if mode == "nearest":
        _nearest(graph, node, sizes, scales, changed, how, rounding)
        return
    words = {
        ("linear", 3): "linear",
        ("linear", 4): "bilinear",
        ("linear", 5): "trilinear",
        ("cubic", 4): "bicubic",
    }
    kind = words.get((mode, len(shape)))
    if kind is None or any(i < 2 for i in changed) or (mode == "cubic" and factor != -0.75):
        node.refuse(f"mode {mode} of {graph.words(shape)} is not converted.")
    if how == "pytorch_half_pixel" and all(sizes[i] > 1 for i in changed):
        how = "half_pixel"
    if how not in ("half_pixel", "align_corners"):
        node.refuse(f"mode {mode} with coordinates {how} is not converted.")
    exact = all(n * s == size for n, s, size in zip(shape, scales, sizes, strict=True))
    if how == "align_corners" and not exact:
        node.refuse("scales that make no whole sizes are not converted with align_corners.")
    args: dict[str, Any] = {"sizes": sizes[2:], "mode": kind, "align_corners": int(how == "align_corners")}
    if how == "half_pixel" and any(n * s != size for n, s, size in zip(shape, scales, sizes, strict=True)):
        args["scales"] = [float(s) for s in scales[2:]]
    graph.op("Interpolate", [graph.blob(node.inputs[0])], node.only_output(), **args)


def _sizes(graph: Graph, node: Node, old: bool) -> tuple[list[int], list[float]]:
    """The sizes that it makes, and the factors."""
    shape, at = node.shape(), 1 if old else 2
    if node.has("scales"):
        scales = [float(s) for s in node.attribute("scales")]
    elif node.given(at) and node.fixed(at, "scales").size:
        scales = [float(s) for s in node.fixed(at, "scales").reshape(-1)]
    elif old:
        node.refuse("its scales are missing.")
    else:
        sizes = [int(n) for n in node.fixed(3, "sizes").reshape(-1)]
        if len(sizes) != len(shape):
            node.refuse(f"{len(sizes)} sizes do not fit {graph.words(shape)}.")
        return sizes, [size / n for size, n in zip(sizes, shape, strict=True)]
    if len(scales) != len(shape):
        node.refuse(f"{len(scales)} scales do not fit {graph.words(shape)}.")
    return [n if s == 1 else math.floor(n * s) for n, s in zip(shape, scales, strict=True)], scales


def _nearest(
    graph: Graph,
    node: Node,
    sizes: Sequence[int],
    scales: Sequence[float],
    changed: Sequence[int],
    how: str,
    rounding: str,
) -> None:
    """By Interpolate where it picks the same pixels, else by picking rows."""
    shape, made, blob = node.shape(), node.only_output(), graph.blob(node.inputs[0])
    picks = {i: _places(node, shape[i], sizes[i], scales[i], how, rounding) for i in changed}
    if len(shape) in (3, 4, 5) and all(i >= 2 for i in changed):
        for mode in ("nearest", "nearest-exact"):
            if all(_picked(shape[i], sizes[i], mode) == picks[i] for i in changed):
                graph.op("Interpolate", [blob], made, sizes=list(sizes[2:]), mode=mode)
                return
    for i in changed:
        rows = graph.constant(f"{made}_rows", picks[i], "int64")
        name = made if i == changed[-1] else graph.fresh(f"{made}_{i}")
        blob = graph.op("Gather", [blob, rows], name, axis=i, dense_gradient=1)
    if not changed:
        graph.pass_on(node.inputs[0], made)


def _picked(size: int, made: int, mode: str) -> list[int]:
    places = torch.arange(size, dtype=torch.float64).reshape(1, 1, size)
    return functional.interpolate(places, made, mode=mode).reshape(-1).long().tolist()


def _places(node: Node, size: int, made: int, scale: float, how: str, rounding: str) -> list[int]:
    """Which pixel each new one is."""
    at = np.arange(made, dtype=np.float64)
    if how in ("half_pixel", "pytorch_half_pixel"):
        x = (at + 0.5) / scale - 0.5 if made > 1 or how == "half_pixel" else np.zeros(1)
    elif how == "align_corners":
        x = at * (size - 1) / (made - 1) if made > 1 else np.zeros(1)
    elif how == "asymmetric":
        x = at / scale
    else:
        node.refuse(f"coordinates {how} are not converted.")
    rules: dict[str, Callable[[Array], Array]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    }
    if rounding not in rules:
        node.refuse(f"nearest_mode {rounding} is not known.")
    return np.clip(rules[rounding](x), 0, size - 1).astype(int).tolist()
