"""Every net of the models folder: net -> module -> torch.export -> ONNX, the same outputs at each step.

Slow: the nets are found in the models folder of the shared data, and there are large ones among them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import caffe
from conftest import SHARED, WHY_SKIPPED
from freshpot.convert.from_onnx import from_onnx
from freshpot.convert.netdef import net_from_bytes
from freshpot.convert.onnx import to_onnx
from freshpot.engine import Workspace
from freshpot.errors import FreshpotError, NotSupportedError
from freshpot.net import Net
from freshpot.torch import NetModule, module
from freshpot.torch._modes import in_mode
from freshpot.torch._sources import read

FOLDER = (SHARED or Path()) / "models"
#: more elements than this in parameters and blobs, and a run takes minutes
_MOST = 150_000_000
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def nets() -> Iterator[Any]:
    """Each prototxt, with the caffemodel beside it if there is one; each predictor pair."""
    for path in sorted(FOLDER.rglob("*.prototxt")):
        beside = [path.with_suffix(".caffemodel"), *sorted(path.parent.glob("*.caffemodel"))]
        weights = next((b for b in beside if b.is_file() and _belongs(path, b)), None)
        yield pytest.param(path, weights, id=str(path.relative_to(FOLDER)))
    for path in sorted(FOLDER.rglob("predict_net.pb")):
        yield pytest.param(path, path.parent / "init_net.pb", id=str(path.relative_to(FOLDER)))


def _belongs(path: Path, weights: Path) -> bool:
    """True if the folder has no other net for these weights."""
    return len(list(path.parent.glob("*.prototxt"))) == 1 or weights.stem.startswith(path.stem)


CASES = list(nets()) if SHARED else []


def of_caffe(
    path: Path, weights: Path | None, place: Path
) -> tuple[NetModule, list[torch.Tensor], list[np.ndarray], Any]:
    """The module, inputs, what the net makes of them, and the source."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if "use_global_stats: false" in text:  # written for training; it is compared as it is in use
        path = place / path.name
        path.write_text(text.replace("use_global_stats: false", "use_global_stats: true"))
    files = [str(path)] if weights is None else [str(path), str(weights)]
    caffe.set_random_seed(1)
    net = caffe.Net(*files, caffe.TEST)
    sizes = [blob.data.size for blobs in net.params.values() for blob in blobs]
    sizes += [blob.count for blob in net.blobs.values()]
    if sum(sizes) > _MOST:
        pytest.skip(f"{sum(sizes)} elements: too large to run here")
    if weights is None:  # statistics of nothing would blow everything up
        for layer, kind in zip(net._layer_names, net.layers, strict=True):
            if kind.type == "BatchNorm":
                for blob, value in zip(net.params[layer], (0, 1, 1), strict=True):
                    blob.data[...] = value
    source = read(net, None, None, None)
    made = module(net)
    rng = np.random.default_rng(3)
    for name in made.input_names:
        blob = net.blobs[name].data
        blob[...] = rng.integers(0, 2, blob.shape) if blob.ndim < 3 else rng.uniform(-1, 1, blob.shape)
    given = [torch.from_numpy(net.blobs[name].data.copy()) for name in made.input_names]
    net.forward()
    return made, given, [net.blobs[name].data.copy() for name in made.output_names], source


def of_caffe2(path: Path, weights: Path) -> tuple[NetModule, list[torch.Tensor], list[np.ndarray], Any]:
    predict, init = (net_from_bytes(p.read_bytes(), path=p) for p in (path, weights))
    for step in (*predict.ops, *init.ops):
        step.device = None
    predict.device = init.device = None
    source = read(predict, init, None, None)
    x = np.random.default_rng(3).uniform(-1, 1, (2, 3, 32, 32)).astype("f4")
    workspace = Workspace()
    workspace.run_once(init)
    workspace.feed(source.inputs[0], torch.from_numpy(x.copy()))
    workspace.run_once(copy.deepcopy(predict))
    made = NetModule(source)
    return (
        made,
        [torch.from_numpy(x)],
        [workspace.get(blob).numpy().copy() for blob in source.outputs],
        source,
    )


def same(found: Any, wanted: list[np.ndarray]) -> None:
    found = found if isinstance(found, (tuple, list)) else (found,)
    for a, b in zip(found, wanted, strict=True):
        a = a.detach().numpy() if isinstance(a, torch.Tensor) else a
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a.reshape(b.shape) / scale, b / scale, **CLOSE)


@pytest.mark.slow
@pytest.mark.skipif(SHARED is None, reason=WHY_SKIPPED)
@pytest.mark.parametrize(("path", "weights"), CASES)
def test_through_every_form(path: Path, weights: Path | None, tmp_path: Path) -> None:
    """What cannot be made says why, in an error of ours; what can has the net's outputs."""
    try:
        if path.suffix == ".pb" and weights is not None:
            net, given, wanted, source = of_caffe2(path, weights)
        else:
            net, given, wanted, source = of_caffe(path, weights, tmp_path)
    except FreshpotError as error:
        pytest.skip(f"no module: {' '.join(str(error).split())[:300]}")
    net.eval()
    with torch.no_grad():
        same(net(*given), wanted)
        try:
            program = torch.export.export(net, tuple(given))
        except NotSupportedError as error:
            pytest.skip(f"the module is equal; no export: {' '.join(str(error).split())[:300]}")
        same(program.module()(*given), wanted)
    step_by_step = Net(source.name, [in_mode(op, False) for op in source.ops])
    inputs = {b: (tuple(x.shape), x.dtype) for b, x in zip(source.inputs, given, strict=True)}
    try:
        proto = to_onnx(step_by_step, source.values, inputs, source.outputs)
    except NotSupportedError as error:
        pytest.skip(f"module and export are equal; no ONNX: {' '.join(str(error).split())[:300]}")
    feeds = {blob: x.numpy() for blob, x in zip(source.inputs, given, strict=True)}
    if not any(node.op_type == "Scan" for node in proto.graph.node):
        same(_by_engine(proto, feeds), wanted)
    runtime = pytest.importorskip("onnxruntime", reason="equal, but for ONNX Runtime, which is not installed")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    same(runtime.InferenceSession(proto.SerializeToString(), options).run(None, feeds), wanted)


def _by_engine(proto: Any, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    made = from_onnx(proto)
    workspace = Workspace()
    for blob, value in made.parameters.items():
        workspace.feed(blob, value)
    for blob, x in feeds.items():
        workspace.feed(blob, torch.from_numpy(x.copy()))
    workspace.run_once(made.net)
    return [workspace.get(blob).numpy() for blob in made.outputs]


@pytest.mark.slow
@pytest.mark.skipif(SHARED is None, reason=WHY_SKIPPED)
def test_there_are_nets() -> None:
    assert len(CASES) >= 25
    assert sum(case.values[1] is not None for case in CASES) >= 5
