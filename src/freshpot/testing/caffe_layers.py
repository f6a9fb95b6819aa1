"""Layer cases recorded from the original Caffe, and running them on our nets.

Owned here: reading `layers/<Type>.json/.npz` and judging one case. Who calls it: the test suite and
`freshpot conformance`. The format is described in the README beside the recorded data.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from freshpot.errors import FreshpotError
from freshpot.testing.recorded import own_folder, read_cases

#: two float32 sums in another order
RTOL, ATOL = 1e-4, 1e-5


@dataclass(slots=True)
class LayerCase:
    """One recorded case: what it says and its arrays, by the names that the format gives."""

    type: str
    spec: dict[str, Any]
    arrays: dict[str, np.ndarray]
    folder: Path

    @property
    def id(self) -> str:
        return self.spec["id"]


def layer_types(folder: Path) -> list[str]:
    """Layer types that have recorded cases in ``folder``."""
    return sorted(path.stem for path in (folder / "layers").glob("*.json"))


def load(folder: Path, type: str) -> list[LayerCase]:
    """The cases of one layer type."""
    cases = read_cases(folder / "layers" / f"{type}.json")
    return [LayerCase(type, *case, folder / "layers") for case in cases]


def run_case(case: LayerCase) -> str | None:
    """Run a case. None if it passes, else what is wrong, in a line."""
    with _working_in(case.folder):
        if case.spec.get("aborts"):
            return _must_refuse(case)
        try:
            return _run(case)
        except FreshpotError as error:
            return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """An empty folder with ``aux`` in it, which the cases name; Python layers are found there.

    Layers write here, not beside the recorded data.
    """
    path, strict = list(sys.path), os.environ.get("FRESHPOT_STRICT_DEVICE")
    os.environ["FRESHPOT_STRICT_DEVICE"] = (
        "1"  # recorded with a build without CUDA, which refuses to stand in
    )
    sys.path.insert(0, str(folder / "aux"))
    try:
        with own_folder() as work:
            os.symlink(folder / "aux", work / "aux")
            yield
    finally:
        sys.path[:] = path
        os.environ.pop("FRESHPOT_STRICT_DEVICE")
        if strict is not None:
            os.environ["FRESHPOT_STRICT_DEVICE"] = strict


def _make(case: LayerCase) -> Any:
    import caffe

    return caffe.Net._from_text(case.spec["prototxt"], getattr(caffe, case.spec["phase"]))


def _must_refuse(case: LayerCase) -> str | None:
    stage = case.spec.get("stage", "load")
    try:
        net = _make(case)
        if case.type == "MemoryData" and case.spec.get("raises"):  # not refused by the net, but by this call
            net.set_input_arrays(*(np.zeros((4, *shape), np.float32) for shape in ((2, 2, 2), ())))
        for _ in range(case.spec.get("iterations", 1) if stage != "load" else 0):
            _feed(net, case)
            net.forward()
        if stage == "backward":
            net._backward(case.spec.get("layer_index", len(net.layers) - 1), 0)
    except FreshpotError:
        return None
    except Exception as error:
        return None if case.spec.get("raises") else f"refused with an untyped {type(error).__name__}: {error}"
    return "must be refused, and ran"


def _feed(net: Any, case: LayerCase) -> None:
    for name in case.spec.get("bottoms", []):
        key = f"bottom/{name}"
        if key not in case.arrays:
            continue
        if f"in_{name}" in net.params:
            net.params[f"in_{name}"][0].data[...] = case.arrays[key]
        else:
            net.blobs[name].data[...] = case.arrays[key]


def _run(case: LayerCase) -> str | None:
    spec, arrays = case.spec, case.arrays
    net = _make(case)
    index = list(net._layer_names).index(spec["layer"])
    if list(net._layer_names) != spec["layers"]:
        return f"layers {list(net._layer_names)} instead of {spec['layers']}"
    layer = net.layers[index]
    if len(layer.blobs) != spec["params"]:
        return f"{len(layer.blobs)} parameters instead of {spec['params']}"
    for i in range(spec["params"]):
        if f"param/{i}" in arrays:
            layer.blobs[i].data[...] = arrays[f"param/{i}"]
    inputs = [k for k in arrays if k.startswith("set_input_arrays/")]
    if inputs:
        net.set_input_arrays(*(arrays[k] for k in sorted(inputs)))
    losses = []
    for k in range(spec.get("iterations", 1)):
        _feed(net, case)
        losses.append(net._forward(0, len(net.layers) - 1))
        if not spec.get("random") and (wrong := _tops(net, case, "top" if k == 0 else f"top.{k}")):
            return wrong
    blobs = [[name, list(blob.data.shape)] for name, blob in net.blobs.items()]
    if blobs != spec["blobs"]:
        return f"blobs {blobs} instead of {spec['blobs']}"
    if spec.get("random"):
        return _shapes(net, case)
    wanted = spec.get("loss")
    if wanted is not None and not np.allclose(losses if len(losses) > 1 else losses[0], wanted, RTOL, ATOL):
        return f"loss {losses} instead of {wanted}"
    for i in range(spec["params"]):
        if f"param_after/{i}" in arrays and (
            wrong := differs(layer.blobs[i].data, arrays[f"param_after/{i}"])
        ):
            return f"param_after/{i}: {wrong}"
    if wrong := _files(case):
        return wrong
    return _backward(net, case, index, layer) if spec.get("backward") else None


def _files(case: LayerCase) -> str | None:
    """What HDF5Output wrote."""
    for key in [key for key in case.arrays if key.startswith("file/")]:
        with h5py.File("out_test.h5", "r") as file:
            if wrong := differs(file[key.removeprefix("file/")][()], case.arrays[key]):
                return f"{key}: {wrong}"
    return None


def _tops(net: Any, case: LayerCase, prefix: str) -> str | None:
    for name in case.spec["tops"]:
        key = f"{prefix}/{name}"
        if key in case.arrays and (wrong := differs(net.blobs[name].data, case.arrays[key])):
            return f"{key}: {wrong}"
    return None


def _shapes(net: Any, case: LayerCase) -> str | None:
    for name in case.spec["tops"]:
        wanted = case.arrays.get(f"top/{name}")
        if wanted is not None and net.blobs[name].data.shape != wanted.shape:
            return f"top/{name}: shape {net.blobs[name].data.shape} instead of {wanted.shape}"
    return None


def _backward(net: Any, case: LayerCase, index: int, layer: Any) -> str | None:
    net.clear_param_diffs()
    for name in case.spec["tops"]:
        if f"top_diff/{name}" in case.arrays:
            net.blobs[name].diff[...] = case.arrays[f"top_diff/{name}"]
    net._backward(index, 0)
    for name in case.spec["bottoms"]:
        key = f"bottom_diff/{name}"
        if key in case.arrays and (wrong := differs(net.blobs[name].diff, case.arrays[key])):
            return f"{key}: {wrong}"
    for i in range(case.spec["params"]):
        key = f"param_diff/{i}"
        if key in case.arrays and (wrong := differs(layer.blobs[i].diff, case.arrays[key])):
            return f"{key}: {wrong}"
    return None


def differs(got: np.ndarray, wanted: np.ndarray) -> str | None:
    """What differs between two arrays, in a line; the tolerance is relative to the largest value."""
    if got.shape != wanted.shape:
        return f"shape {got.shape} instead of {wanted.shape}"
    finite = wanted[np.isfinite(wanted)]
    scale = float(np.abs(finite).max()) if finite.size else 0.0
    ok = np.isclose(got, wanted, RTOL, ATOL * max(scale, 1e-30), equal_nan=True)
    return None if ok.all() else f"{(~ok).sum()} of {ok.size} values differ"
