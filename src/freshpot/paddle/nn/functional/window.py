"""Convolution and pooling as functions; channels first or last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from freshpot.errors import ArgumentError, NotSupportedError, ShapeError
from freshpot.paddle._tensor import lifted

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "conv1d",
    "conv1d_transpose", "conv2d", "conv2d_transpose", "conv3d", "conv3d_transpose", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "max_pool1d", "max_pool2d", "max_pool3d", "unfold",
]  # fmt: skip

_CONVOLUTIONS: list[Callable[..., torch.Tensor]] = [F.conv1d, F.conv2d, F.conv3d]
_TRANSPOSED: list[Callable[..., torch.Tensor]] = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]


def each(value: Any, axes: int, what: str = "value") -> tuple[int, ...]:
    """One integer for each axis.

    Raises:
        ArgumentError: a list of another length.
    """
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    whole = (int(value),) * axes if isinstance(value, (int, float)) else tuple(int(part) for part in value)
    if len(whole) == 1:
        whole *= axes
    if len(whole) != axes:
        raise ArgumentError(f"{what} must be one integer or {axes}, got {list(whole)}")
    return whole


def _is_last(data_format: str) -> bool:
    if data_format not in ("NCL", "NLC", "NCHW", "NHWC", "NCDHW", "NDHWC"):
        raise ArgumentError(f"data_format {data_format!r}: choose channels first (NCHW …) or last (NHWC …)")
    return data_format[-1] == "C"


def pads(
    padding: Any, x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Padding before and after each axis of space, from every form Paddle takes.

    One integer; one an axis; two an axis (before, after); pairs for all axes, or for those of space; "SAME", "VALID".

    Raises:
        ArgumentError: another form.
    """
    axes = len(kernel)
    if isinstance(padding, str):
        if padding.upper() == "VALID":
            return [(0, 0)] * axes
        if padding.upper() != "SAME":
            raise ArgumentError(f"padding {padding!r}: the words are 'SAME' and 'VALID'")
        return [_same(s, k, t, d) for s, k, t, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    if isinstance(padding, int):
        return [(padding, padding)] * axes
    parts = list(padding)
    if parts and isinstance(parts[0], (list, tuple)):
        pairs = [(int(a), int(b)) for a, b in parts]
        inner = [pair for pair in pairs if len(pairs) == axes or pair != (0, 0)] or [(0, 0)] * axes
        return pairs[-axes:] if len(inner) != axes else inner
    if len(parts) == axes:
        return [(int(p), int(p)) for p in parts]
    if len(parts) == 2 * axes:
        return [(int(parts[2 * i]), int(parts[2 * i + 1])) for i in range(axes)]
    if len(parts) == 1:
        return [(int(parts[0]), int(parts[0]))] * axes
    raise ArgumentError(f"padding {padding!r} fits no form for {axes} axes")


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = dilation * (kernel - 1) + 1
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    return total // 2, total - total // 2


def _flat(pairs: list[tuple[int, int]]) -> list[int]:
    """As torch's ``pad`` wants them: the last axis first."""
    return [size for pair in reversed(pairs) for size in pair]


def _first(x: torch.Tensor, last: bool) -> torch.Tensor:
    return x.movedim(-1, 1) if last else x


def _back(x: torch.Tensor, last: bool) -> torch.Tensor:
    return x.movedim(1, -1) if last else x


def _make_conv(axes: int, default: str) -> Callable[..., Any]:
    @lifted
    def conv(
        x: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        data_format: str = default,
        name: str | None = None,
    ) -> Any:
        if x.dim() != axes + 2:
            raise ShapeError(f"conv{axes}d: the input must have {axes + 2} axes, got {list(x.shape)}")
        if type(padding) is int and data_format == default:
            return _CONVOLUTIONS[axes - 1](x, weight, bias, stride, padding, dilation, groups)
        last = _is_last(data_format)
        x = _first(x, last)
        by, gap = each(stride, axes, "stride"), each(dilation, axes, "dilation")
        pairs = pads(padding, x, tuple(weight.shape[2:]), by, gap)
        even = tuple(a for a, b in pairs) if all(a == b for a, b in pairs) else None
        if even is None:
            x, even = F.pad(x, _flat(pairs)), (0,) * axes
        return _back(_CONVOLUTIONS[axes - 1](x, weight, bias, by, even, gap, groups), last)

    conv.__name__ = conv.__qualname__ = f"conv{axes}d"
    conv.__doc__ = f"Convolution over {axes} axes; weight (out, in / groups, kernel …)."
    return conv


def _make_transposed(axes: int, default: str) -> Callable[..., Any]:
    @lifted
    def conv_transpose(
        x: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
        output_size: Any = None,
        data_format: str = default,
        name: str | None = None,
    ) -> Any:
        last = _is_last(data_format)
        x = _first(x, last)
        by, gap = each(stride, axes, "stride"), each(dilation, axes, "dilation")
        pairs = pads(padding, x, tuple(weight.shape[2:]), by, gap)
        extra = each(output_padding, axes, "output_padding")
        if any(a != b for a, b in pairs):
            raise NotSupportedError("transposed convolution with unequal padding before and after")
        even = tuple(a for a, _ in pairs)
        if output_size is not None:
            least = [
                (s - 1) * t - 2 * p + d * (k - 1) + 1
                for s, t, p, d, k in zip(x.shape[2:], by, even, gap, weight.shape[2:], strict=True)
            ]
            wanted = each(output_size, axes, "output_size")
            extra = tuple(w - low for w, low in zip(wanted, least, strict=True))
        return _back(_TRANSPOSED[axes - 1](x, weight, bias, by, even, extra, groups, gap), last)

    conv_transpose.__name__ = conv_transpose.__qualname__ = f"conv{axes}d_transpose"
    conv_transpose.__doc__ = f"Transposed convolution over {axes} axes; weight (in, out / groups, kernel …)."
    return conv_transpose


conv1d, conv2d, conv3d = _make_conv(1, "NCL"), _make_conv(2, "NCHW"), _make_conv(3, "NCDHW")
conv1d_transpose = _make_transposed(1, "NCL")
conv2d_transpose = _make_transposed(2, "NCHW")
conv3d_transpose = _make_transposed(3, "NCDHW")

#: the names of 2.0-beta
conv_transpose1d, conv_transpose2d, conv_transpose3d = conv1d_transpose, conv2d_transpose, conv3d_transpose

_MAX: list[Callable[..., Any]] = [F.max_pool1d, F.max_pool2d, F.max_pool3d]
_AVG: list[Callable[..., Any]] = [F.avg_pool1d, F.avg_pool2d, F.avg_pool3d]
_ADAPTIVE: dict[str, list[Callable[..., Any]]] = {
    "avg": [F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d],
    "max": [F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d],
}


def _window(x: Any, kernel_size: Any, stride: Any, padding: Any, axes: int) -> Any:
    kernel = each(kernel_size, axes, "kernel_size")
    by = kernel if stride is None else each(stride, axes, "stride")
    return kernel, by, pads(padding, x, kernel, by, (1,) * axes)


def _with_places(made: Any, last: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Greatest values and their places in each plane, as int32."""
    values, places = made
    return _back(values, last), _back(places.int(), last)


def _make_max(axes: int, default: str) -> Callable[..., Any]:
    @lifted
    def max_pool(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        return_mask: bool = False,
        ceil_mode: bool = False,
        data_format: str = default,
        name: str | None = None,
    ) -> Any:
        last = _is_last(data_format)
        x = _first(x, last)
        kernel, by, pairs = _window(x, kernel_size, stride, padding, axes)
        even = tuple(a for a, b in pairs)
        if any(a != b or 2 * a > k for (a, b), k in zip(pairs, kernel, strict=True)):
            if return_mask:
                raise NotSupportedError("max pooling with return_mask and unequal or wide padding")
            x, even = F.pad(x, _flat(pairs), value=float("-inf")), (0,) * axes
        made = _MAX[axes - 1](x, kernel, by, even, 1, ceil_mode, return_mask)
        return _with_places(made, last) if return_mask else _back(made, last)

    max_pool.__name__ = max_pool.__qualname__ = f"max_pool{axes}d"
    max_pool.__doc__ = f"The greatest value of each window over {axes} axes."
    return max_pool


def _make_avg(axes: int, default: str) -> Callable[..., Any]:
    def avg_pool(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        exclusive: bool = True,
        ceil_mode: bool = False,
        divisor_override: Any = None,
        data_format: str = default,
        name: str | None = None,
    ) -> Any:
        last = _is_last(data_format)
        x = _first(x, last)
        kernel, by, pairs = _window(x, kernel_size, stride, padding, axes)
        even = tuple(a for a, b in pairs)
        more = {} if axes == 1 else {"divisor_override": divisor_override}
        if any(a != b or 2 * a > k for (a, b), k in zip(pairs, kernel, strict=True)):
            wide = F.pad(x, _flat(pairs))
            made = _AVG[axes - 1](wide, kernel, by, 0, ceil_mode, True, **more)
            if exclusive and divisor_override is None:
                made = made / _AVG[axes - 1](
                    F.pad(torch.ones_like(x), _flat(pairs)), kernel, by, 0, ceil_mode, True
                )
            return _back(made, last)
        return _back(_AVG[axes - 1](x, kernel, by, even, ceil_mode, not exclusive, **more), last)

    @lifted
    def avg_pool1d(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        exclusive: bool = True,
        ceil_mode: bool = False,
        name: str | None = None,
    ) -> Any:
        return avg_pool(x, kernel_size, stride, padding, exclusive, ceil_mode)

    @lifted
    def avg_pool_nd(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        exclusive: bool = True,
        divisor_override: Any = None,
        data_format: str = default,
        name: str | None = None,
    ) -> Any:
        return avg_pool(x, kernel_size, stride, padding, exclusive, ceil_mode, divisor_override, data_format)

    made = avg_pool1d if axes == 1 else avg_pool_nd
    made.__name__ = made.__qualname__ = f"avg_pool{axes}d"
    made.__doc__ = f"The mean of each window over {axes} axes; ``exclusive`` leaves padding out of it."
    return made


def _make_adaptive(kind: str, axes: int, default: str) -> Callable[..., Any]:
    @lifted
    def pool(
        x: Any,
        output_size: Any,
        data_format: Any = default,
        name: str | None = None,
        return_mask: bool = False,
    ) -> Any:
        if isinstance(data_format, bool):  # the third argument of the maximum is return_mask
            data_format, return_mask = default, data_format
        last = _is_last(data_format)
        x = _first(x, last)
        wanted = [output_size] * axes if output_size is None or isinstance(output_size, int) else output_size
        sizes = tuple(int(x.shape[2 + i]) if size is None else int(size) for i, size in enumerate(wanted))
        function = _ADAPTIVE[kind][axes - 1]
        if not return_mask:
            return _back(function(x, sizes), last)
        return _with_places(function(x, sizes, return_indices=True), last)

    pool.__name__ = pool.__qualname__ = f"adaptive_{kind}_pool{axes}d"
    pool.__doc__ = f"Pooling ({kind}) to a given size over {axes} axes."
    return pool


max_pool1d, max_pool2d, max_pool3d = _make_max(1, "NCL"), _make_max(2, "NCHW"), _make_max(3, "NCDHW")
avg_pool1d, avg_pool2d, avg_pool3d = _make_avg(1, "NCL"), _make_avg(2, "NCHW"), _make_avg(3, "NCDHW")
adaptive_avg_pool1d = _make_adaptive("avg", 1, "NCL")
adaptive_avg_pool2d = _make_adaptive("avg", 2, "NCHW")
adaptive_avg_pool3d = _make_adaptive("avg", 3, "NCDHW")
adaptive_max_pool1d = _make_adaptive("max", 1, "NCL")
adaptive_max_pool2d = _make_adaptive("max", 2, "NCHW")
adaptive_max_pool3d = _make_adaptive("max", 3, "NCDHW")


@lifted
def unfold(
    x: Any,
    kernel_sizes: Any,
    strides: Any = 1,
    paddings: Any = 0,
    dilations: Any = 1,
    name: str | None = None,
) -> Any:
    """Every window as a column: (N, C * kernel, windows)."""
    kernel, by, gap = each(kernel_sizes, 2), each(strides, 2), each(dilations, 2)
    pairs = pads(paddings, x, kernel, by, gap)
    return F.unfold(F.pad(x, _flat(pairs)), kernel, gap, 0, by)
