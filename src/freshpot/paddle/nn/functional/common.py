"""Linear, dropout, norms, embedding, padding, resizing as functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from freshpot.errors import ArgumentError, ShapeError
from freshpot.paddle._state import default_float
from freshpot.paddle._tensor import lifted

__all__ = [
    "alpha_dropout", "batch_norm", "bilinear", "cosine_similarity", "dropout", "dropout2d", "dropout3d",
    "embedding", "group_norm", "instance_norm", "interpolate", "label_smooth", "layer_norm", "linear",
    "local_response_norm", "normalize", "one_hot", "pad", "pixel_shuffle", "upsample",
]  # fmt: skip


@lifted
def linear(x: Any, weight: Any, bias: Any = None, name: str | None = None) -> Any:
    """``x @ weight + bias``; weight (in, out).

    Raises:
        ShapeError: the last axis of ``x`` is not the weight's first.
    """
    if x.shape[-1] != weight.shape[0]:
        raise ShapeError(
            f"linear: the input has shape {list(x.shape)}, the weight {list(weight.shape)} "
            f"wants (..., {weight.shape[0]})"
        )
    return F.linear(x, weight.t(), bias)


@lifted
def bilinear(x1: Any, x2: Any, weight: Any, bias: Any = None, name: str | None = None) -> Any:
    """``x1 @ weight[k] @ x2 + bias[k]`` for every output k."""
    made = torch.einsum("bi,kij,bj->bk", x1, weight, x2)
    return made if bias is None else made + bias.reshape(1, -1)


@lifted
def dropout(
    x: Any,
    p: float = 0.5,
    axis: Any = None,
    training: bool = True,
    mode: str = "upscale_in_train",
    name: str | None = None,
) -> Any:
    """Elements zeroed with probability ``p``.

    ``upscale_in_train`` divides what is left by 1 - p while training; ``downscale_in_infer`` multiplies by 1 - p
    afterwards instead. With ``axis`` the draw is made along those axes and shared by the others.
    """
    if mode not in ("upscale_in_train", "downscale_in_infer"):
        raise ArgumentError(f"dropout: mode {mode!r}; choose 'upscale_in_train' or 'downscale_in_infer'")
    upscale = mode == "upscale_in_train"
    if not training:
        return x if upscale else x * (1 - p)
    if axis is None and upscale:
        return F.dropout(x, p, True)
    axes = range(x.dim()) if axis is None else [axis] if isinstance(axis, int) else axis
    shape = [size if i in {a % x.dim() for a in axes} else 1 for i, size in enumerate(x.shape)]
    keep = torch.rand(shape, device=x.device) >= p
    return x * keep / (1 - p if upscale and p < 1 else 1)


@lifted
def dropout2d(
    x: Any, p: float = 0.5, training: bool = True, data_format: str = "NCHW", name: str | None = None
) -> Any:
    """Whole channels zeroed."""
    return F.dropout2d(x, p, training) if data_format == "NCHW" else _last_dropout(x, p, training)


@lifted
def dropout3d(
    x: Any, p: float = 0.5, training: bool = True, data_format: str = "NCDHW", name: str | None = None
) -> Any:
    """Whole channels zeroed."""
    return F.dropout3d(x, p, training) if data_format == "NCDHW" else _last_dropout(x, p, training)


def _last_dropout(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    return (
        F.dropout2d(x.movedim(-1, 1).flatten(2)[..., None], p, training)[..., 0]
        .reshape(x.movedim(-1, 1).shape)
        .movedim(1, -1)
    )


@lifted
def alpha_dropout(x: Any, p: float = 0.5, training: bool = True, name: str | None = None) -> Any:
    """Dropout that keeps mean and variance of selu's outputs."""
    return F.alpha_dropout(x, p, training)


@lifted
def embedding(
    x: Any, weight: Any, padding_idx: int | None = None, sparse: bool = False, name: str | None = None
) -> Any:
    """Rows of ``weight`` by number; row ``padding_idx`` reads as zeros and does not learn."""
    made = F.embedding(x, weight)
    if padding_idx is None or (padding_idx == -1 and weight.shape[0] == 0):
        return made
    row = padding_idx % weight.shape[0]
    return made * (x != row).unsqueeze(-1)


@lifted
def one_hot(x: Any, num_classes: int, name: str | None = None) -> Any:
    """A row with a 1 at each number's place."""
    return F.one_hot(x.long(), int(num_classes)).to(default_float())


@lifted
def label_smooth(label: Any, prior_dist: Any = None, epsilon: float = 0.1, name: str | None = None) -> Any:
    """``(1 - epsilon) * label + epsilon * prior``; the prior is uniform by default."""
    prior = 1.0 / label.shape[-1] if prior_dist is None else prior_dist
    return (1 - epsilon) * label + epsilon * prior


@lifted
def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.9,
    epsilon: float = 1e-05,
    data_format: str = "NCHW",
    use_global_stats: bool | None = None,
    name: str | None = None,
) -> Any:
    """(x - mean) / sqrt(var + epsilon) * weight + bias, a channel.

    Training, mean and variance are the batch's, and the running ones become
    ``momentum * running + (1 - momentum) * batch`` with the biased variance. (Source: batch_norm of Paddle 2.)
    """
    last = data_format.endswith("C") and data_format != "NC"
    x = x.movedim(-1, 1) if last else x
    measure = training if use_global_stats is None else not use_global_stats
    if measure:
        axes = [0, *range(2, x.dim())]
        with torch.no_grad():
            variance, centre = torch.var_mean(x.detach(), axes, correction=0)
            running_mean.mul_(momentum).add_(centre, alpha=1 - momentum)
            running_var.mul_(momentum).add_(variance, alpha=1 - momentum)
        made = F.batch_norm(x, None, None, weight, bias, True, 0.0, epsilon)
    else:
        made = F.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, epsilon)
    return made.movedim(1, -1) if last else made


@lifted
def layer_norm(
    x: Any,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    epsilon: float = 1e-05,
    name: str | None = None,
) -> Any:
    """Normalised over the last axes."""
    shape = [normalized_shape] if isinstance(normalized_shape, int) else list(normalized_shape)
    weight = None if weight is None else weight.reshape(shape)
    bias = None if bias is None else bias.reshape(shape)
    return F.layer_norm(x, shape, weight, bias, epsilon)


def _channels_second(x: torch.Tensor, data_format: str, function: Callable[[Any], Any]) -> torch.Tensor:
    """A function that wants channels in axis 1, of data that may have them last."""
    if not data_format.endswith("C"):
        return function(x)
    return function(x.movedim(-1, 1)).movedim(1, -1)


@lifted
def instance_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.9,
    eps: float = 1e-05,
    data_format: str = "NCHW",
    name: str | None = None,
) -> Any:
    """Normalised over each channel of each sample; not ``use_input_stats``: by the running mean and variance."""
    mean, variance = (None, None) if use_input_stats else (running_mean, running_var)
    return _channels_second(
        x, data_format, lambda x: F.instance_norm(x, mean, variance, weight, bias, use_input_stats, 0.0, eps)
    )


@lifted
def group_norm(
    x: Any,
    num_groups: int,
    epsilon: float = 1e-05,
    weight: Any = None,
    bias: Any = None,
    data_format: str = "NCHW",
    name: str | None = None,
) -> Any:
    """Normalised over groups of channels of each sample."""
    return _channels_second(x, data_format, lambda x: F.group_norm(x, num_groups, weight, bias, epsilon))


@lifted
def local_response_norm(
    x: Any,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    data_format: str = "NCHW",
    name: str | None = None,
) -> Any:
    """x / (k + alpha * mean of squares over ``size`` channels) ** beta."""
    return _channels_second(x, data_format, lambda x: F.local_response_norm(x, size, alpha, beta, k))


@lifted
def normalize(x: Any, p: float = 2, axis: int = 1, epsilon: float = 1e-12, name: str | None = None) -> Any:
    """x / max(its norm along an axis, epsilon)."""
    return F.normalize(x, p, axis, epsilon)


@lifted
def cosine_similarity(x1: Any, x2: Any, axis: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between vectors."""
    return F.cosine_similarity(x1, x2, axis, eps)


@lifted
def pad(
    x: Any,
    pad: Any,
    mode: str = "constant",
    value: float = 0.0,
    data_format: str = "NCHW",
    name: str | None = None,
) -> Any:
    """Enlarged by (before, after) of each axis: the last axis of space first; or of all axes, the first first."""
    sizes = [int(size) for size in (pad.tolist() if isinstance(pad, torch.Tensor) else pad)]
    if len(sizes) == 2 * x.dim() and mode == "constant":
        sizes = [size for i in reversed(range(x.dim())) for size in sizes[2 * i : 2 * i + 2]]
    elif data_format.endswith("C"):
        sizes = [0, 0, *sizes]
    if mode == "constant":
        return F.pad(x, sizes, value=value)
    return F.pad(x, sizes, mode=mode)


@lifted
def interpolate(
    x: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
    align_mode: int = 0,
    data_format: str = "NCHW",
    name: str | None = None,
) -> Any:
    """Enlarged or shrunk to a size, or by a factor.

    Pixel ``i`` of the result is read at ``i * size / new`` with ``align_mode`` 1, at ``(i + 0.5) * size / new - 0.5``
    with 0, and at ``i * (size - 1) / (new - 1)`` with ``align_corners``.
    """
    if align_mode == 1 and mode in ("linear", "bilinear", "trilinear") and not align_corners:
        return _channels_second(x, data_format, lambda x: _from_corner(x, size, scale_factor))
    if size is not None and not isinstance(size, int):
        size = [int(part) for part in (size.tolist() if isinstance(size, torch.Tensor) else size)]
    corners = align_corners if mode in ("linear", "bilinear", "bicubic", "trilinear") else None
    return _channels_second(
        x, data_format, lambda x: F.interpolate(x, size, scale_factor, mode, align_corners=corners)
    )


upsample = interpolate


def _from_corner(x: torch.Tensor, size: Any, scale_factor: Any) -> torch.Tensor:
    """Linear interpolation with the first pixels on each other."""
    axes = x.dim() - 2
    if size is None:
        factors = scale_factor if isinstance(scale_factor, (list, tuple)) else [scale_factor] * axes
        size = [int(s * f) for s, f in zip(x.shape[2:], factors, strict=True)]
    wanted = [int(size)] * axes if isinstance(size, (int, float)) else [int(part) for part in size]
    for axis, new in enumerate(wanted, 2):
        old = x.shape[axis]
        places = torch.arange(new, device=x.device, dtype=x.dtype) * (old / new)
        low = places.floor().long().clamp(max=old - 1)
        high = (low + 1).clamp(max=old - 1)
        share = (places - low).reshape([-1 if a == axis else 1 for a in range(x.dim())])
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share
    return x


@lifted
def pixel_shuffle(x: Any, upscale_factor: int, data_format: str = "NCHW", name: str | None = None) -> Any:
    """Channels spread over a finer grid."""
    return _channels_second(x, data_format, lambda x: F.pixel_shuffle(x, upscale_factor))
