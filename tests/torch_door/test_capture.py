"""Modules as nets, and back again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freshpot.errors import ArityError, FreshpotError, NotSupportedError
from freshpot.torch import capture, module

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Any:
        return self.function(*x)


IMAGE, ROWS = (2, 4, 8, 8), (3, 6)


def _written(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, 1:3] = x[:, :2]
    y[:, 0] += x[:, 3]
    return y * 2


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "gelu": (F.gelu, ROWS),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), ROWS),
    "silu": (F.silu, ROWS),
    "elu": (lambda x: F.elu(x, 0.5), ROWS),
    "selu": (F.selu, ROWS),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), ROWS),
    "relu6": (F.relu6, ROWS),
    "hardtanh": (F.hardtanh, ROWS),
    "hardsigmoid": (F.hardsigmoid, ROWS),
    "clamp": (lambda x: x.clamp(min=0.1), ROWS),
    "sigmoid, tanh": (lambda x: torch.sigmoid(x) - torch.tanh(x), ROWS),
    "arithmetic": (lambda x: (2 * x + 1 - x / 4) * x / (x.abs() + 1), ROWS),
    "number minus": (lambda x: 1 - x, ROWS),
    "pow": (lambda x: x.abs() ** 1.5, ROWS),
    "softmax": (lambda x: F.softmax(x, -1), ROWS),
    "log_softmax far out": (lambda x: F.log_softmax(x * 300, -1), ROWS),
    "mean": (lambda x: x.mean((2, 3)), IMAGE),
    "mean of all": (lambda x: x.mean(), ROWS),
    "sum": (lambda x: x.sum(1, keepdim=True), IMAGE),
    "amax": (lambda x: x.amax((2, 3)), IMAGE),
    "cat": (lambda x: torch.cat([x, -x], 1), IMAGE),
    "chunk": (lambda x: x.chunk(2, 1)[1], IMAGE),
    "all chunks": (lambda x: x.chunk(2, 1)[1] * x.chunk(2, 1)[0], IMAGE),
    "slice": (lambda x: x[:, 1:3, :, -4:], IMAGE),
    "permute": (lambda x: x.permute(0, 2, 3, 1), IMAGE),
    "transpose": (lambda x: x.transpose(1, 2), IMAGE),
    "unsqueeze": (lambda x: x.unsqueeze(1).squeeze(1), ROWS),
    "flatten": (lambda x: x.flatten(2), IMAGE),
    "reshape": (lambda x: x.reshape(2, 2, 2, 64).flatten(1, 2), IMAGE),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1), IMAGE),
    "avg_pool2d without padding": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), IMAGE),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (2, 4)), IMAGE),
    "adaptive max": (lambda x: F.adaptive_max_pool2d(x, 2), IMAGE),
    "large max pool": (lambda x: F.max_pool2d(x, 4, 2), IMAGE),
    "max pool with padding": (lambda x: F.max_pool2d(x, 3, 2, 1), IMAGE),
    "pad": (lambda x: F.pad(x, (1, 2, 3, 0), value=0.5), IMAGE),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), IMAGE),
    "matmul": (lambda x: x @ x.transpose(-1, -2), IMAGE),
    "softmax of channels": (lambda x: F.softmax(x, 1), IMAGE),
    "log_softmax of channels": (lambda x: F.log_softmax(x, 1), IMAGE),
    "softplus, mish": (lambda x: F.softplus(x) * F.mish(x), ROWS),
    "erf, rsqrt": (lambda x: torch.erf(x) + torch.rsqrt(x.abs() + 1), ROWS),
    "log1p, expm1": (lambda x: torch.log1p(x.abs()) - torch.expm1(x), ROWS),
    "glu": (lambda x: F.glu(x, 1), IMAGE),
    "hardswish": (F.hardswish, ROWS),
    "alpha": (lambda x: torch.add(x, x.sin(), alpha=-2), ROWS),
    "twice the same": (lambda x: x * x + x, ROWS),
    "where": (lambda x: torch.where(x > 0, x, -2 * x), ROWS),
    "masked_fill": (lambda x: x.masked_fill(x < 0.1, -1.0), ROWS),
    "maximum": (lambda x: torch.maximum(x, x.sin().flip(0)), ROWS),
    "variance": (lambda x: x.var(1) + x.std(1), ROWS),
    "norm": (lambda x: F.normalize(x, dim=1), ROWS),
    "max of a dimension": (lambda x: x.max(1).values, ROWS),
    "topk": (lambda x: x.topk(2).values, ROWS),
    "argmax": (lambda x: x * x.argmax(1, keepdim=True), ROWS),
    "stack, unbind": (lambda x: torch.stack([-x, x], 1).unbind(1)[1], ROWS),
    "select": (lambda x: x[:, 1], IMAGE),
    "step": (lambda x: x[:, ::2], IMAGE),
    "index": (lambda x: x[:, [2, 0, 1]], IMAGE),
    "flip, roll": (lambda x: x.flip(1).roll(1, 2), IMAGE),
    "repeat": (lambda x: x.repeat(1, 2, 1, 1), IMAGE),
    "expand": (lambda x: x.unsqueeze(1).expand(-1, 3, -1), ROWS),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), IMAGE),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), IMAGE),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), IMAGE),
    "adaptive to any size": (lambda x: F.adaptive_avg_pool2d(x, 3), IMAGE),
    "adaptive max to any size": (lambda x: F.adaptive_max_pool2d(x, (3, 5)), IMAGE),
    "max pool rounded up": (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), IMAGE),
    "max pool dilated": (lambda x: F.max_pool2d(x, 2, 1, dilation=2), IMAGE),
    "average pool rounded up": (lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), IMAGE),
    "bilinear": (lambda x: F.interpolate(x, (5, 11), mode="bilinear"), IMAGE),
    "bilinear by corners": (lambda x: F.interpolate(x, (5, 11), mode="bilinear", align_corners=True), IMAGE),
    "bicubic": (lambda x: F.interpolate(x, scale_factor=1.5, mode="bicubic"), IMAGE),
    "nearest to any size": (lambda x: F.interpolate(x, (5, 3)), IMAGE),
    "pad of rows": (lambda x: F.pad(x, (1, 2)), ROWS),
    "reflect": (lambda x: F.pad(x, (1, 2, 2, 1), mode="reflect"), IMAGE),
    "circular": (lambda x: F.pad(x, (1, 2, 2, 1), mode="circular"), IMAGE),
    "one matrix for all": (lambda x: x @ x[0, 0], IMAGE),
    "written into": (lambda x: _written(x), IMAGE),
    "mse_loss": (lambda x: F.mse_loss(x, x.detach() * 2), ROWS),
    "l1_loss": (lambda x: F.l1_loss(x, x.detach() * 2, reduction="sum"), ROWS),
    "smooth_l1_loss": (lambda x: F.smooth_l1_loss(x, x.detach() * 2.5), ROWS),
    "huber_loss": (lambda x: F.huber_loss(x, x.detach() * 2.5), ROWS),
    "bce": (lambda x: F.binary_cross_entropy(x.sigmoid(), (x.detach() > 0).float()), ROWS),
    "bce with logits": (lambda x: F.binary_cross_entropy_with_logits(x, (x.detach() > 0).float()), ROWS),
    "kl_div": (lambda x: F.kl_div(x.log_softmax(1), x.detach().softmax(1), reduction="batchmean"), ROWS),
    "nll_loss": (lambda x: F.nll_loss(x.log_softmax(1), torch.tensor([1, 0, 5])), ROWS),
    "cross entropy of images": (lambda x: F.cross_entropy(x, x.detach().argmax(1), ignore_index=2), IMAGE),
    "smoothed cross entropy": (
        lambda x: F.cross_entropy(x, torch.tensor([1, 0, 5]), label_smoothing=0.1),
        ROWS,
    ),
    "several outputs": (lambda x: (x + 1, x * 2), ROWS),
    "detach": (lambda x: x * x.detach(), ROWS),
}
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "LayerNorm": (lambda: nn.LayerNorm(6), ROWS),
    "BatchNorm without affine": (lambda: nn.BatchNorm2d(4, affine=False), IMAGE),
    "PReLU": (lambda: nn.PReLU(4), IMAGE),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1), IMAGE),
    "grouped, dilated": (lambda: nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2), IMAGE),
    "same": (lambda: nn.Conv2d(4, 8, 3, padding="same"), IMAGE),
    "Linear of 3 dimensions, no bias": (lambda: nn.Linear(8, 5, bias=False), IMAGE),
    "InstanceNorm": (lambda: nn.InstanceNorm2d(4, affine=True), IMAGE),
    "LayerNorm without bias": (lambda: nn.LayerNorm((8, 8), bias=False), IMAGE),
    "RMSNorm": (lambda: nn.RMSNorm(6), ROWS),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), IMAGE),
    "same, of an even kernel": (lambda: nn.Conv2d(4, 8, 4, padding="same"), IMAGE),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(3, 2, 3, 2), (2, 3, 6)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 3, 2, 2), (2, 2, 3, 3, 3)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), (2, 2, 4, 4, 4)),
    "Conv1d": (lambda: nn.Conv1d(3, 2, 3), (2, 3, 6)),
}
CASES = {
    **{name: (lambda f=f: Call(f), shape) for name, (f, shape) in FUNCTIONS.items()},
    **LAYERS,
}


@pytest.mark.parametrize("name", CASES)
def test_converters(name: str) -> None:
    """Outputs and the input's gradient are PyTorch's."""
    make, shape = CASES[name]
    torch.manual_seed(2)
    net = make()
    x = torch.randn(shape)
    captured = capture(net, x)
    leaf = x.clone().requires_grad_()
    wanted, found = net(leaf), captured.run(x)
    torch.testing.assert_close(found, wanted, **CLOSE)
    first = wanted[0] if isinstance(wanted, tuple) else wanted
    (grad,) = torch.autograd.grad(first.sum(), leaf)
    grads = captured.add_gradients(captured.outputs[0])
    captured.run(x)
    torch.testing.assert_close(captured.workspace.get(grads[captured.inputs[0]]), grad, rtol=1e-4, atol=1e-5)


def test_a_loss_and_an_embedding() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(11, 4)
            self.fc = nn.Linear(4, 3)

        def forward(self, words: Tensor, labels: Tensor) -> Tensor:
            return F.cross_entropy(self.fc(self.table(words)), labels)

    net, given = Words(), (torch.tensor([1, 4, 4]), torch.tensor([0, 2, 1]))
    captured = capture(net, given)
    assert captured.inputs == ["words", "labels"]
    torch.testing.assert_close(captured.run(*given), net(*given), **CLOSE)
    back = module(captured)
    back(*given).backward()
    net(*given).backward()
    torch.testing.assert_close(back.get_parameter("table.weight").grad, net.table.weight.grad, **CLOSE)


def test_all_unknown_operators_are_named() -> None:
    """Unknown ones and refused calls alike, in one error."""

    def function(x: Tensor) -> Tensor:
        return torch.sort(x.cumsum(0)).values + torch.add(x, x.long(), alpha=2)

    with pytest.raises(NotSupportedError) as error:
        capture(Call(function), torch.ones(2))
    words = str(error.value)
    assert "3 of its ATen operators have" in words
    for one in ("cumsum Did you mean", "sort", "alpha of whole numbers"):
        assert one in words


@pytest.mark.parametrize(
    ("function", "shape", "words"),
    [
        (lambda x: x[x > 0], ROWS, "int32 or int64"),
        (lambda x: F.avg_pool2d(x, 3, 2, 1, True, False), IMAGE, "ceil_mode"),
        (lambda x: x.norm(3), ROWS, "norms 1 and 2"),
        (lambda x: 2**x, ROWS, "number as base"),
    ],
)
def test_what_is_not_converted(function: Any, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(NotSupportedError, match=words):
        capture(Call(function), torch.rand(shape))


def test_wrong_inputs() -> None:
    captured = capture(nn.ReLU(), torch.ones(2))
    with pytest.raises(ArityError, match="takes 1 inputs"):
        captured.run()
    with pytest.raises(FreshpotError, match="must be"):
        captured.run(torch.ones(2, dtype=torch.int32))
