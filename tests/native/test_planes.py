"""Machine code beside ATen in double precision: convolution and pooling over few images, in planes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from freshpot.native import batch, call, plane_pool, planes
from freshpot.native.machine import lanes

pytestmark = pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")

#: N, C, H, W, K, R, S, stride
CONVOLUTIONS = {
    "LeNet's first": (1, 1, 28, 28, 20, 5, 5, (1, 1)),
    "LeNet's second": (3, 20, 12, 12, 50, 5, 5, (1, 1)),
    "strides": (2, 3, 11, 13, 7, 3, 4, (2, 3)),
    "wide": (2, 3, 9, 150, 7, 3, 3, (1, 1)),
    "wide with strides": (1, 2, 9, 150, 3, 2, 3, (1, 2)),
    "a window as large as the image": (3, 2, 4, 4, 13, 4, 4, (1, 1)),
    "one pixel": (2, 17, 3, 3, 11, 1, 1, (1, 1)),
    "one filter": (2, 2, 7, 6, 1, 3, 2, (1, 1)),
    "many channels": (1, 67, 6, 5, 3, 3, 3, (1, 1)),
    "more rows than are done at a time": (1, 8, 40, 40, 3, 4, 4, (1, 1)),
}
#: N, C, H, W, rows of the window
POOLINGS = {
    "LeNet's": (2, 20, 24, 24, 2),
    "narrow": (1, 50, 8, 8, 2),
    "wide": (1, 3, 4, 70, 2),
    "not all covered": (3, 3, 9, 7, 2),
    "high": (2, 2, 9, 10, 3),
}


@pytest.fixture(params=[4, 8, 16])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A vector's size: code for smaller vectors than the machine's runs on it too."""
    if request.param > lanes():
        pytest.skip(f"this machine's vectors have {lanes()} numbers")
    for module in (batch, call, planes, plane_pool):
        monkeypatch.setattr(module, "lanes", lambda: request.param)
    monkeypatch.setattr(planes, "registers", lambda: 16 if request.param == 8 else 32)
    for maker in (planes.forward, planes.data, planes.weights, plane_pool.forward, plane_pool.backward):
        maker.cache_clear()
    for maker in (plane_pool.forward_with_index, plane_pool.backward_by_index):
        maker.cache_clear()
    return int(request.param)


def fenced(*shape: int) -> tuple[Tensor, Tensor]:
    """Memory for results, and all of it with a fence of sevens around, which must stay."""
    count = torch.Size(shape).numel()
    whole = torch.full((count + 128,), 7.0)
    return whole[64:-64].view(shape), whole


def check(found: tuple[Tensor, Tensor], wanted: Tensor) -> None:
    result, whole = found
    torch.testing.assert_close(result.double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    assert bool((torch.cat([whole[:64], whole[-64:]]) == 7).all())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_convolution(case: Any, threads: int, width: int) -> None:
    N, C, H, W, K, R, S, stride = case
    if width < S:
        pytest.skip("a vector must hold a row of the filter")
    P, Q = (H - R) // stride[0] + 1, (W - S) // stride[1] + 1
    shape = planes.Shape(N, C, H, W, K, R, S, stride, P, Q)
    X, F, b, dY = torch.randn(N, C, H, W), torch.randn(K, C, R, S), torch.randn(K), torch.randn(N, K, P, Q)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        doubles = [t.double() for t in (X, F, b, dY)]
        x, f, bias, dy = doubles
        Y = fenced(N, K, P, Q)
        planes.forward(shape, True)(X, F, Y[0], b)
        check(Y, torch.nn.functional.conv2d(x, f, bias, stride))
        planes.forward(shape, False)(X, F, Y[0])
        check(Y, torch.nn.functional.conv2d(x, f, None, stride))
        dX, dW, db = torch.ops.aten.convolution_backward(
            dy, x, f, [K], stride, [0, 0], [1, 1], False, [0, 0], 1, [True, True, True]
        )
        made, sums = fenced(K, C, R, S), fenced(K)
        room = torch.full((planes.scratch(shape),), float("nan"))
        planes.weights(shape, True)(X, dY, made[0], room, sums[0])
        check(made, dW)
        check(sums, db)
        made[0].fill_(float("nan"))
        planes.weights(shape, False)(X, dY, made[0], room)
        check(made, dW)
        if stride == (1, 1):
            frame = planes.Shape(N, K, H + R - 1, W + S - 1, C, R, S, (1, 1), H, W)
            back = fenced(N, C, H, W)
            planes.data(frame)(pad(dY, (S - 1, S - 1, R - 1, R - 1)), F, back[0])
            check(back, dX)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("case", POOLINGS.values(), ids=POOLINGS.keys())
def test_pooling(case: Any, width: int) -> None:
    N, C, H, W, rows = case
    P, Q = H // rows, W // 2
    numbers = (N * C, H, W, P, Q)
    X = torch.randn(N, C, H, W)
    X[0, 0, 0, :2] = 30.0  # of equal ones the first
    dY = torch.randn(N, C, P, Q)
    Y, wanted_index = torch.nn.functional.max_pool2d(X.double(), (rows, 2), (rows, 2), return_indices=True)
    made, index = fenced(N, C, P, Q), torch.empty(N, C, P, Q, dtype=torch.int64)
    plane_pool.forward(rows)(X, made[0], numbers=numbers)
    check(made, Y)
    made[0].fill_(0)
    plane_pool.forward_with_index(rows)(X, made[0], index, numbers=numbers)
    check(made, Y)
    assert torch.equal(index, wanted_index)
    one = torch.zeros(N, C, H * W, dtype=torch.float64)
    one.scatter_(2, index.flatten(2), dY.double().flatten(2))
    back = fenced(N, C, H, W)
    back[0].zero_()
    plane_pool.backward_by_index(rows)(index, index, dY, back[0], numbers=numbers)
    check(back, one.view(N, C, H, W))
    back[0].zero_()
    plane_pool.backward(rows)(X, made[0], dY, back[0], numbers=numbers)
    one.view(N, C, H, W)[0, 0, 0, 1] = dY[0, 0, 0, 0]  # all that equal the maximum
    check(back, one.view(N, C, H, W))


def test_a_number_that_is_none_is_the_maximum() -> None:
    X = torch.tensor([[1.0, float("nan"), 2.0, 3.0], [4.0, 0.0, 5.0, 1.0]]).view(1, 1, 2, 4)
    Y, index = torch.empty(1, 1, 1, 2), torch.empty(1, 1, 1, 2, dtype=torch.int64)
    plane_pool.forward_with_index(2)(X, Y, index, numbers=(1, 2, 4, 1, 2))
    assert bool(Y[0, 0, 0, 0].isnan())
    assert float(Y[0, 0, 0, 1]) == 5.0
    assert index.flatten().tolist() == [1, 6]
