"""Machine code for a few numbers beside double precision, for vectors of every size; chains of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from freshpot.native import small
from freshpot.native.chain import Chain, Link
from freshpot.native.machine import lanes

pytestmark = pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")

#: M, N, K: less than a vector, just one, and parts of one
SIZES = [(1, 1, 1), (16, 20, 10), (3, 37, 5), (7, 16, 33), (2, 5, 64)]
sizes = pytest.mark.parametrize("size", SIZES)


@pytest.fixture(autouse=True, params=[4, 8, 16])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A vector's size: code for smaller vectors than the machine's runs on it too."""
    if request.param > lanes():
        pytest.skip(f"this machine's vectors have {lanes()} numbers")
    monkeypatch.setattr(small, "lanes", lambda: request.param)
    small.code.cache_clear()
    return int(request.param)


def fenced(*shape: int) -> tuple[Tensor, Tensor]:
    """Memory for results, and all of it with a fence of sevens around, which must stay."""
    count = torch.Size(shape).numel()
    whole = torch.full((count + 64,), 7.0)
    return whole[32:-32].view(shape), whole


def check(found: tuple[Tensor, Tensor], wanted: Tensor) -> None:
    result, whole = found
    torch.testing.assert_close(result.double(), wanted.double(), rtol=2e-6, atol=2e-6)
    assert bool((torch.cat([whole[:32], whole[-32:]]) == 7).all())


@sizes
def test_fully_connected_layers(size: tuple[int, int, int]) -> None:
    M, N, K = size
    X, W, b, dY = torch.randn(M, K), torch.randn(N, K), torch.randn(N), torch.randn(M, N)
    x, w, dy = X.double(), W.double(), dY.double()
    Y, dW, dX, db = fenced(M, N), fenced(N, K), fenced(M, K), fenced(N)
    Link(small.code("fc"), [X, W, b, Y[0]], [M, N, K])()
    check(Y, x @ w.t() + b)
    Link(small.code("product"), [dY, X, dW[0]], [N, M, K, 1, N])()
    check(dW, dy.t() @ x)
    Link(small.code("product"), [dY, W, dX[0]], [M, N, K, N, 1])()
    check(dX, dy @ w)
    Link(small.code("column_sums"), [dY, db[0]], [M, N])()
    check(db, dy.sum(0))


@sizes
def test_softmax_and_losses(size: tuple[int, int, int]) -> None:
    M, D, _ = size
    X, dY = 5 * torch.randn(M, D), torch.randn(M, D)
    X[0, 0] = -500.0 if D > 1 else 1.0  # so far below the largest that nothing is left of it
    P, dX = fenced(M, D), fenced(M, D)
    Link(small.code("softmax"), [X, P[0]], [M, D])()
    p = torch.softmax(X.double(), 1)
    check(P, p)
    Link(small.code("softmax_gradient"), [P[0], dY, dX[0]], [M, D])()
    check(dX, p * (dY - (p * dY).sum(1, keepdim=True)))
    label, dy = torch.randint(D, (M,)), torch.randn(M)
    floored = P[0].double().clamp(min=1e-20)
    picked = floored.gather(1, label[:, None])
    for kind, labels in (("32", label.int()), ("64", label)):
        Y = fenced(M)
        Link(small.code(f"cross_entropy_{kind}"), [P[0], labels, Y[0]], [M, D], _never)()
        check(Y, -picked.log()[:, 0])
        dX[0].fill_(3)
        Link(small.code(f"cross_entropy_gradient_{kind}"), [P[0], labels, dy, dX[0]], [M, D], _never)()
        wanted = torch.zeros(M, D, dtype=torch.float64).scatter_(1, label[:, None], -dy[:, None] / picked)
        assert torch.allclose(dX[0].double(), wanted, rtol=1e-6)
    mean, share = fenced(1), fenced(M, D)
    Link(small.code("mean"), [X, mean[0], torch.tensor([1 / (M * D)])], [M * D])()
    torch.testing.assert_close(mean[0].double(), X.double().mean().view(1), rtol=1e-5, atol=1e-5)
    Link(small.code("mean_gradient"), [dy, share[0], torch.tensor([float(M * D)])], [M * D])()
    check(share, (dy[0] / (M * D)).expand(M, D))


def _never() -> None:
    raise AssertionError("nothing is wrong")


@pytest.mark.parametrize("wrong", [-1, 5, 1 << 30])
def test_a_label_that_is_no_class_leaves_a_mark_and_writes_nothing_elsewhere(wrong: int) -> None:
    said: list[int] = []
    P, label, Y, dX = torch.rand(3, 5), torch.tensor([1, wrong, 2]), torch.zeros(3), fenced(3, 5)
    first = Link(small.code("cross_entropy_64"), [P, label, Y], [3, 5], lambda: said.append(1))
    second = Link(
        small.code("cross_entropy_gradient_64"), [P, label, Y, dX[0]], [3, 5], lambda: said.append(2)
    )
    first()
    second()
    assert said == [1, 2]
    check((torch.zeros(1), dX[1]), torch.zeros(1))
    label[1] = 0
    first()
    second()
    assert said == [1, 2]


def test_logarithm_and_exponential_over_their_whole_range() -> None:
    powers = torch.logspace(-20, 0, 4000, dtype=torch.float64).float()
    Y, at = torch.empty(4000), torch.zeros(4000, dtype=torch.int64)
    Link(small.code("cross_entropy_64"), [powers, at, Y], [4000, 1], _never)()
    torch.testing.assert_close(Y.double(), -powers.double().log(), rtol=3e-7, atol=1e-12)
    X, P = torch.zeros(4000, 2), torch.empty(4000, 2)
    X[:, 1] = torch.linspace(-87, 0, 4000)
    Link(small.code("softmax"), [X, P], [4000, 2])()
    torch.testing.assert_close(P.double(), torch.softmax(X.double(), 1), rtol=5e-7, atol=0)


def test_what_is_no_number_stays_none() -> None:
    X = torch.tensor([[0.0, float("nan"), 1.0], [0.0, float("inf"), 1.0], [0.0, float("-inf"), 1.0]])
    P, Y = torch.empty(3, 3), torch.empty(3)
    Link(small.code("softmax"), [X, P], [3, 3])()
    wanted = torch.softmax(X, 1)
    assert torch.equal(P.isnan(), wanted.isnan())
    torch.testing.assert_close(P[2], wanted[2])
    odd = torch.tensor([[float("nan")], [float("inf")], [0.0]])
    Link(small.code("cross_entropy_64"), [odd, torch.zeros(3, dtype=torch.int64), Y], [3, 1], _never)()
    assert bool(Y[0].isnan())
    assert float(Y[1]) == -float("inf")
    assert float(Y[2]) == pytest.approx(46.0517)


@pytest.mark.parametrize("count", [1, 15, 16, 33])
def test_updates_in_place(count: int) -> None:
    torch.manual_seed(count)
    g, h, x, s = (torch.rand(count) for _ in range(4))
    rate, half, ahead = torch.tensor([0.3]), torch.tensor([0.5]), torch.tensor([1.5])

    def run(name: str, arrays: list[Tensor], numbers: list[Tensor]) -> list[Tensor]:
        made = [t.clone() for t in arrays]
        Link(small.code(name), [*made, *numbers], [count])()
        return made

    def same(found: list[Tensor], *wanted: Tensor) -> None:
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)

    same(run("weighted_step", [x, g], [half, rate]), 0.5 * x + 0.3 * g, g)
    same(run("plain_step", [g, h, x], [rate]), 0.3 * g, 0.3 * g, x - 0.3 * g)
    step = 0.3 * g + 0.5 * h
    same(run("momentum_step", [g, h, x], [rate, half]), step, step, x - step)
    ahead_step = 1.5 * step - 0.5 * h
    same(run("nesterov_step", [g, h, x], [rate, half, ahead]), ahead_step, step, x - ahead_step)
    squares = s + 0.3 * (g * g - s)
    moment = 0.5 * h + 0.3 * g / (squares + 1.5).sqrt()
    made = run("rms_step", [g, s, h, torch.zeros(count)], [rate, rate, ahead, half])
    same(made, g, squares, moment, moment)


def test_a_chain_runs_its_links_in_order_and_looks_at_the_last_ones_mark() -> None:
    X, Y, Z = torch.tensor([[-1.0, 2.0]]), torch.empty(1, 2), torch.empty(1, 2)
    said: list[str] = []
    label, loss = torch.tensor([7]), torch.empty(1)
    links = [
        Link(small.code("relu"), [X, Y], [2]),
        Link(small.code("softmax"), [Y, Z], [1, 2]),
        Link(small.code("cross_entropy_64"), [Z, label, loss], [1, 2], lambda: said.append("7")),
    ]
    run = Chain(links).bind()
    del links
    run()
    assert said == ["7"]
    label.fill_(1)
    X.fill_(3)
    run()
    assert said == ["7"]
    assert float(loss) == pytest.approx(0.6931472)
