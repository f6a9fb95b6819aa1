"""Modules of nets where PyTorch's modules go: compiled, on devices, in other types, in checkpoints, in warnings."""

from __future__ import annotations

import copy
import io
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_module import BN, CLOSE, LENET, LENET_SHAPES, conv, values
from torch import Tensor, nn

from far_device import FAR, far_device
from freshpot.errors import DTypeError, NotSupportedError
from freshpot.net import Net
from freshpot.torch import FixedBatchWarning, NetModule, capture, module

X = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(4, dtype=torch.int32)


def lenet() -> NetModule:
    return module(Net("lenet", LENET, ["data", "label"], ["loss"]), values(LENET_SHAPES, LENET))


def normalised() -> NetModule:
    """With running statistics, which are buffers."""
    ops = [conv("data", "a", kernel=3, pad=1), BN]
    return module(Net("n", ops, outputs=["y"]), values({"a": (4, 3, 3, 3), "bn": (4,)}, ops))


# ---- torch.compile -------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")),
    reason="torch.compile's inductor needs a C++ compiler, and there is none",
)
@pytest.mark.parametrize(
    ("name", "training"),
    # in use, the engine's gradient of batch normalisation is the original's, which is not PyTorch's
    [("LeNet", False), ("LeNet", True), ("batch normalisation", True)],
)
def test_inductor(name: str, training: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, gradients and statistics of the compiled module are those of the module itself."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    net, given = (lenet(), (X, LABELS)) if name == "LeNet" else (normalised(), (torch.randn(2, 3, 9, 9),))
    net.train(training)
    twin = copy.deepcopy(net)
    compiled = torch.compile(twin, backend="inductor", fullgraph=True)
    made, wanted = compiled(*given), net(*given)
    torch.testing.assert_close(made, wanted, **CLOSE)
    made.sum().backward()
    wanted.sum().backward()
    for (key, one), other in zip(net.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4, msg=key)
    for one, other in zip(net.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(other, one, **CLOSE)


# ---- devices, types, copies ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "move", [lambda net: net.to(FAR), lambda net: net.cuda(), lambda net: net.to("cuda:0")]
)
def test_on_a_device(move: Callable[[NetModule], NetModule], monkeypatch: pytest.MonkeyPatch) -> None:
    """A module goes to the device with parameters and statistics, computes there, and comes back."""
    near = normalised()
    x = torch.randn(2, 3, 9, 9)
    wanted = near(x)
    wanted.sum().backward()
    with far_device(monkeypatch) as traffic:
        net = normalised()
        moved = move(net)
        assert moved is net
        assert all(value.device == FAR for value in net.state_dict().values())
        far_x = x.to(FAR)
        traffic.reset()
        made = net(far_x)
        made.sum().backward()
        assert made.device == FAR
        assert (traffic.uploads, traffic.downloads) == (0, 0)
        torch.testing.assert_close(made.detach().cpu(), wanted.detach(), **CLOSE)
        for (key, one), other in zip(near.named_parameters(), net.parameters(), strict=True):
            assert other.grad is not None
            torch.testing.assert_close(other.grad.cpu(), one.grad, **CLOSE, msg=key)
        back = net.cpu()
        for one, other in zip(near.buffers(), back.buffers(), strict=True):
            assert other.device.type == "cpu"
            torch.testing.assert_close(other, one, **CLOSE)
        torch.testing.assert_close(back(x).detach(), near(x).detach(), **CLOSE)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda net: net.half(), "float16"),
        (lambda net: net.bfloat16(), "bfloat16"),
        (lambda net: net.double(), "float64"),
        (lambda net: net.to(torch.float64), "float64"),
        (lambda net: net.to(X.double()), "float64"),
    ],
)
def test_other_types_are_refused_by_name(change: Callable[[NetModule], Any], found: str) -> None:
    """The error names operator and blob; a module that is float32 again computes again."""
    net = change(lenet())
    assert {str(p.dtype) for p in net.parameters()} == {f"torch.{found}"}
    dtype = next(net.parameters()).dtype
    with pytest.raises(DTypeError, match=rf"operator Conv \(data.*must be float32.*{found}"):
        net(X.to(dtype), LABELS)
    with pytest.raises(DTypeError, match=rf"must be float32, but blob 'conv1_w' is {found}"):
        net(X, LABELS)
    assert net.float()(X, LABELS).isfinite()


def test_under_autocast_it_computes_in_float32() -> None:
    net, before = lenet(), nn.Linear(28, 28)
    with torch.autocast("cpu", torch.bfloat16):
        half = before(X)
        made = net(half, LABELS)
    assert half.dtype == torch.bfloat16
    assert made.dtype == torch.float32
    assert torch.equal(made, net(half.float(), LABELS))
    made.backward()
    assert all(p.grad is not None for p in [*net.parameters(), *before.parameters()])


def test_a_deep_copy_is_apart() -> None:
    net = normalised()
    x = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        net(torch.randn(2, 3, 64, 64))  # large enough for a choice among kernels
    net(x)  # so that there is something bound to be copied
    twin = copy.deepcopy(net)
    assert all(
        torch.equal(a, b) for a, b in zip(net.state_dict().values(), twin.state_dict().values(), strict=True)
    )
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    twin(x)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    twin.train()(x)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not torch.equal(net.eval()(x), twin.eval()(x))


def test_a_module_that_ran_is_saved_whole() -> None:
    net, x = normalised().eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = net(x)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), wanted)


@pytest.mark.parametrize("make", [lenet, normalised])
def test_a_checkpoint_needs_no_pickle(make: Callable[[], NetModule]) -> None:
    """state_dict -> torch.save -> torch.load(weights_only) -> load_state_dict, with an optimizer's state."""
    net = make()
    given = (X, LABELS) if make is lenet else (torch.randn(2, 3, 9, 9),)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    net.train()(*given).sum().backward()
    optimizer.step()
    buffer = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    kept = torch.load(buffer, weights_only=True)
    other = make()
    assert not all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
    assert other.load_state_dict(kept["net"]) == nn.modules.module._IncompatibleKeys([], [])
    again = torch.optim.SGD(other.parameters(), 0.01, momentum=0.9)
    again.load_state_dict(kept["optimizer"])
    for one, opt in ((net, optimizer), (other, again)):
        opt.zero_grad()
        one.train()(*given).sum().backward()
        opt.step()
    for key, value in net.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_a_checkpoint_of_another_net_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"Missing key\(s\).*conv1.weight"):
        lenet().load_state_dict(normalised().state_dict())


# ---- a batch that cannot stay open ---------------------------------------------------------------------
class Call(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


CLOSED = {
    "it knows the size": (lambda x: x.view(4, -1) * 2, "must know that the first size of 'x' is 4"),
    "it asks for the size": (
        lambda x: x * 2 if x.shape[0] == 4 else x,
        "must know that the first size of 'x' is 4",
    ),
    "torch.export fails": (
        lambda x: x * {4: 2.0}[x.shape[0]],
        r"torch\.export fails otherwise \(TypeError: unhash",
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_fixed_batch_is_announced(name: str) -> None:
    function, words = CLOSED[name]
    x = torch.rand(4, 3)
    with pytest.warns(
        FixedBatchWarning, match=rf"'Call' is captured for inputs of \(4, 3\) alone: .*{words}"
    ):
        made = capture(Call(function), x)
    torch.testing.assert_close(made.run(x), function(x))
    with pytest.raises(NotSupportedError, match=f"cannot be captured with an open batch: .*{words}"):
        capture(Call(function), x, open_batch=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FixedBatchWarning)
        made = capture(Call(function), x, open_batch=False)
    torch.testing.assert_close(made.run(x), function(x))


def test_an_open_batch_is_not() -> None:
    x = torch.rand(4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FixedBatchWarning)
        for made in (capture(nn.Linear(3, 2), x), capture(nn.Linear(3, 2), x, open_batch=True)):
            assert made.run(torch.rand(7, 3)).shape == (7, 2)
        capture(Call(lambda x: x.view(1, -1)), x[:1])  # an example of one fixes it, as it is said to
