"""Convolutions and pooling as layers; ``Conv2D`` and, as in 2.0-beta, ``Conv2d``."""

from __future__ import annotations

import math
from typing import Any

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle.nn import functional as F
from freshpot.paddle.nn.functional.window import each
from freshpot.paddle.nn.initializer import Normal
from freshpot.paddle.nn.layer import Layer

_FORMATS = ("NCL", "NCHW", "NCDHW")


def _described(
    into: int,
    out: int,
    kernel: tuple[int, ...],
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    padding_mode: str,
    data_format: str,
    output_padding: Any = 0,
) -> str:
    """What stands between the brackets when a convolution is printed; what has its usual value is left out."""
    axes = len(kernel)
    parts = [f"{into}, {out}, kernel_size={list(kernel)}"]
    one = (1,) * axes
    parts += [f"stride={list(each(stride, axes))}"] if each(stride, axes) != one else []
    parts += [f"padding={padding}"] if padding != 0 else []
    parts += [f"padding_mode={padding_mode}"] if padding_mode != "zeros" else []
    parts += [f"output_padding={output_padding}"] if output_padding != 0 else []
    parts += [f"dilation={list(each(dilation, axes))}"] if each(dilation, axes) != one else []
    parts += [f"groups={groups}"] if groups != 1 else []
    return ", ".join([*parts, f"data_format={data_format}"])


class _Conv(Layer):
    axes = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        weight_attr: Any = None,
        bias_attr: Any = None,
        data_format: str | None = None,
    ) -> None:
        super().__init__()
        if in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{type(self).__name__}: {in_channels} and {out_channels} channels cannot be cut into {groups} groups"
            )
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ArgumentError(
                f"{type(self).__name__}: padding_mode {padding_mode!r}; choose zeros, reflect, replicate or circular"
            )
        kernel = each(kernel_size, self.axes, "kernel_size")
        self._say = _described(
            in_channels, out_channels, kernel, stride, padding, dilation, groups, padding_mode,
            data_format or _FORMATS[self.axes - 1],
        )  # fmt: skip
        self._border: list[int] | None = None
        self._padding_mode = padding_mode
        if padding_mode != "zeros":
            if isinstance(padding, str):
                raise NotSupportedError(f"{type(self).__name__}: padding {padding!r} with {padding_mode!r}")
            self._border = [size for size in reversed(each(padding, self.axes, "padding")) for _ in range(2)]
            padding = 0
        self._stride, self._padding, self._dilation, self._groups = stride, padding, dilation, groups
        self._data_format = data_format or _FORMATS[self.axes - 1]
        start = Normal(0.0, math.sqrt(2.0 / (math.prod(kernel) * in_channels)))
        self.weight = self.create_parameter(
            [out_channels, in_channels // groups, *kernel], weight_attr, default_initializer=start
        )
        self.bias = self.create_parameter([out_channels], bias_attr, is_bias=True)
        self._function = getattr(F, f"conv{self.axes}d")

    def forward(self, x: Any) -> Any:
        """(N, C, space ...) -> (N, K, space ...)."""
        if self._border is not None:
            x = F.pad(x, self._border, self._padding_mode, 0.0, self._data_format)
        return self._function(
            x,
            self.weight,
            self.bias,
            self._stride,
            self._padding,
            self._dilation,
            self._groups,
            self._data_format,
        )

    def extra_repr(self) -> str:
        return self._say


class _ConvTranspose(Layer):
    axes = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
        weight_attr: Any = None,
        bias_attr: Any = None,
        data_format: str | None = None,
    ) -> None:
        super().__init__()
        kernel = each(kernel_size, self.axes, "kernel_size")
        self._say = _described(
            in_channels, out_channels, kernel, stride, padding, dilation, groups, "zeros",
            data_format or _FORMATS[self.axes - 1], output_padding,
        )  # fmt: skip
        self._options: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "groups": groups,
            "dilation": dilation,
            "data_format": data_format or _FORMATS[self.axes - 1],
        }
        self.weight = self.create_parameter([in_channels, out_channels // groups, *kernel], weight_attr)
        self.bias = self.create_parameter([out_channels], bias_attr, is_bias=True)

    def forward(self, x: Any, output_size: Any = None) -> Any:
        """(N, C, space ...) -> (N, K, space ...)."""
        function = getattr(F, f"conv{self.axes}d_transpose")
        return function(x, self.weight, self.bias, output_size=output_size, **self._options)

    def extra_repr(self) -> str:
        return self._say


class _Pool(Layer):
    function = ""
    names: tuple[str, ...] = ()

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__()
        keywords.pop("name", None)
        self._options = dict(zip(self.names, args, strict=False))
        unknown = [name for name in keywords if name not in self.names]
        if unknown or len(args) > len(self.names):
            raise ArgumentError(
                f"{type(self).__name__} takes {', '.join(self.names)}; got {unknown or list(args)}"
            )
        self._options.update(keywords)
        if self.names[0] not in self._options:
            raise ArgumentError(f"{type(self).__name__}: {self.names[0]} is missing")

    def forward(self, x: Any) -> Any:
        """(N, C, space ...) -> (N, C, space ...)."""
        return getattr(F, self.function)(x, **self._options)

    def extra_repr(self) -> str:
        if "Adaptive" in type(self).__name__ and "return_mask" in self.names:
            return f"output_size={self._options['output_size']}, return_mask={self._options.get('return_mask', False)}"
        shown = {"stride": None, "padding": 0, **self._options}
        keys = [key for key in ("kernel_size", "stride", "padding", "output_size") if key in shown]
        return ", ".join(
            f"{key}={shown[key]}" for key in keys if key in self._options or "output_size" not in shown
        )


def _class(name: str, base: type[Layer], doc: str, **more: Any) -> type[Layer]:
    return type(name, (base,), {"__doc__": doc, "__module__": __name__, **more})


def _all() -> dict[str, type[Layer]]:
    made: dict[str, type[Layer]] = {}
    for axes in (1, 2, 3):
        made[f"Conv{axes}D"] = _class(f"Conv{axes}D", _Conv, f"Convolution over {axes} axes.", axes=axes)
        name = f"Conv{axes}DTranspose"
        made[name] = _class(name, _ConvTranspose, f"Transposed convolution over {axes} axes.", axes=axes)
        tail = () if axes == 1 else ("data_format",)
        own = ("exclusive", "ceil_mode") if axes == 1 else ("ceil_mode", "exclusive", "divisor_override")
        window = ("kernel_size", "stride", "padding")
        pools = {
            f"MaxPool{axes}D": (f"max_pool{axes}d", (*window, "return_mask", "ceil_mode", *tail)),
            f"AvgPool{axes}D": (f"avg_pool{axes}d", (*window, *own, *tail)),
            f"AdaptiveAvgPool{axes}D": (f"adaptive_avg_pool{axes}d", ("output_size", "data_format")),
            f"AdaptiveMaxPool{axes}D": (f"adaptive_max_pool{axes}d", ("output_size", "return_mask")),
        }
        for title, (function, names) in pools.items():
            doc = f"The layer of :func:`functional.{function}`."
            made[title] = _class(title, _Pool, doc, function=function, names=names)
    return made


_MADE = _all()
#: the spellings of 2.0-beta: Conv2d, ConvTranspose2d, MaxPool2d …
_BETA = {
    (f"ConvTranspose{name[4]}d" if "Transpose" in name else name[:-1] + "d"): layer
    for name, layer in _MADE.items()
}
globals().update(_MADE)
globals().update(_BETA)
__all__ = [*_MADE, *_BETA]
