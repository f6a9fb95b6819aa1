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


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return F.log_softmax(self.fc2(F.relu(self.fc1(x.view(-1, 800)))), dim=1)


class Block(nn.Module):
    """Two or three convolutions and a way past them; ``wide`` is the ratio of a bottleneck."""

    def __init__(self, inside: int, width: int, stride: int, wide: int) -> None:
        super().__init__()
        out = width * wide
        if wide == 1:
            convs = [
                nn.Conv2d(inside, width, 3, stride, 1, bias=False),
                nn.Conv2d(width, out, 3, 1, 1, bias=False),
            ]
        else:
            convs = [
                nn.Conv2d(inside, width, 1, bias=False),
                nn.Conv2d(width, width, 3, stride, 1, bias=False),
                nn.Conv2d(width, out, 1, bias=False),
            ]
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(conv.out_channels) for conv in convs)
        self.past = nn.Sequential()
        if stride != 1 or inside != out:
            self.past = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y))
            if i + 1 < len(self.convs):
                y = F.relu(y, inplace=True)
        return F.relu(y + self.past(x))


class ResNet(nn.Module):
    def __init__(self, counts: list[int], wide: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks, inside = [], 8
        for stage, count in enumerate(counts):
            for i in range(count):
                blocks.append(Block(inside, 8 << stage, 2 if stage and not i else 1, wide))
                inside = (8 << stage) * wide
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inside, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.head(self.blocks(self.pool(self.stem(x)))), 1))


class Inverted(nn.Module):
    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        hidden = inside * 4
        self.same = stride == 1 and inside == out
        self.body = nn.Sequential(
            nn.Conv2d(inside, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Hardswish(),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.same else self.body(x)


def mobilenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        Inverted(8, 8, 1),
        Inverted(8, 12, 2),
        Inverted(12, 12, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(12, 10),
    )


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    inside = 3
    for out, count in ((8, 2), (16, 2), (32, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(inside, out, 3, padding=1), nn.ReLU(inplace=True)]
            inside = out
        layers.append(nn.MaxPool2d(2, 2))
    layers += [
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.ReLU(True),
        nn.Dropout(),
        nn.Linear(64, 10),
    ]
    return nn.Sequential(*layers)


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "LeNet": (LeNet, (2, 1, 28, 28)),
    "ResNet-18": (lambda: ResNet([2, 2, 2, 2], 1), (2, 3, 64, 64)),
    "ResNet-50": (lambda: ResNet([3, 4, 6, 3], 4), (2, 3, 64, 64)),
    "MobileNet": (mobilenet, (2, 3, 32, 32)),
    "VGG": (vgg, (2, 3, 32, 32)),
}


def made(name: str, training: bool = False) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    make, shape = MODULES[name]
    net = make()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(shape))  # running statistics of their own
    return net.train(training), torch.rand(shape)


@pytest.mark.parametrize("name", MODULES)
def test_round_trip(name: str) -> None:
    """capture -> module -> capture: the same outputs and the same state."""
    net, x = made(name)
    with torch.no_grad():
        wanted = net(x)
    first = capture(net, x)
    torch.testing.assert_close(first.run(x), wanted, **CLOSE)
    back = module(first)
    torch.testing.assert_close(back(x), wanted, **CLOSE)
    state = {key: value for key, value in net.state_dict().items() if "num_batches" not in key}
    assert set(state) <= set(back.state_dict())
    assert all(torch.equal(back.state_dict()[key], value) for key, value in state.items())
    again = capture(back, (x,))
    torch.testing.assert_close(again.run(x), wanted, **CLOSE)
    torch.testing.assert_close(module(again)(x), wanted, **CLOSE)
    assert set(again.trainable) == set(first.trainable)


@pytest.mark.parametrize("name", ["LeNet", "ResNet-18"])
def test_the_engine_trains_it(name: str) -> None:
    """Gradients and running statistics in training mode are PyTorch's."""
    net, x = made(name, training=True)
    captured = capture(net, x)
    grads = captured.add_gradients()
    captured.run(x)
    net(x).sum().backward()
    scale = max(float(p.grad.abs().max()) for p in net.parameters() if p.grad is not None)
    for key, parameter in net.named_parameters():
        found = captured.workspace.get(grads[key])
        torch.testing.assert_close(found, parameter.grad, rtol=1e-3, atol=1e-4 * scale)
    for key, buffer in net.named_buffers():
        torch.testing.assert_close(
            captured.workspace.get(key), buffer, rtol=1e-4, atol=1e-5, check_dtype=False
        )


def test_round_trip_in_training() -> None:
    net, x = made("ResNet-18", training=True)
    first = capture(net, x)
    again = capture(module(first), x)
    torch.testing.assert_close(again.run(x), first.run(x), rtol=1e-4, atol=1e-4)


def test_another_batch_size() -> None:
    net, _ = made("LeNet")
    x = torch.rand(7, 1, 28, 28)
    torch.testing.assert_close(capture(net, x[:2]).run(x), net(x), **CLOSE)


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Any:
        return self.function(*x)


IMAGE, ROWS = (2, 4, 8, 8), (3, 6)
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


def test_dropout_in_training() -> None:
    captured = capture(nn.Dropout(0.25).train(), torch.ones(1000))
    assert sorted(set(captured.run(torch.ones(1000)).tolist())) == pytest.approx([0, 4 / 3])
    again = capture(module(captured), torch.ones(1000))
    assert [op.type for op in again.net.ops] == ["Dropout"]


def test_all_unknown_operators_are_named() -> None:
    with pytest.raises(NotSupportedError, match=r"2 of its ATen operators(.|\n)*cumsum(.|\n)*erf") as error:
        capture(Call(lambda x: torch.erf(x).cumsum(0)), torch.ones(2))
    assert "Call" in str(error.value)


@pytest.mark.parametrize(
    ("function", "shape", "words"),
    [
        (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), IMAGE, "ceil_mode"),
        (lambda x: F.softmax(x, 0), ROWS, "only the last dimension"),
        (lambda x: F.adaptive_avg_pool2d(x, 3), IMAGE, "windows of equal size"),
        (lambda x: x[:, ::2], ROWS, "step"),
        (lambda x: torch.add(x, x, alpha=2), ROWS, "alpha"),
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
