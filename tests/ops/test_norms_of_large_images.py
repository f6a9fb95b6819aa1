"""Scale and BatchNorm of Caffe on images of many pixels, where ATen's fused kernels do the work."""

from __future__ import annotations

import pytest
import torch

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
