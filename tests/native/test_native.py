"""Machine code beside ATen in double precision: convolution and pooling with the batch along the memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from freshpot.native import batch, call, conv, dense, pool, turn
from freshpot.native.machine import lanes
from freshpot.ops._window import batch_last, empty_alike, empty_batch_last, is_batch_last

pytestmark = pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")

#: N, C, H, W, K, R, S, stride, pad
CONVOLUTIONS = {
    "LeNet's first": (64, 1, 28, 28, 20, 5, 5, (1, 1), (0, 0)),
    "LeNet's second": (64, 20, 12, 12, 50, 5, 5, (1, 1), (0, 0)),
    "padded": (16, 3, 9, 8, 8, 3, 3, (1, 1), (1, 1)),
    "padded by more than it needs": (16, 2, 4, 5, 3, 3, 2, (1, 1), (2, 1)),
    "strides": (32, 3, 11, 13, 7, 3, 5, (2, 3), (0, 0)),
    "strides and padding": (16, 4, 12, 9, 6, 5, 3, (3, 2), (2, 1)),
    "filters that no block divides": (16, 2, 6, 6, 13, 2, 2, (1, 1), (0, 0)),
    "one pixel": (48, 17, 3, 3, 11, 1, 1, (1, 1), (0, 0)),
    "a window as large as the image": (16, 5, 4, 4, 10, 4, 4, (1, 1), (0, 0)),
    "three images": (3, 3, 7, 7, 6, 3, 3, (1, 1), (1, 1)),
    "images that fill no vector": (7, 2, 6, 5, 9, 3, 2, (1, 1), (0, 0)),
    "images that fill some vectors": (37, 3, 7, 8, 11, 3, 3, (1, 1), (1, 0)),
    "seven vectors, strides": (100, 2, 8, 8, 5, 3, 3, (2, 2), (0, 0)),
    "so many that pixels lie apart": (256, 2, 5, 6, 4, 3, 3, (1, 1), (0, 0)),
    "a wide window": (16, 1, 12, 12, 2, 3, 11, (1, 1), (0, 5)),
}
#: N, C, H, W, window, stride
POOLINGS = {
    "LeNet's": (64, 20, 24, 24, (2, 2), (2, 2)),
    "not all covered": (16, 3, 9, 7, (2, 2), (2, 2)),
    "overlapping": (32, 5, 9, 11, (3, 3), (2, 2)),
    "apart": (16, 2, 10, 10, (2, 1), (3, 2)),
    "some vectors": (19, 3, 6, 6, (2, 2), (2, 2)),
    "many": (256, 1, 5, 5, (3, 3), (2, 2)),
}


MAKERS = (
    *(conv.forward, conv.data, conv.weights),
    *(pool.forward, pool.backward, pool.forward_with_index, pool.backward_by_index),
    *(dense.weights, turn.turn, turn.pick),
)


@pytest.fixture(params=[4, 8, 16])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A vector's size: code for smaller vectors than the machine's runs on it too."""
    if request.param > lanes():
        pytest.skip(f"this machine's vectors have {lanes()} numbers")
    for module in (batch, call, conv, dense, pool, turn):
        monkeypatch.setattr(module, "lanes", lambda: request.param)
    for module in (conv, dense):
        monkeypatch.setattr(module, "registers", lambda: 16 if request.param == 8 else 32)
    for maker in MAKERS:
        maker.cache_clear()
    return int(request.param)


def along_batch(*shape: int) -> Tensor:
    """Numbers along the batch, and behind its last image what no kernel may mind."""
    made = batch_last(torch.randn(shape))
    N, C, H, W = shape
    step = batch.pitch(N)
    made.as_strided((C, H, W, step), (H * W * step, W * step, step, 1))[..., N:] = float("nan")
    return made


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_convolution(case: Any, threads: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    N, C, H, W_, K, R, S, stride, pad = case
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    torch.manual_seed(1)
    P, Q = ((size + 2 * p - k) // s + 1 for size, p, k, s in zip((H, W_), pad, (R, S), stride, strict=True))
    shape = conv.Shape(N, C, H, W_, K, R, S, stride, pad, P, Q)
    X, W, b, dY = along_batch(N, C, H, W_), torch.randn(K, C, R, S), torch.randn(K), along_batch(N, K, P, Q)
    x, w = X.double().requires_grad_(), W.double().requires_grad_()
    y = torch.nn.functional.conv2d(x, w, b.double(), stride, pad)
    y.backward(dY.double())
    assert x.grad is not None
    assert w.grad is not None
    for bias in (True, False):
        Y = empty_batch_last(N, K, P, Q)
        conv.forward(shape, bias)(X, W, Y, *([b] if bias else []))
        close(Y, y.detach() if bias else y.detach() - b.double()[:, None, None])
    if stride == (1, 1):
        dX = empty_batch_last(N, C, H, W_)
        conv.data(shape)(dY, W, dX)
        close(dX, x.grad)
    if pad == (0, 0):
        for bias in (True, False):
            dW, db = torch.empty_like(W), torch.empty(K)
            conv.weights(shape, bias)(X, dY, dW, *([db] if bias else []))
            close(dW, w.grad)
            if bias:
                close(db, dY.double().sum((0, 2, 3)))


@pytest.mark.parametrize("case", POOLINGS.values(), ids=POOLINGS.keys())
def test_max_pooling(case: Any, width: int) -> None:
    N, C, H, W, window, stride = case
    torch.manual_seed(2)
    P, Q = ((size - k) // s + 1 for size, k, s in zip((H, W), window, stride, strict=True))
    shape = pool.Shape(N, C, H, W, *window, stride, P, Q)
    X, dY = along_batch(N, C, H, W), along_batch(N, C, P, Q)
    Y, dX = empty_batch_last(N, C, P, Q), empty_batch_last(N, C, H, W).zero_()
    pool.forward(shape)(X, Y)
    x = X.clone(memory_format=torch.contiguous_format).requires_grad_()
    y = torch.max_pool2d(x, window, stride)
    y.backward(dY)
    assert torch.equal(Y, y)
    pool.backward(shape)(X, Y, dY, dX)
    assert x.grad is not None
    torch.testing.assert_close(dX, x.grad)
    wanted, places = torch.nn.functional.max_pool2d_with_indices(X, window, stride)
    rows, columns = (torch.arange(n) * s for n, s in zip((P, Q), stride, strict=True))
    in_window = (places // W - rows[:, None]) * window[1] + places % W - columns
    for narrow, index_of in ((False, places), (True, in_window.to(torch.uint8))):
        index = batch_last(torch.zeros_like(index_of, memory_format=torch.contiguous_format))
        pool.forward_with_index(shape, narrow)(X, Y, index)
        assert torch.equal(Y, wanted)
        assert torch.equal(index, index_of)
        pool.backward_by_index(shape, narrow)(index, index, dY, dX.zero_())
        torch.testing.assert_close(dX, x.grad)


def test_pooling_gives_every_tie_the_gradient_and_keeps_nan(width: int) -> None:
    X = batch_last(torch.zeros(16, 1, 2, 2))
    X[1, 0, 0, 1] = float("nan")
    shape = pool.Shape(16, 1, 2, 2, 2, 2, (2, 2), 1, 1)
    Y, dX = empty_batch_last(16, 1, 1, 1), empty_batch_last(16, 1, 2, 2)
    pool.forward(shape)(X, Y)
    assert Y[1].isnan()
    pool.backward(shape)(X, Y, batch_last(torch.ones(16, 1, 1, 1)), dX)
    assert torch.equal(dX[0, 0], torch.ones(2, 2))
    assert torch.equal(dX[1, 0], torch.zeros(2, 2))


@pytest.mark.parametrize(
    ("rows", "columns", "row", "column"), [(16, 16, 16, 16), (17, 37, 40, 19), (150, 20, 20, 160)]
)
def test_turning(rows: int, columns: int, row: int, column: int, width: int) -> None:
    A, B = torch.randn(rows, row), torch.full((columns, column), 7.0)
    turn.turn(rows, columns, row, column)(A, B)
    assert torch.equal(B[:, :rows], A[:, :columns].t())
    assert bool((B[:, rows:] == 7).all())


def test_picking_images_out_of_many(width: int) -> None:
    A, B = torch.randn(5, 10 * width), torch.full((5, 3 * width), 7.0)
    turn.pick(5, 2, 10 * width, 3 * width)(A[:, width:], B)
    assert torch.equal(B[:, : 2 * width], A[:, width : 3 * width])
    assert bool((B[:, 2 * width :] == 7).all())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("M", "K", "N"), [(64, 800, 500), (16, 80, 16), (19, 97, 23), (7, 83, 1)])
def test_gradient_of_dense_weights(
    M: int, K: int, N: int, threads: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    X, dY, dW = torch.randn(M, K), torch.randn(M, N), torch.empty(N, K)
    dense.weights(M, K, N)(X, dY, dW)
    close(dW, dY.double().t() @ X.double())


def test_layout() -> None:
    X = torch.randn(16, 3, 4, 5)
    assert not is_batch_last(X)
    assert not is_batch_last(X.contiguous(memory_format=torch.channels_last))
    assert is_batch_last(batch_last(X))
    assert torch.equal(batch_last(X), X)


@pytest.mark.parametrize("N", [2, 5, 100, 256, 1024])
def test_layout_with_room_behind_the_last_image(N: int) -> None:
    X = torch.randn(N, 3, 4, 5)
    laid = batch_last(X)
    assert is_batch_last(laid)
    assert batch_last(laid) is laid
    assert torch.equal(laid, X)
    step = batch.pitch(N)
    assert step > N
    assert step % lanes() == 0
    assert step * 4 % 1024
    short = torch.empty_strided(X.shape, laid.stride())  # the room is missing
    assert not is_batch_last(short)
    assert is_batch_last(empty_alike(laid))
    assert empty_alike(X).stride() == X.stride()
