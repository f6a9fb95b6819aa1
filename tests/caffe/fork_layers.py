"""What the tests of fork layers share: a net of one layer with given inputs, run forwards and backwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe
from freshpot.errors import FreshpotError

Arrays = dict[str, np.ndarray]


@dataclass
class Ran:
    """A net that ran, its inputs' gradients and its parameters."""

    net: caffe.Net
    diffs: Arrays = field(default_factory=dict)

    def top(self, name: str = "y") -> np.ndarray:
        return self.net.blobs[name].data.copy()

    def param_diff(self, k: int) -> np.ndarray:
        return self.net.params["l"][k].diff.copy()


def run_layer(
    folder: Path,
    text: str,
    inputs: Arrays,
    tops: tuple[str, ...] = ("y",),
    seeds: Arrays | None = None,
    params: list[np.ndarray] | None = None,
    phase: int = caffe.TRAIN,
) -> Ran:
    """Run `text`, a layer 'l' without bottoms and tops, on inputs in their order; backwards if there are seeds."""
    lines = [
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {n}" for n in value.shape)
        + " } } }"
        for name, value in inputs.items()
    ]
    wires = [f'bottom: "{name}"' for name in inputs] + [f'top: "{name}"' for name in tops]
    lines.append(f'layer {{ name: "l" {" ".join(wires)} {text} }}')
    file = folder / "net.prototxt"
    file.write_text("\n".join([*lines, "force_backward: true" * (seeds is not None)]))
    ran = Ran(caffe.Net(str(file), phase))
    for name, value in inputs.items():
        ran.net.blobs[name].data[...] = value
    for blob, value in zip(ran.net.params.get("l", []), params or [], strict=False):
        blob.data[...] = value
    ran.net.forward()
    if seeds is not None:
        for name, value in seeds.items():
            ran.net.blobs[name].diff[...] = value
        ran.net.backward()
        ran.diffs = {name: ran.net.blobs[name].diff.copy() for name in inputs}
    return ran


def numeric(function, value: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The gradient of a scalar function of float64 arrays, by differences."""
    value = value.astype(np.float64)
    made = np.zeros_like(value)
    for place in np.ndindex(value.shape):
        old = value[place]
        value[place] = old + step
        above = function(value)
        value[place] = old - step
        made[place] = (above - function(value)) / (2 * step)
        value[place] = old
    return made


def check_refusal(
    folder: Path,
    kind: str,
    param: str,
    shapes: tuple[tuple[int, ...], ...],
    error: type[FreshpotError],
    words: str,
    **more: Any,
) -> None:
    """A layer over zeros of these shapes is refused in these words, which name it."""
    inputs = {f"b{i}": np.zeros(shape) for i, shape in enumerate(shapes)}
    with pytest.raises(error, match=words) as caught:
        run_layer(folder, f'type: "{kind}" {param}', inputs, **more)
    assert f"layer 'l' ({kind})" in str(caught.value)
