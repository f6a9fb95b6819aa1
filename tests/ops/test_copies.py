"""Copies between devices, and the operator that zeroes a gradient."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from freshpot.engine.workspace import Workspace
from freshpot.errors import DeviceError
from freshpot.net.gradient import gradient_of
from freshpot.net.op import CUDA, Device, Op
from freshpot.ops.tensor import copy

TO_GPU, TO_CPU = "CopyCPUToGPU", "CopyGPUToCPU"


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without a GPU, which has not been spoken of yet."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    copy._say_no_gpu.cache_clear()
    yield
    copy._say_no_gpu.cache_clear()


def run(type_: str, value: torch.Tensor, device: Device | None = None) -> torch.Tensor:
    ws = Workspace()
    ws.feed("x", value)
    ws.run_op(Op(type_, ["x"], ["y"], device=device))
    assert ws.get("y").data_ptr() != ws.get("x").data_ptr()
    return ws.get("y")


@pytest.mark.parametrize("type_", [TO_GPU, TO_CPU])
def test_without_a_gpu_tensors_stay_and_that_is_said_once(
    no_gpu: None, type_: str, recwarn: pytest.WarningsRecorder
) -> None:
    for _ in range(2):
        assert run(type_, torch.arange(3)).tolist() == [0, 1, 2]
    said = [str(w.message) for w in recwarn]
    assert said == [f"{type_}: this machine has no GPU, tensors stay in main memory."]


@pytest.mark.parametrize("type_", [TO_GPU, TO_CPU])
def test_with_a_gpu_the_operator_must_be_on_it(monkeypatch: pytest.MonkeyPatch, type_: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(DeviceError, match=rf"operator {type_} \(x\) -> \(y\): runs on a GPU; make it with"):
        run(type_, torch.zeros(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_with_a_gpu_tensors_move() -> None:
    there = run(TO_GPU, torch.arange(3), Device(CUDA, 0))
    assert there.is_cuda
    back = run(TO_CPU, there, Device(CUDA, 0))
    assert not back.is_cuda
    assert back.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("type_", "gradient"), [(TO_GPU, TO_CPU), (TO_CPU, TO_GPU)])
def test_gradients_go_the_other_way(type_: str, gradient: str) -> None:
    (op,) = gradient_of(Op(type_, ["x"], ["y"]), ["y_grad"]).ops
    assert (op.type, op.inputs, op.outputs) == (gradient, ["y_grad"], ["x_grad"])


def test_a_gradient_of_zeros() -> None:
    made = gradient_of(Op("ZeroGradient", ["x"], []), [])
    assert [(op.type, op.inputs, op.outputs, op.args) for op in made.ops] == [
        ("ConstantFill", ["x"], ["x_grad"], {"value": 0.0})
    ]
    assert made.input_grads == ["x_grad"]
    ws = Workspace()
    ws.feed("x", torch.ones(2))
    ws.run_op(Op("ZeroGradient", ["x"], []))
    assert ws.names() == ["x"]
