"""Functions of pictures and sequences beyond the usual: shuffles, folds, grids, attention, masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from freshpot.errors import ArgumentError, ShapeError
from freshpot.paddle._state import to_dtype
from freshpot.paddle._tensor import lifted
from freshpot.paddle.nn.functional.common import _channels_second
from freshpot.paddle.nn.functional.window import _flat, each, pads
from freshpot.paddle.tensor.indexing import diag_embed

__all__ = [
    "affine_grid", "channel_shuffle", "diag_embed", "fold", "gather_tree", "grid_sample", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "pairwise_distance", "pixel_unshuffle", "scaled_dot_product_attention",
    "sequence_mask", "temporal_shift", "zeropad2d",
]  # fmt: skip


@lifted
def zeropad2d(x: Any, padding: Any, data_format: str = "NCHW", name: str | None = None) -> Any:
    """A border of zeros: (left, right, top, bottom)."""
    sizes = [int(padding)] * 4 if isinstance(padding, int) else [int(size) for size in padding]
    return _channels_second(x, data_format, lambda x: F.pad(x, sizes))


@lifted
def pixel_unshuffle(x: Any, downscale_factor: int, data_format: str = "NCHW", name: str | None = None) -> Any:
    """A grid made coarser, its pixels into channels."""
    return _channels_second(x, data_format, lambda x: F.pixel_unshuffle(x, downscale_factor))


@lifted
def channel_shuffle(x: Any, groups: int, data_format: str = "NCHW", name: str | None = None) -> Any:
    """Channels dealt round the groups."""
    return _channels_second(x, data_format, lambda x: F.channel_shuffle(x, groups))


@lifted
def fold(
    x: Any,
    output_sizes: Any,
    kernel_sizes: Any,
    strides: Any = 1,
    paddings: Any = 0,
    dilations: Any = 1,
    name: str | None = None,
) -> Any:
    """Columns of windows added up to pictures: (N, C * kernel, windows) -> (N, C, H, W)."""
    size, kernel, by, gap = each(output_sizes, 2), each(kernel_sizes, 2), each(strides, 2), each(dilations, 2)
    pairs = pads(paddings, x, kernel, by, gap)
    wide = tuple(s + a + b for s, (a, b) in zip(size, pairs, strict=True))
    made = F.fold(x, wide, kernel, gap, 0, by)
    return F.pad(made, [-part for part in _flat(pairs)])


def _make_unpool(axes: int, default: str) -> Callable[..., Any]:
    name_of_it, unpool = f"max_unpool{axes}d", getattr(F, f"max_unpool{axes}d")

    @lifted
    def max_unpool(
        x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, data_format: str = default,
        output_size: Any = None, name: str | None = None,
    ) -> Any:  # fmt: skip
        if data_format != default:
            raise ArgumentError(f"{name_of_it}: data_format must be {default}, got {data_format!r}")
        return unpool(x, indices.long(), kernel_size, stride, padding, output_size)

    max_unpool.__name__ = max_unpool.__qualname__ = name_of_it
    max_unpool.__doc__ = f"Values put back where ``max_pool{axes}d`` found them; zeros elsewhere."
    return max_unpool


max_unpool1d, max_unpool2d, max_unpool3d = (
    _make_unpool(1, "NCL"),
    _make_unpool(2, "NCHW"),
    _make_unpool(3, "NCDHW"),
)


@lifted
def affine_grid(theta: Any, out_shape: Any, align_corners: bool = True, name: str | None = None) -> Any:
    """The places that an affine map gives every pixel: theta (N, 2, 3) -> (N, H, W, 2)."""
    shape = out_shape.tolist() if isinstance(out_shape, torch.Tensor) else [int(size) for size in out_shape]
    return F.affine_grid(theta, shape, align_corners)


@lifted
def grid_sample(
    x: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = True,
    name: str | None = None,
) -> Any:
    """Pictures read at places between -1 and 1."""
    return F.grid_sample(x, grid, mode, padding_mode, align_corners)


@lifted
def gather_tree(ids: Any, parents: Any) -> Any:
    """The sequences that a beam search ends with: ids and places of parents (T, N, beams) -> ids (T, N, beams).

    Raises:
        ShapeError: other axes, or two shapes.
    """
    if ids.dim() != 3 or ids.shape != parents.shape:
        raise ShapeError(
            f"gather_tree: ids and parents must be (T, N, beams), got {list(ids.shape)}, {list(parents.shape)}"
        )
    place = torch.arange(ids.shape[2], device=ids.device).expand(ids.shape[1:])
    made = []
    for step in reversed(range(len(ids))):
        made.append(ids[step].gather(1, place))
        place = parents[step].long().gather(1, place)
    return torch.stack(made[::-1])


@lifted
def pairwise_distance(
    x: Any, y: Any, p: float = 2.0, epsilon: float = 1e-6, keepdim: bool = False, name: str | None = None
) -> Any:
    """The norm of ``x - y + epsilon`` along the last axis."""
    return F.pairwise_distance(x, y, p, epsilon, keepdim)


@lifted
def sequence_mask(x: Any, maxlen: Any = None, dtype: Any = "int64", name: str | None = None) -> Any:
    """1 up to each length, 0 after it: (...) -> (..., maxlen)."""
    longest = int(x.max()) if maxlen is None else int(maxlen)
    return (torch.arange(longest, device=x.device) < x.unsqueeze(-1)).to(to_dtype(dtype))


@lifted
def temporal_shift(
    x: Any, seg_num: int, shift_ratio: float = 0.25, name: str | None = None, data_format: str = "NCHW"
) -> Any:
    """A share of the channels moved one step back in time, a share one step on: (N * seg_num, C, H, W)."""

    def shifted(x: Any) -> Any:
        parts = x.unflatten(0, (-1, seg_num))
        first, second = int(x.shape[1] * shift_ratio), int(x.shape[1] * 2 * shift_ratio)
        back = F.pad(parts[:, :-1, :first], (0, 0, 0, 0, 0, 0, 1, 0))
        on = F.pad(parts[:, 1:, first:second], (0, 0, 0, 0, 0, 0, 0, 1))
        return torch.cat([back, on, parts[:, :, second:]], 2).flatten(0, 1)

    return _channels_second(x, data_format, shifted)


@lifted
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    training: bool = True,
    name: str | None = None,
) -> Any:
    """softmax(query @ key / sqrt(size)) @ value; all (N, length, heads, size).

    Raises:
        ArgumentError: a mask together with ``is_causal``.
    """
    if attn_mask is not None and is_causal:
        raise ArgumentError("scaled_dot_product_attention: a mask, or is_causal, not both")
    q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    made = F.scaled_dot_product_attention(q, k, v, attn_mask, dropout_p if training else 0.0, is_causal)
    return made.transpose(1, 2)
