"""A net of SqueezeNet 1.1's structure with random weights, as ``init_net.pb`` and ``predict_net.pb``.

Stands in for the trained model that the tutorials download. Structure: Iandola et al., arXiv 1602.07360.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["nets"]

_SEED = 1602
#: squeezed and expanded channels of the fire modules; a number is a pooling between them
_FIRES: tuple[tuple[int, int] | int, ...] = (
    *((16, 64), (16, 64), 3),
    *((32, 128), (32, 128), 5),
    *((48, 192), (48, 192), (64, 256), (64, 256)),
)


class _Builder:
    """Appends layers to the two nets."""

    def __init__(self) -> None:
        from caffe2.python import core

        self._core = core
        self.init, self.predict = core.Net("squeezenet_init"), core.Net("squeezenet")
        self._random = np.random.default_rng(_SEED)

    def conv(self, source: str, name: str, channels: tuple[int, int], kernel: int, **args: int) -> str:
        """Convolution and ReLU."""
        shape = (channels[1], channels[0], kernel, kernel)
        spread = np.sqrt(2 / np.prod(shape[1:]))
        weights = self._random.normal(0, spread, shape).astype(np.float32)
        self._fill(f"{name}_w", weights)
        self._fill(f"{name}_b", np.zeros(channels[1], np.float32))
        self.predict.Conv([source, f"{name}_w", f"{name}_b"], [name], kernel=kernel, **args)
        self.predict.Relu([name], [name])
        return name

    def _fill(self, name: str, values: np.ndarray) -> None:
        self.init.GivenTensorFill([], [name], shape=list(values.shape), values=values.ravel())

    def fire(self, source: str, number: int, inputs: int, squeeze: int, expand: int) -> str:
        """One module: squeeze, then two expansions side by side."""
        name = f"fire{number}"
        small = self.conv(source, f"{name}_squeeze1x1", (inputs, squeeze), 1)
        one = self.conv(small, f"{name}_expand1x1", (squeeze, expand), 1)
        three = self.conv(small, f"{name}_expand3x3", (squeeze, expand), 3, pad=1)
        self.predict.Concat([one, three], [f"{name}_concat", f"{name}_sizes"], order="NCHW")
        return f"{name}_concat"

    def pool(self, source: str, name: str) -> str:
        self.predict.MaxPool([source], [name], kernel=3, stride=2)
        return name


def nets() -> tuple[Any, Any]:
    """The messages init_net and predict_net: data (N, 3, 227, 227) to softmaxout (N, 1000, 1, 1)."""
    make = _Builder()
    make.init.ConstantFill([], ["data"], shape=[1])
    blob = make.pool(make.conv("data", "conv1", (3, 64), 3, stride=2), "pool1")
    channels, number = 64, 2
    for entry in _FIRES:
        if isinstance(entry, int):
            blob = make.pool(blob, f"pool{entry}")
            continue
        squeeze, expand = entry
        blob = make.fire(blob, number, channels, squeeze, expand)
        channels, number = 2 * expand, number + 1
    blob = make.conv(blob, "conv10", (channels, 1000), 1)
    make.predict.AveragePool([blob], ["pool10"], global_pooling=1)
    make.predict.AddExternalOutput(make.predict.Softmax(["pool10"], ["softmaxout"]))
    return make.init.Proto(), make.predict.Proto()
