"""Scale and BatchNorm of Caffe, and SpatialBN, on images of many pixels: fused kernels or machine code do the work."""

from __future__ import annotations

import pytest
import torch

from freshpot.native.machine import lanes
from freshpot.net import Op, registry


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("outputs", [2, 3])
def test_gradient_of_scale(outputs: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    X, dY = (torch.randn(3, 5, 9, 7).contiguous(memory_format=layout) for _ in range(2))
    scale = torch.randn(5)
    operator = registry.get("CaffeScaleGradient")(
        Op("CaffeScaleGradient", ["X", "s", "dY"], list("abc")[:outputs])
    )
    made = operator.kernel(X, scale, dY)
    wanted = (dY * scale.view(1, 5, 1, 1), (dY * X).sum((0, 2, 3)), dY.sum((0, 2, 3)))
    assert len(made) == outputs
    for found, want in zip(made, wanted, strict=False):
        torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("constant", [0, 1])
def test_batch_norm(constant: int) -> None:
    torch.manual_seed(0)
    X, sums = 2 * torch.randn(3, 5, 9, 7) + 1, [torch.randn(5), torch.rand(5) + 0.5, torch.tensor([2.0])]
    names = ["m", "v", "w"]
    op = Op("BatchNorm", ["X", *names], ["Y", *names, "a", "d"], {"use_global_stats": constant})
    Y = registry.get("BatchNorm")(op).kernel(X, *sums)[0]
    mean, variance = X.mean((0, 2, 3)), X.var((0, 2, 3), unbiased=False)
    if constant:
        mean, variance = sums[0] / sums[2], sums[1] / sums[2]
    wanted = (X - mean.view(1, 5, 1, 1)) / (variance.view(1, 5, 1, 1) + 1e-5).sqrt()
    torch.testing.assert_close(Y, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")
@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
@torch.no_grad()
def test_spatial_batch_norm(order: str) -> None:
    """By machine code, for channels along the memory and a million numbers: nearer to the exact values than ATen is."""
    torch.manual_seed(0)
    shape = (4, 64, 64, 65)
    images = (2 * torch.randn(shape) + 3).contiguous(memory_format=torch.channels_last)
    slopes = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    scale, bias, mean, var = torch.randn(64), torch.randn(64), torch.randn(64), torch.rand(64) + 0.5
    X, dY = (t.movedim(1, -1) if order == "NHWC" else t for t in (images, slopes))
    names = ["X", "s", "b", "m", "v"]
    args = {"order": order, "epsilon": 1e-3, "momentum": 0.8}
    op = Op("SpatialBN", names, ["Y", "m", "v", "a", "r"], {**args, "is_test": 0})
    made = registry.get("SpatialBN")(op).kernel(X, scale, bias, mean, var)
    back = Op("SpatialBNGradient", ["X", "s", "dY", "a", "r"], ["dX", "ds", "db"], args)
    made += registry.get("SpatialBNGradient")(back).kernel(X, scale, dY, *made[3:])

    exact, given = images.double(), [t.double() for t in (scale, bias, mean, var)]
    Y, average, rstd = torch.ops.aten.native_batch_norm(exact, *given, True, 1 - 0.8, 1e-3)
    moved = given[2:]  # in place
    dX, dscale, dbias = torch.ops.aten.native_batch_norm_backward(
        slopes.double(), exact, given[0], None, None, average, rstd, True, 1e-3, [True] * 3
    )
    wanted = [Y, *moved, average, rstd, dX, dscale, dbias]
    for found, want in zip(made, wanted, strict=True):
        if found.dim() == 4 and order == "NHWC":
            found = found.movedim(-1, 1)
        assert float((found - want).abs().max() / want.abs().max()) < 1e-6
