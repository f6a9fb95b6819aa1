"""Kernels that a tracer runs (torch.compile, torch.export): autograd must be able to derive them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import caffe
from conftest import SHARED, needs_shared
from freshpot.errors import FreshpotError
from freshpot.net import registry
from freshpot.testing import reference
from freshpot.torch import module

FOLDER = SHARED / "reference" / "caffe2" if SHARED else Path()
CPU = torch.device("cpu")
#: has running statistics, which are buffers and never learn
EXEMPT = {"SpatialBN"}


def traced(case: reference.Case) -> str | None:
    """What is wrong with gradients of a case's operator as a tracer takes them; None: nothing."""
    op = reference.read_op(case.spec["op"])
    values = [torch.from_numpy(case.arrays[f"in/{blob}"].copy()) for blob in op.inputs]
    learn = [x.requires_grad_() if x.is_floating_point() else x for x in values]
    try:
        made = registry.get(op.type)(op, CPU).kernel(*learn)
        outputs = [made] if isinstance(made, torch.Tensor) else made
        learnt = [y.sum() for y in outputs if isinstance(y, torch.Tensor) and y.grad_fn is not None]
        if learnt:
            torch.stack([y.double() for y in learnt]).sum().backward()
    except RuntimeError as error:
        return f"{case.id}: {error}"
    return None


def first_case(name: str) -> reference.Case | None:
    """An operator's first case with a gradient that is one call."""
    definition = registry.find(name)
    if definition is None or definition.run is not None or name in EXEMPT:
        return None
    for case in reference.load(FOLDER, name):
        spec = case.spec
        if "op" not in spec or spec.get("raises") or spec.get("sweep") or not spec.get("gradient"):
            continue
        if all(f"in/{blob}" in case.arrays for blob in spec["op"]["inputs"]):
            return case
    return None


@needs_shared
@pytest.mark.parametrize(
    ("names", "least"),
    [
        pytest.param(["LSTMUnit", "LayerNorm", "Max", "Min", "Normalize"], 5, id="some"),
        pytest.param(None, 200, id="all", marks=pytest.mark.slow),
    ],
)
def test_autograd_derives_kernels(
    names: list[str] | None, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    cases = [case for name in names or reference.operators(FOLDER) if (case := first_case(name)) is not None]
    wrong = [why for case in cases if (why := traced(case)) is not None]
    assert not wrong, "\n".join(wrong)
    assert len(cases) >= least


# ---- layers of Caffe -----------------------------------------------------------------------------------
LAYERS = SHARED / "reference" / "caffe" / "layers" if SHARED else Path()


def layer_cases(names: list[str] | None) -> list[tuple[str, str]]:
    """Name and prototxt of the recorded cases of these layers, of all with None."""
    files = [LAYERS / f"{name}.json" for name in names] if names else sorted(LAYERS.glob("*.json"))
    return [
        (f"{file.stem} {case['id']}", case["prototxt"])
        for file in files
        for case in json.loads(file.read_text())[:6]
    ]


def derived(text: str, path: Path) -> bool:
    """True if the layer's module runs and autograd derives it; False if it is no module, or refuses made-up data."""
    path.write_text(text)
    try:
        net = caffe.Net(str(path), caffe.TRAIN)
        made = module(net)
        given = [torch.rand(tuple(net.blobs[blob].data.shape)) + 0.1 for blob in made.input_names]
        with torch.no_grad():
            made(*given)
    except FreshpotError:
        return False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        found = made(*[x.requires_grad_() for x in given])
        outputs = found if isinstance(found, tuple) else (found,)
        sums = [y.sum() for y in outputs if y.requires_grad]
        if sums:
            torch.stack(sums).sum().backward()
    return True


@needs_shared
@pytest.mark.parametrize(
    ("names", "least"),
    [
        pytest.param(["BatchNorm", "Exp", "LSTM", "LSTMUnit", "MVN", "RNN"], 15, id="some"),
        pytest.param(None, 200, id="all", marks=pytest.mark.slow),
    ],
)
def test_autograd_derives_layers(
    names: list[str] | None, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong, tried = [], 0
    for name, text in layer_cases(names):
        try:
            tried += derived(text, tmp_path / "net.prototxt")
        except (RuntimeError, LookupError) as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)
    assert tried >= least
