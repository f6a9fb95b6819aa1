"""Convolution, pooling and normalisation: what recorded cases do not say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freshpot.engine import Workspace
from freshpot.errors import ArgumentError, ArityError, ShapeError
from freshpot.net import Net, Op


def run(op: Op, **inputs: np.ndarray) -> Workspace:
    """Run one operator on these inputs."""
    ws = Workspace()
    for name, value in inputs.items():
        ws.feed(name, value)
    ws.run_once(Net("net", [op]))
    return ws


def noise(*shape: int) -> np.ndarray:
    return np.random.RandomState(sum(shape)).randn(*shape).astype(np.float32)


@pytest.mark.parametrize(("channels", "group", "pad"), [(1, 1, 0), (3, 1, 1), (4, 2, 1), (4, 4, 0)])
def test_channels_last_memory_changes_no_value(channels: int, group: int, pad: int) -> None:
    X, W, b = noise(2, channels, 7, 6), noise(8, channels // group, 3, 3), noise(8)
    op = Op("Conv", ["X", "W", "b"], ["Y"], {"kernel": 3, "pad": pad, "group": group})
    Y = run(op, X=X, W=W, b=b).get("Y")
    wanted = torch.nn.functional.conv2d(
        torch.from_numpy(X), torch.from_numpy(W), torch.from_numpy(b), padding=pad, groups=group
    )
    torch.testing.assert_close(Y.contiguous(), wanted)


def test_a_gradient_without_the_input_has_the_same_filters() -> None:
    X, W, dY = noise(2, 3, 6, 6), noise(4, 3, 3, 3), noise(2, 4, 4, 4)
    inputs, args = ["X", "W", "dY"], {"kernel": 3}
    short = run(Op("ConvGradient", inputs, ["dW", "db"], args), X=X, W=W, dY=dY)
    long = run(Op("ConvGradient", inputs, ["dW", "db", "dX"], args), X=X, W=W, dY=dY)
    for name in ("dW", "db"):
        torch.testing.assert_close(short.get(name), long.get(name))


def test_the_net_never_writes_to_the_image_it_is_given() -> None:
    X = noise(2, 1, 6, 6)
    ws = run(Op("Conv", ["X", "W"], ["Y"], {"kernel": 1}), X=X, W=np.ones((1, 1, 1, 1), np.float32))
    ws.get("Y").add_(1.0)
    np.testing.assert_array_equal(ws.get("X").numpy(), X)


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("args", [{"kernel": 2, "stride": 2}, {"kernel": 3, "stride": 2, "pad": 1}])
def test_all_equal_maxima_get_the_gradient(size: int, args: dict[str, int]) -> None:
    """Windows full of one value: each pixel gets dY once for each window it is in."""
    X = np.zeros((1, 2, size, size), np.float32)
    Y = run(Op("MaxPool", ["X"], ["Y"], args), X=X).get("Y")
    dY = np.ones(tuple(Y.shape), np.float32)
    gradient = Op("MaxPoolGradient", ["X", "Y", "dY"], ["dX"], args)
    dX = run(gradient, X=X, Y=Y.numpy(), dY=dY).get("dX")
    counts = torch.nn.functional.unfold(
        torch.ones(1, 1, size, size), args["kernel"], padding=args.get("pad", 0), stride=args["stride"]
    )
    assert dX.sum().item() == 2 * counts.sum().item()


def test_max_pool_gradient_follows_a_changed_input() -> None:
    """Nothing of an earlier forward run is kept: the gradient is that of the X and Y it is given."""
    ws = Workspace()
    args = {"kernel": 2, "stride": 2}
    ws.feed("X", np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))
    ws.feed("dY", np.ones((1, 1, 2, 2), np.float32))
    forward = ws.create_net(Net("forward", [Op("MaxPool", ["X"], ["Y"], args)]))
    backward = ws.create_net(Net("backward", [Op("MaxPoolGradient", ["X", "Y", "dY"], ["dX"], args)]))
    for sign in (1, -1):
        ws.feed("X", sign * np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))
        forward.run()
        backward.run()
        first = ws.get("dX")[0, 0, 0, 0].item()
        assert first == (0.0 if sign == 1 else 1.0)


def test_batch_norm_moves_its_statistics_in_place() -> None:
    ws = Workspace()
    for name, value in {"s": 1, "b": 0, "m": 0, "v": 1}.items():
        ws.feed(name, np.full(3, value, np.float32))
    ws.feed("X", noise(4, 3, 5, 5))
    op = Op("SpatialBN", ["X", "s", "b", "m", "v"], ["Y", "m", "v", "sm", "sv"], {"is_test": 0})
    plan = ws.create_net(Net("net", [op]))
    plan.run()
    once = ws.get("m").clone()
    plan.run()
    torch.testing.assert_close(ws.get("m"), once * 1.9)


REFUSED = [
    (Op("Conv", ["X", "W"], ["Y"], {"kernel": 3, "pad": -1}), ArgumentError, "padding must not be negative"),
    (Op("Conv", ["X", "W"], ["Y"], {"kernel": 3, "stride": 0}), ArgumentError, "at least 1"),
    (Op("Conv", ["X", "W"], ["Y"], {"kernel": 3, "group": 0}), ArgumentError, "group must be"),
    (Op("Conv", ["X", "W"], ["Y"], {"kernels": [3]}), ShapeError, "window of 1 dimensions"),
    (Op("Conv", ["X", "W"], ["Y"], {"kernels": [3, 3], "strides": [1]}), ArgumentError, "2 strides"),
    (Op("Conv", ["X", "W"], ["Y"], {"kernel": 9}), ShapeError, "kernel"),
    (Op("ConvGradient", ["X", "W"], ["dW"], {"kernel": 3}), ArityError, "gradient of Y is missing"),
    (Op("MaxPool", ["X"], ["Y"], {"kernel": 2, "order": "CHWN"}), ArgumentError, "order"),
    (Op("LRN", ["X"], ["Y"], {"size": 0}), ArgumentError, "size"),
    (Op("Dropout", ["X"], ["Y"], {"is_test": 0}), ArityError, "mask"),
    (Op("GroupNorm", ["X", "s", "s"], ["Y"], {"group": 1}), ShapeError, "gamma must have 2"),
    (Op("PadImage", ["X"], ["Y"], {"pad": 6, "mode": "reflect"}), ShapeError, "mirrored border"),
    (Op("ResizeNearest", ["X"], ["Y"], {"width_scale": 0.0}), ArgumentError, "greater than 0"),
    (Op("RoIAlign", ["X", "R"], ["Y"], {"pooled_h": 0}), ArgumentError, "at least one bin"),
    (Op("RoIAlign", ["X", "R"], ["Y"]), ShapeError, "names image 7"),
]


@pytest.mark.parametrize(("op", "error", "words"), REFUSED, ids=[f"{op.type}-{w}" for op, _, w in REFUSED])
def test_refusals_say_what_is_wrong(op: Op, error: type[Exception], words: str) -> None:
    inputs = {
        "X": noise(1, 2, 5, 5),
        "W": noise(3, 2, 3, 3),
        "s": noise(3),
        "R": np.array([[7, 0, 0, 1, 1]], np.float32),
    }
    with pytest.raises(error, match=words):
        run(op, **inputs)
