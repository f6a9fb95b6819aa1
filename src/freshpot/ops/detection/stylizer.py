"""Images of a phone's camera to what a net takes, and back: 4 bytes a pixel, blue first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

_NOISE = "__CAFFE2_STYLIZER_NOISE__"


class PackedInt8BGRANHWCToNCHWCStylizerPreprocess(Operator):
    """Y = X without alpha, minus the mean, plus noise that is drawn once a workspace and repeats.

    Shapes:   X: (N, H, W, 4) uint8; mean: (3,) -> Y: (N, 3, H, W)
    Raises:   ShapeError if there are not 4 channels and 3 means; ArgumentError if ``noise_size`` is not positive.
    Source:   caffe2/operators/stylizer_ops.cc
    """

    inputs = (Port("X", ("uint8",), "N H W 4"), Port("mean", FLOAT, "3"))
    outputs = (Port("Y"),)
    args = (
        Arg("noise_std", float, 10.0, "standard deviation of the noise"),
        Arg("noise_size", int, 491, "numbers before the noise repeats"),
    )

    def setup(self) -> None:
        if self.noise_size < 1:
            self.refuse(f"argument 'noise_size' must be positive, got {self.noise_size}.", ArgumentError)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        X, mean = inputs[0].value, inputs[1].value
        self.check_inputs([X, mean])
        kept = ws.create(_NOISE)
        if not isinstance(kept.value, Tensor):
            drawn = torch.randn(self.noise_size, generator=self.generator, device=X.device)
            kept.value = drawn * self.noise_std
        if kept.value.numel() < self.noise_size:
            self.refuse(
                f"blob '{_NOISE}' has {kept.value.numel()} numbers, 'noise_size' says {self.noise_size}.",
                ArgumentError,
            )
        _N, H, W, _ = X.shape
        noise = kept.value[: self.noise_size]
        noise = noise.repeat(-(-H * W * 3 // self.noise_size))[: H * W * 3].reshape(H, W, 3)
        outputs[0].value = (X[..., :3].float() - mean + noise).permute(0, 3, 1, 2).contiguous()


class BRGNCHWCToPackedInt8BGRAStylizerDeprocess(Operator):
    """Y = X + mean, cut to bytes, with an alpha of 255.

    Shapes:   X: (N, 3, H, W); mean: (3,) -> Y: (N, H, W, 4) uint8
    Raises:   ShapeError if there are not 3 channels and 3 means.
    Source:   caffe2/operators/stylizer_ops.cc
    """

    inputs = (Port("X", FLOAT, "N 3 H W"), Port("mean", FLOAT, "3"))
    outputs = (Port("Y"),)

    def kernel(self, X: Tensor, mean: Tensor) -> Tensor:
        colours = (X.permute(0, 2, 3, 1) + mean).clamp(0, 255).to(torch.uint8)
        return torch.cat([colours, torch.full_like(colours[..., :1], 255)], 3)
