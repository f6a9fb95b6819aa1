"""Small networks whose inference files the real Paddle wrote; together they use the operators that such files hold."""

from __future__ import annotations

from typing import Any

import numpy as np


def inputs(shapes: Any) -> list[Any]:
    """Arrays of these shapes and element types that do not depend on chance."""
    made = []
    for place, (shape, kind) in enumerate(shapes):
        count = int(np.prod(shape))
        values = np.cos(np.arange(count) * 1.7 + place) * 1.5
        made.append((values if kind == "float32" else np.abs(values * 3)).reshape(shape).astype(kind))
    return made


def _layer(paddle: Any, run: Any, **parts: Any) -> Any:
    class Net(paddle.nn.Layer):  # type: ignore[misc, name-defined]
        """A function with layers."""

        def forward(self, x: Any) -> Any:
            return self.compute(self, x)

    class NetOfTwo(paddle.nn.Layer):  # type: ignore[misc, name-defined]
        """A function of two inputs."""

        def forward(self, x: Any, y: Any) -> Any:
            return self.compute(self, x, y)

    made = NetOfTwo() if run.__code__.co_argcount == 3 else Net()
    made.compute = run
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def networks(paddle: Any) -> dict[str, Any]:
    """Name -> layer, and shape and element type of each input."""
    nn, F = paddle.nn, paddle.nn.functional
    image, row = ([2, 3, 8, 8], "float32"), ([2, 6], "float32")

    def convolutions(self: Any, x: Any) -> Any:
        x = F.relu(self.bn(self.conv(x)))
        x = F.max_pool2d(x, 3, 2, 1) + F.avg_pool2d(x, 3, 2, 1, exclusive=False)
        x = F.hardswish(self.deep(x)) * F.hardsigmoid(x)
        x = self.up(x)
        return F.softmax(self.fc(paddle.flatten(F.adaptive_avg_pool2d(x, 1), 1)))

    def shapes(self: Any, x: Any) -> Any:
        a, b = paddle.split(x, 2, axis=1)
        y = paddle.concat([b, a, paddle.scale(a, 2.0, 1.0)], axis=1)
        y = paddle.transpose(paddle.reshape(y, [-1, 3, 3]), [0, 2, 1])
        y = paddle.squeeze(paddle.unsqueeze(y[:, 1:, ::2], [1]), [1])
        z = paddle.stack([y, paddle.tile(y[:, :1], [1, 2, 1])], axis=0)
        return z, paddle.expand(paddle.mean(y, axis=[1, 2], keepdim=True), [-1, 2, 2]), paddle.shape(y)

    def arithmetic(self: Any, x: Any, y: Any) -> Any:
        z = paddle.maximum(x, y) - paddle.minimum(x, y) / (paddle.abs(y) + 1.0)
        z = paddle.exp(paddle.clip(z, -1.0, 1.0)) + paddle.sqrt(paddle.square(x) + 2.0) + paddle.tanh(y)
        z = (
            z
            + F.gelu(x)
            + F.leaky_relu(y, 0.1)
            + F.elu(x)
            + F.sigmoid(y)
            + F.softplus(x)
            + F.silu(y)
            + F.relu6(x)
        )
        w = paddle.where(x > y, z, paddle.cast(paddle.floor(z), "float32") ** 2)
        return (
            z,
            w,
            paddle.sum(w, axis=1),
            paddle.max(w, axis=0),
            F.log_softmax(z),
            paddle.matmul(z, w, transpose_y=True),
        )

    def choices(self: Any, x: Any) -> Any:
        values, places = paddle.topk(x, 2)
        ones = paddle.full_like(x, 0.5) + paddle.zeros([1, 6]) + paddle.to_tensor([1.0] * 6)
        best = paddle.argmax(x, axis=1)
        return (
            values,
            places,
            ones,
            best,
            F.one_hot(best, 6),
            paddle.cumsum(x, axis=1),
            paddle.index_select(x, best, 1),
        )

    def words(self: Any, ids: Any) -> Any:
        x = self.norm(self.words(ids) + self.words(paddle.ones_like(ids)))
        q = paddle.transpose(paddle.reshape(self.q(x), [0, 0, 2, 3]), [0, 2, 1, 3])
        weights = F.softmax(paddle.matmul(q, q, transpose_y=True) * 0.5)
        x = paddle.reshape(
            paddle.transpose(paddle.matmul(F.dropout(weights, 0.1, training=False), q), [0, 2, 1, 3]),
            [0, 0, 6],
        )
        return paddle.tanh(self.out(x[:, 0]))

    def pictures(self: Any, x: Any) -> Any:
        a = F.interpolate(x, scale_factor=2.0, mode="nearest")
        b = F.interpolate(x, size=[5, 7], mode="bilinear", align_corners=False)
        c = F.pixel_shuffle(paddle.concat([x, x, x, x], axis=1), 2)
        return (
            a,
            b,
            c,
            F.pad(x, [1, 2, 0, 1]),
            self.group(x),
            self.prelu(x),
            F.normalize(x, axis=1),
            self.instance(x),
        )

    return {
        "convolutions": (
            _layer(
                paddle, convolutions, conv=nn.Conv2D(3, 4, 3, stride=1, padding=1), bn=nn.BatchNorm2D(4),
                deep=nn.Conv2D(4, 4, 3, padding=1, groups=4, bias_attr=False), up=nn.Conv2DTranspose(4, 5, 2, stride=2),
                fc=nn.Linear(5, 3),
            ),
            [image],
        ),
        "shapes": (_layer(paddle, shapes), [row]),
        "arithmetic": (_layer(paddle, arithmetic), [row, row]),
        "choices": (_layer(paddle, choices), [row]),
        "words": (
            _layer(
                paddle, words, words=nn.Embedding(5, 6), norm=nn.LayerNorm(6), q=nn.Linear(6, 6), out=nn.Linear(6, 2)
            ),
            [([2, 4], "int64")],
        ),
        "pictures": (
            _layer(
                paddle, pictures, group=nn.GroupNorm(3, 3), prelu=nn.PReLU(3), instance=nn.InstanceNorm2D(3)
            ),
            [image],
        ),
    }  # fmt: skip
