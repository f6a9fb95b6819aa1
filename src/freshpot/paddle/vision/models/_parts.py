"""What the networks share: a convolution with norm and activation, channels rounded to eights, trained weights.

Called by the modules beside it; ``ConvNormActivation`` is also :mod:`freshpot.paddle.vision.ops`'s.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from freshpot.errors import NotSupportedError
from freshpot.paddle import nn as _nn
from freshpot.paddle import tensor as _ops
from freshpot.paddle._files import load
from freshpot.paddle.nn.container import Sequential
from freshpot.paddle.nn.layer import Layer

__all__ = ["ConvNormActivation", "eights", "nn", "ops", "trained"]

#: the layers are made by tables, which the type checker does not see through
nn: Any = _nn
ops: Any = _ops

NetworkT = TypeVar("NetworkT", bound=Layer)


class ConvNormActivation(Sequential):
    """A convolution, a norm, an activation; None leaves the norm or the activation out.

    Args:
        padding: keeps the size at stride 1 when not given.
        bias: the convolution has one when there is no norm, unless it is said here.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any = 3,
        stride: Any = 1,
        padding: Any = None,
        groups: int = 1,
        norm_layer: Any = _nn.BatchNorm2D,
        activation_layer: Any = nn.ReLU,
        dilation: int = 1,
        bias: bool | None = None,
    ) -> None:
        parts = [
            nn.Conv2D(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                (kernel_size - 1) // 2 * dilation if padding is None else padding,
                dilation,
                groups,
                bias_attr=norm_layer is None if bias is None else bias,
            )
        ]
        parts += [norm_layer(out_channels)] if norm_layer is not None else []
        parts += [activation_layer()] if activation_layer is not None else []
        super().__init__(*parts)


def eights(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor``, one more where that loses over a tenth (Howard and others 2019)."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


def trained(network: NetworkT, pretrained: Any, file: str | None) -> NetworkT:
    """The network, with trained weights where they are asked for.

    Args:
        pretrained: False; a file of :func:`paddle.save`; or True: ``file`` in the folder where the original keeps
            what it fetched, ``~/.cache/paddle/hapi/weights``.
        file: the original's name for its weights; None where it has none.

    Raises:
        NotSupportedError: True, and the file is not there: nothing is fetched here.
    """
    if not pretrained:
        return network
    if isinstance(pretrained, (str, os.PathLike)):
        path = Path(pretrained)
    elif file is None:
        raise NotSupportedError(f"{type(network).__name__}: Paddle has no trained weights for this variant")
    else:
        path = Path.home() / ".cache" / "paddle" / "hapi" / "weights" / file
        if not path.is_file():
            raise NotSupportedError(
                f"{type(network).__name__}: pretrained=True: weights are not fetched here; put the original's "
                f"{file} into {path.parent}, or give its path as pretrained"
            )
    network.set_state_dict(load(path))
    return network
