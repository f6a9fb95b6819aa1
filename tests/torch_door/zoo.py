"""Modules of the shapes that people have, small enough to be quick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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


def vgg_bn() -> nn.Module:
    layers: list[nn.Module] = []
    for layer in vgg():
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
    return nn.Sequential(*layers)


def mobilenet_v1() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(True)]
    for inside, out, stride in ((8, 16, 1), (16, 16, 2), (16, 24, 1)):
        layers += [
            nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU(True),
            nn.Conv2d(inside, out, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(True),
        ]
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(24, 10))


class Fire(nn.Module):
    def __init__(self, inside: int, squeeze: int, out: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inside, squeeze, 1)
        self.expand1 = nn.Conv2d(squeeze, out, 1)
        self.expand3 = nn.Conv2d(squeeze, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1(x)), F.relu(self.expand3(x))], 1)


def squeezenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.ReLU(True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(8, 4, 8),
        Fire(16, 4, 8),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(16, 8, 12),
        nn.Dropout(0.5),
        nn.Conv2d(24, 10, 1),
        nn.ReLU(True),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
    )


class Inception(nn.Module):
    def __init__(self, inside: int, out: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inside, out, 1)
        self.three = nn.Sequential(nn.Conv2d(inside, out, 1), nn.ReLU(), nn.Conv2d(out, out, 3, padding=1))
        self.five = nn.Sequential(nn.Conv2d(inside, out, 1), nn.ReLU(), nn.Conv2d(out, out, 5, padding=2))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(inside, out, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1))


def googlenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3),
        nn.ReLU(True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(5),
        Inception(8, 4),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Inception(16, 6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(24, 10),
    )


class Dense(nn.Module):
    def __init__(self, inside: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inside), nn.Conv2d(inside, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


def densenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.MaxPool2d(3, 2, 1),
        Dense(8, 4),
        Dense(12, 4),
        nn.BatchNorm2d(16),
        nn.ReLU(True),
        nn.Conv2d(16, 8, 1, bias=False),
        nn.AvgPool2d(2, 2),
        Dense(8, 4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    )


class CharModel(nn.Module):
    """Characters to the next ones."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.table = nn.Embedding(17, 6)
        self.rnn = getattr(nn, kind)(6, 8, batch_first=True, **options)
        self.head = nn.Linear(8 * (1 + bool(options.get("bidirectional"))), 17)

    def forward(self, text: Tensor) -> Tensor:
        y, _ = self.rnn(self.table(text))
        return self.head(y)


class Attention(nn.Module):
    """A transformer's encoder block written out, over words with places."""

    def __init__(self, causal: bool = False) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(17, 16), nn.Embedding(12, 16)
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 16))
        self.head = nn.Linear(16, 17)
        self.causal = causal

    def forward(self, text: Tensor) -> Tensor:
        B, T = text.shape
        x = self.table(text) + self.places(torch.arange(T))
        q, k, v = (part.view(B, T, 4, 4).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(16, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, 16))
        return self.head(x + self.mlp(self.norm2(x)))


class Encoder(nn.Module):
    """PyTorch's own encoder layer behind a look-up."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.table = nn.Embedding(17, 16)
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, **options)

    def forward(self, text: Tensor) -> Tensor:
        return self.layer(self.table(text))


class VisionTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.first = nn.Parameter(torch.randn(1, 1, 16))
        self.places = nn.Parameter(torch.randn(1, 17, 16))
        self.layer = nn.TransformerEncoderLayer(
            16, 2, 32, batch_first=True, norm_first=True, activation="gelu"
        )
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.layer(x)[:, 0])


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.down1(x))
        b = F.relu(self.down2(F.max_pool2d(a, 2)))
        y = torch.cat([self.up(b), a], 1)
        return F.interpolate(self.last(y), scale_factor=1.5, mode="bilinear", align_corners=False)


class SqueezeExcite(nn.Module):
    """As in MobileNet v3 and EfficientNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.less, self.more = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norm(self.stem(x)))
        gate = F.hardsigmoid(self.more(F.relu(self.less(x.mean((2, 3), keepdim=True)))))
        return self.head(F.hardswish(x * gate).mean([2, 3]))


@dataclass(frozen=True)
class Case:
    """A module, the shape of its input without the batch, and how many words there are (0: it takes images)."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    words: int = 0

    def inputs(self, batch: int) -> Tensor:
        """A batch."""
        if self.words:
            return torch.randint(0, self.words, (batch, *self.shape))
        return torch.rand(batch, *self.shape)


IMAGE, TEXT = (3, 32, 32), (7,)
MODULES: dict[str, Case] = {
    "LeNet": Case(LeNet, (1, 28, 28)),
    "ResNet-18": Case(lambda: ResNet([2, 2, 2, 2], 1), (3, 64, 64)),
    "ResNet-50": Case(lambda: ResNet([3, 4, 6, 3], 4), (3, 64, 64)),
    "MobileNet v1": Case(mobilenet_v1, IMAGE),
    "MobileNet v2": Case(mobilenet, IMAGE),
    "squeeze and excite": Case(SqueezeExcite, IMAGE),
    "VGG": Case(vgg, IMAGE),
    "VGG with BN": Case(vgg_bn, IMAGE),
    "SqueezeNet": Case(squeezenet, (3, 33, 33)),
    "GoogLeNet": Case(googlenet, (3, 36, 36)),
    "DenseNet": Case(densenet, IMAGE),
    "UNet": Case(UNet, (3, 16, 16)),
    "LSTM": Case(lambda: CharModel("LSTM"), TEXT, 17),
    "GRU": Case(lambda: CharModel("GRU", num_layers=2), TEXT, 17),
    "RNN": Case(lambda: CharModel("RNN", bidirectional=True), TEXT, 17),
    "attention": Case(Attention, TEXT, 17),
    "causal attention": Case(lambda: Attention(causal=True), TEXT, 17),
    "encoder layer": Case(Encoder, TEXT, 17),
    "vision transformer": Case(VisionTransformer, (3, 32, 32)),
}


def made(name: str, training: bool = False, dropout: bool = True) -> nn.Module:
    """A module with running statistics of its own; without ``dropout`` it drops nothing in training either."""
    torch.manual_seed(1)
    case = MODULES[name]
    net = case.make()
    with torch.no_grad():
        for _ in range(3):
            net(case.inputs(4))
    net.train(training)
    for part in net.modules():
        if isinstance(part, nn.Dropout) and not dropout:
            part.p = 0.0
        if isinstance(part, nn.MultiheadAttention) and not dropout:
            part.dropout = 0.0
    return net
