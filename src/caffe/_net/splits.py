"""Split layers for blobs that several layers read.

Owned here: where splits go and what they are called. Who calls it: `_net.net`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from caffe.proto import caffe_pb2
from freshpot.errors import MissingBlobError, near_matches

#: a top of a layer, by the layer's index and the top's
Top = tuple[int, int]


def insert_splits(param: Any, kept: list[int], place: Callable[[int], str]) -> tuple[Any, list[int]]:
    """The net with a Split layer after every top that is read more than once (a loss weight counts).

    ``kept`` gives each layer's index in the file; splits take that of the layer they follow. ``place(i)``
    says where layer i stands, for errors.

    Raises:
        MissingBlobError: a bottom that no earlier layer makes.
    """
    sources, readers, weights = _uses(param, place)
    made = caffe_pb2.NetParameter()
    made.CopyFrom(param)
    del made.layer[:]
    indices: list[int] = []
    next_split: Counter[Top] = Counter()
    for i, layer in enumerate(param.layer):
        new = made.layer.add()
        new.CopyFrom(layer)
        indices.append(kept[i])
        for j, name in enumerate(layer.bottom):
            top = sources[i, j]
            if readers[top] > 1:
                new.bottom[j] = f"{_split_name(param, top, name)}_{next_split[top]}"
                next_split[top] += 1
        for j, name in enumerate(layer.top):
            if readers[i, j] > 1:
                _add_split(made.layer.add(), _split_name(param, (i, j), name), name, readers[i, j])
                indices.append(kept[i])
                if weight := weights.get((i, j)):
                    made.layer[-1].loss_weight.extend([weight] + [0.0] * (readers[i, j] - 1))
                    del new.loss_weight[:]
                    next_split[i, j] += 1
    return made, indices


def _uses(
    param: Any, place: Callable[[int], str]
) -> tuple[dict[tuple[int, int], Top], Counter[Top], dict[Top, float]]:
    """For each bottom the top it reads; how often each top is read; the tops' loss weights."""
    last: dict[str, Top] = {}
    sources: dict[tuple[int, int], Top] = {}
    readers: Counter[Top] = Counter()
    weights: dict[Top, float] = {}
    for i, layer in enumerate(param.layer):
        for j, name in enumerate(layer.bottom):
            if name not in last:
                raise MissingBlobError(
                    f"bottom {j} '{name}' is not the top of any earlier layer.{near_matches(name, last)}",
                    net=param.name or None,
                    op=place(i),
                    blob=name,
                )
            sources[i, j] = last[name]
            readers[last[name]] += 1
        last.update((name, (i, j)) for j, name in enumerate(layer.top))
        for name, weight in zip(layer.top, layer.loss_weight, strict=False):
            weights[last[name]] = weight
            readers[last[name]] += bool(weight)
    return sources, readers, weights


def _split_name(param: Any, top: Top, blob: str) -> str:
    return f"{blob}_{param.layer[top[0]].name}_{top[1]}_split"


def _add_split(layer: Any, name: str, blob: str, count: int) -> None:
    layer.name = name
    layer.type = "Split"
    layer.bottom.append(blob)
    layer.top.extend(f"{name}_{k}" for k in range(count))
