"""Functions that take `data_format`: channels last gives what channels first gives."""

from __future__ import annotations

import numpy as np
import pytest

import freshpot.paddle as paddle

F = paddle.nn.functional
FUNCTIONS = {
    "group_norm": lambda x, fmt: F.group_norm(x, 2, data_format=fmt),
    "instance_norm": lambda x, fmt: F.instance_norm(x, data_format=fmt),
    "GroupNorm": lambda x, fmt: paddle.nn.GroupNorm(2, 8, data_format=fmt)(x),
    "InstanceNorm2D": lambda x, fmt: paddle.nn.InstanceNorm2D(8, data_format=fmt)(x),
    "local_response_norm": lambda x, fmt: F.local_response_norm(x, 3, data_format=fmt),
    "pixel_shuffle": lambda x, fmt: F.pixel_shuffle(x, 2, data_format=fmt),
    "interpolate": lambda x, fmt: F.interpolate(x, size=[5, 7], mode="bilinear", data_format=fmt),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_channels_last_is_channels_first_moved(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 8, 4, 6)).astype(np.float32)
    first = FUNCTIONS[name](paddle.to_tensor(x), "NCHW").numpy()
    last = FUNCTIONS[name](paddle.to_tensor(np.moveaxis(x, 1, -1).copy()), "NHWC").numpy()
    np.testing.assert_allclose(np.moveaxis(last, -1, 1), first, rtol=1e-5, atol=1e-6)
