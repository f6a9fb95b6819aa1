"""Whole nets recorded from the original Caffe, and running them on ours.

Owned here: reading `nets/nets.json/.npz` and judging one net. Who calls it: the test suite and
`freshpot conformance`. The format is described in the README beside the recorded data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from freshpot.errors import FreshpotError
from freshpot.testing.caffe_layers import ATOL, RTOL, differs
from freshpot.testing.recorded import read_cases


@dataclass(slots=True)
class NetCase:
    """One recorded net: what it says and its arrays, by the names that the format gives."""

    spec: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def id(self) -> str:
        return self.spec["id"]

    def given(self, kind: str) -> Iterator[tuple[str, np.ndarray]]:
        """Arrays of a kind (``input``, ``blob`` …) with what follows it in their names."""
        for key, value in self.arrays.items():
            head, _, rest = key.partition("/")
            if head == kind:
                yield rest, value


def load(folder: Path) -> list[NetCase]:
    """The recorded nets."""
    return [NetCase(*case) for case in read_cases(folder / "nets" / "nets.json")]


def run_case(case: NetCase) -> str | None:
    """Run a net. None if it gives what was recorded, else what is wrong, in a line."""
    import caffe

    try:
        net = caffe.Net._from_text(case.spec["prototxt"], getattr(caffe, case.spec["phase"]))
        return _build_differs(net, case) or _run(net, case)
    except FreshpotError as error:
        return f"{type(error).__name__}: {error}"


def _build_differs(net: Any, case: NetCase) -> str | None:
    found = {
        "layers": list(net._layer_names),
        "blobs": [[name, list(blob.data.shape)] for name, blob in net.blobs.items()],
        "outputs": list(net.outputs),
        "loss_weights": [[name, weight] for name, weight in net.blob_loss_weights.items() if weight],
    }
    for what, value in found.items():
        if value != case.spec[what]:
            return f"{what} {value} instead of {case.spec[what]}"
    return None


def _param(net: Any, name: str) -> Any:
    layer, _, i = name.rpartition("/")
    return net.params[layer][int(i)]


def _run(net: Any, case: NetCase) -> str | None:
    for name, value in case.given("param"):
        _param(net, name).data[...] = value
    losses = []
    for _ in range(case.spec["iterations"]):
        for name, value in case.given("input"):
            net.blobs[name].data[...] = value
        losses.append(net._forward(0, len(net.layers) - 1))
    if not np.allclose(losses, case.spec["losses"], RTOL, ATOL):
        return f"losses {losses} instead of {case.spec['losses']}"
    net.clear_param_diffs()
    net._backward(len(net.layers) - 1, 0)
    judged = {
        "blob": lambda name: net.blobs[name].data,
        "diff": lambda name: net.blobs[name].diff,
        "param_diff": lambda name: _param(net, name).diff,
        "param_after": lambda name: _param(net, name).data,
    }
    for kind, got in judged.items():
        for name, wanted in case.given(kind):
            if wrong := differs(got(name), wanted):
                return f"{kind}/{name}: {wrong}"
    return None
