"""Kernels make what they make on the device of their inputs: every recorded case on a GPU made of CPU tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import SHARED, needs_shared
from far_device import FAR, FarTensor, far_device
from freshpot.engine import Blob, Workspace, plan
from freshpot.net import Op, registry
from freshpot.net.op import CUDA, Device
from freshpot.testing import reference

FOLDER = SHARED / "reference" / "caffe2" if SHARED else Path()
RECORDED = reference.operators(FOLDER) if SHARED else []
OURS = [name for name in RECORDED if registry.find(name)]

#: families whose values are the host's: files, counters, queues, dictionaries, data sets, 8-bit nets
HOST_FAMILIES = ("freshpot.ops.io.", "freshpot.ops.state.", "freshpot.ops.quantized.int8")
#: operators that make shapes, counts and flags, which the host reads
HOST = {
    "CreateScope",
    "EnsureCPUOutput",
    "HasElements",
    "HasScope",
    "IsEmpty",
    "Iter",
    "LengthsToShape",
    "Reshape",
}


def _is_host(name: str) -> bool:
    return name in HOST or registry.get(name).__module__.startswith(HOST_FAMILIES)


@pytest.fixture
def everything_far(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blobs that are fed, and operators that name no device, are on the far device."""
    feed = Workspace.feed

    def fed(self: Workspace, name: str, value: Any) -> Blob:
        blob = feed(self, name, value)
        if isinstance(blob.value, torch.Tensor):
            blob.value = blob.value.to(FAR)
        return blob

    def judged(got: Any, wanted: Any, *args: float, **tol: float) -> str | None:
        if isinstance(got, torch.Tensor) and not isinstance(got, FarTensor):
            return "is on the CPU"
        return compare(got, wanted, *args, **tol)

    compare = reference.compare
    with far_device(monkeypatch):
        monkeypatch.setattr(plan, "torch_device", lambda device: FAR)
        monkeypatch.setattr(Workspace, "feed", fed)
        monkeypatch.setattr(reference, "compare", judged)
        yield


@needs_shared
@pytest.mark.parametrize("name", OURS)
def test_recorded_cases_on_a_device(name: str, everything_far: None) -> None:
    wrong = []
    allowed = "is on the CPU" if _is_host(name) else "nothing"
    for case in reference.load(FOLDER, name):
        if all(registry.find(used) for used in case.types()):
            why = reference.run_case(case)
            if why is not None and not why.endswith(allowed):
                wrong.append(f"{case.id}: {why}")
    assert not wrong, "\n".join(wrong)


#: operators that draw: type, input shapes, number of outputs, arguments
DRAWING: list[tuple[str, list[tuple[int, ...]], int, dict[str, Any]]] = [
    ("Dropout", [(4, 5)], 2, {"ratio": 0.5, "is_test": 0}),
    ("FloatToFusedRandRowwiseQuantized", [(4, 16)], 1, {"bitwidth": 4, "random": True}),
    ("GaussianFill", [], 1, {"shape": [3, 4]}),
    ("MSRAFill", [], 1, {"shape": [3, 4]}),
    ("StochasticPool", [(2, 3, 4, 4)], 2, {"kernels": [2, 2], "strides": [2, 2], "pads": [0, 0]}),
    ("UniformFill", [], 1, {"shape": [3, 4]}),
    ("UniformIntFill", [], 1, {"shape": [3, 4], "min": 0, "max": 99}),
    ("UniqueUniformFill", [], 1, {"shape": [3], "min": 0, "max": 9}),
    ("UniqueUniformFill", [], 1, {"shape": [3], "min": 0, "max": 999999}),
    ("XavierFill", [], 1, {"shape": [3, 4]}),
]


@pytest.mark.parametrize(("name", "shapes", "count", "args"), DRAWING)
def test_a_seed_makes_the_devices_numbers_repeat(
    name: str, shapes: list[tuple[int, ...]], count: int, args: dict[str, Any], everything_far: None
) -> None:
    inputs = [f"x{i}" for i in range(len(shapes))]
    made = []
    for _ in range(2):
        device = Device(CUDA, 0, random_seed=5)
        op = registry.get(name)(Op(name, inputs, [f"y{i}" for i in range(count)], dict(args), device), FAR)
        values = [
            torch.linspace(0.1, 1, torch.Size(shape).numel(), device=FAR).view(shape) for shape in shapes
        ]
        result = op.kernel(*values)
        result = result[0] if isinstance(result, tuple) else result
        assert isinstance(result, FarTensor)
        made.append(result.cpu())
    assert torch.equal(*made)
