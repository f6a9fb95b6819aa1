"""Batch normalisation as machine code, beside double precision, and beside ATen: it must not be less exact."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from freshpot.native import call, norm
from freshpot.native.machine import lanes
from freshpot.ops.normalization import _rows

pytestmark = pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")

#: N, C, H, W: rows that many parts make, that one part makes, that few divide; channels beyond a row's cache
SIZES = [(4, 16, 32, 33), (2, 64, 7, 7), (1, 48, 13, 11), (4, 2048, 5, 5), (3, 16, 61, 1)]


@pytest.fixture(params=[4, 8, 16], autouse=True)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A vector's size: code for smaller vectors than the machine's runs on it too."""
    if request.param > lanes():
        pytest.skip(f"this machine's vectors have {lanes()} numbers")
    for module in (call, norm):
        monkeypatch.setattr(module, "lanes", lambda: request.param)
    for maker in (norm.moments, norm.apply, norm.sums, norm.gradient):
        maker.cache_clear()
    return int(request.param)


def images(*sizes: int) -> Tensor:
    return torch.randn(sizes).contiguous(memory_format=torch.channels_last)


def distance(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_beside_double_precision(sizes: tuple[int, ...], relu: bool) -> None:
    """With a mean 30 times the deviation, where a difference of squares would lose all that counts."""
    torch.manual_seed(1)
    C = sizes[1]
    X, dY, scale, bias = images(*sizes).mul_(0.1).add_(3), images(*sizes), torch.rand(C) + 0.5, torch.randn(C)
    mean, variance = _rows.moments(X)
    rstd = variance.add(1e-5).rsqrt()
    Y = _rows.applied(X, mean.float(), (scale * rstd).float(), bias, relu)
    made = _rows.gradients(X, mean.float(), rstd, scale, dY, Y if relu else None)

    x = X.double()
    m, v = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    r = (v + 1e-5).rsqrt()
    aten = torch.ops.aten.native_batch_norm
    y = aten(x, scale.double(), bias.double(), None, None, True, 0.0, 1e-5)[0]
    dy = torch.where(Y > 0, dY, 0.0) if relu else dY
    back = torch.ops.aten.native_batch_norm_backward
    wanted = back(dy.double(), x, scale.double(), None, None, m, r, True, 1e-5, [True] * 3)
    assert distance(mean, m) < 1e-8
    assert distance(variance, v) < 2e-6
    assert distance(Y, y.relu() if relu else y) < 2e-5  # of X's own rounding, 30 times as large
    for found, want in zip(made, wanted, strict=True):
        assert distance(found, want) < 2e-5


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_beside_aten(sizes: tuple[int, ...]) -> None:
    """Errors against double precision: no larger than twice ATen's, or three units in the last place."""
    torch.manual_seed(2)
    X, dY, scale = images(*sizes), images(*sizes), torch.rand(sizes[1]) + 0.5
    args = (scale, None, None, None, True, 0.0, 1e-5)
    Y, m, r = torch.ops.aten.native_batch_norm(X, *args)
    y, md, rd = torch.ops.aten.native_batch_norm(X.double(), scale.double(), *args[1:])
    mean, variance = _rows.moments(X)
    rstd = variance.add(1e-5).rsqrt()
    mine = _rows.applied(X, mean.float(), (scale * rstd).float(), torch.zeros(sizes[1]), False)
    back, asked = torch.ops.aten.native_batch_norm_backward, [True] * 3
    theirs = back(dY, X, scale, None, None, m, r, True, 1e-5, asked)
    exact = back(dY.double(), X.double(), scale.double(), None, None, md, rd, True, 1e-5, asked)
    ours = _rows.gradients(X, mean.float(), rstd, scale, dY, None)
    for found, other, want in zip(
        (mine, mean, rstd, *ours), (Y, m, r, *theirs), (y, md, rd, *exact), strict=True
    ):
        assert distance(found, want) < max(2 * distance(other, want), 4e-7)


@pytest.mark.parametrize("threads", [1, 2])
def test_not_a_number_stays_one(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        X = images(4, 16, 8, 8)
        X[0, 3, 2, 2] = float("nan")
        mean, _ = _rows.moments(X)
        Y = _rows.applied(X, torch.zeros(16), torch.ones(16), torch.zeros(16), True)
        assert mean.isnan().nonzero().tolist() == [[3]]
        assert torch.equal(Y.isnan(), X.isnan())
        dX, dscale, dbias = _rows.gradients(X, torch.zeros(16), torch.ones(16), None, torch.ones_like(X), Y)
        assert dscale.isnan().nonzero().tolist() == [[3]]
        assert int(dbias[3]) == int((X[:, 3] > 0).sum()) + 1  # a rectifier lets through what is no number
        assert dX[:, 3].isnan().all()
    finally:
        torch.set_num_threads(before)


def test_where_it_is_done(width: int) -> None:
    large = images(4, 32, 32, 32)
    with torch.no_grad():
        assert _rows.fits(large, torch.zeros(32))
        for other in (large[:1], large.double(), large.contiguous(), images(4, 33, 32, 32), large.flatten(2)):
            assert not _rows.fits(other)
        assert not _rows.fits(large, torch.zeros(31))
    assert not _rows.fits(large)  # autograd wants to see what is done
