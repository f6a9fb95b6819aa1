"""Linear, embedding, dropout, shape and resizing layers."""

from __future__ import annotations

from typing import Any

from freshpot.paddle import tensor as ops
from freshpot.paddle.nn import functional as F
from freshpot.paddle.nn.layer import Layer

__all__ = [
    "AlphaDropout", "Bilinear", "CosineSimilarity", "Dropout", "Dropout2D", "Dropout3D", "Embedding",
    "Flatten", "Identity", "Linear", "Pad1D", "Pad2D", "Pad3D", "PixelShuffle", "Upsample",
    "UpsamplingBilinear2D", "UpsamplingNearest2D", "ZeroPad2D",
]  # fmt: skip


class Identity(Layer):
    """What comes in goes out."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """The input itself."""
        return input


class Linear(Layer):
    """``x @ weight + bias``; weight (in_features, out_features)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        weight_attr: Any = None,
        bias_attr: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._say = f"in_features={in_features}, out_features={out_features}, dtype=float32"
        self.weight = self.create_parameter([in_features, out_features], weight_attr)
        self.bias = self.create_parameter([out_features], bias_attr, is_bias=True)

    def forward(self, input: Any) -> Any:
        """(..., in) -> (..., out)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return self._say


class Bilinear(Layer):
    """``x1 @ weight[k] @ x2 + bias``."""

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        weight_attr: Any = None,
        bias_attr: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._say = f"in1_features={in1_features}, in2_features={in2_features}, out_features={out_features}, "
        self._say += "dtype=float32"
        self.weight = self.create_parameter([out_features, in1_features, in2_features], weight_attr)
        self.bias = self.create_parameter([1, out_features], bias_attr, is_bias=True)

    def forward(self, x1: Any, x2: Any) -> Any:
        """(N, in1), (N, in2) -> (N, out)."""
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return self._say


class Embedding(Layer):
    """Rows of a weight by number."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        sparse: bool = False,
        weight_attr: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        row = "" if padding_idx is None else f", padding_idx={padding_idx}"
        self._say = f"{num_embeddings}, {embedding_dim}{row}, sparse={sparse}"
        self._padding = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = self.create_parameter([num_embeddings, embedding_dim], weight_attr)
        if padding_idx is not None and self.weight is not None:
            self.weight.data_.data[padding_idx] = 0
        if self.weight is not None:
            self.weight.sparse = sparse

    def forward(self, x: Any) -> Any:
        """(...) integers -> (..., embedding_dim)."""
        return F.embedding(x, self.weight, self._padding)

    def extra_repr(self) -> str:
        return self._say


class Flatten(Layer):
    """Axes from ``start_axis`` to ``stop_axis`` made one."""

    def __init__(self, start_axis: int = 1, stop_axis: int = -1) -> None:
        super().__init__()
        self.start_axis, self.stop_axis = start_axis, stop_axis

    def forward(self, input: Any) -> Any:
        """(N, ...) -> (N, product)."""
        return ops.flatten(input, self.start_axis, self.stop_axis)


class Dropout(Layer):
    """Elements zeroed while training."""

    def __init__(
        self, p: float = 0.5, axis: Any = None, mode: str = "upscale_in_train", name: str | None = None
    ) -> None:
        super().__init__()
        self.p, self.axis, self.mode = p, axis, mode

    def forward(self, input: Any) -> Any:
        """Any shape -> the same."""
        return F.dropout(input, self.p, self.axis, self.training, self.mode)

    def extra_repr(self) -> str:
        return f"p={self.p}, axis={self.axis}, mode={self.mode}"


class Dropout2D(Layer):
    """Whole channels zeroed while training."""

    def __init__(self, p: float = 0.5, data_format: str = "NCHW", name: str | None = None) -> None:
        super().__init__()
        self.p, self.data_format = p, data_format

    def forward(self, input: Any) -> Any:
        """(N, C, H, W) -> the same."""
        return F.dropout2d(input, self.p, self.training, self.data_format)

    def extra_repr(self) -> str:
        return f"p={self.p}, data_format={self.data_format}"


class Dropout3D(Layer):
    """Whole channels zeroed while training."""

    def __init__(self, p: float = 0.5, data_format: str = "NCDHW", name: str | None = None) -> None:
        super().__init__()
        self.p, self.data_format = p, data_format

    def forward(self, input: Any) -> Any:
        """(N, C, D, H, W) -> the same."""
        return F.dropout3d(input, self.p, self.training, self.data_format)

    def extra_repr(self) -> str:
        return f"p={self.p}, data_format={self.data_format}"


class AlphaDropout(Layer):
    """Dropout for selu."""

    def __init__(self, p: float = 0.5, name: str | None = None) -> None:
        super().__init__()
        self.p = p

    def forward(self, input: Any) -> Any:
        """Any shape -> the same."""
        return F.alpha_dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class _Pad(Layer):
    axes, data_format = 2, "NCHW"

    def __init__(
        self,
        padding: Any,
        mode: str = "constant",
        value: float = 0.0,
        data_format: str | None = None,
        name: Any = None,
    ) -> None:
        super().__init__()
        self._sizes = [padding] * (2 * self.axes) if isinstance(padding, int) else list(padding)
        self._mode, self._value, self._format = mode, value, data_format or self.data_format

    def forward(self, x: Any) -> Any:
        """(N, C, space ...) -> (N, C, larger space ...)."""
        return F.pad(x, self._sizes, self._mode, self._value, self._format)

    def extra_repr(self) -> str:
        return f"padding={self._sizes}, mode={self._mode}, value={self._value}, data_format={self._format}"


class Pad1D(_Pad):
    """Padding of one axis: (left, right)."""

    axes, data_format = 1, "NCL"


class Pad2D(_Pad):
    """Padding of two axes: (left, right, top, bottom)."""


class Pad3D(_Pad):
    """Padding of three axes: (left, right, top, bottom, front, back)."""

    axes, data_format = 3, "NCDHW"


class ZeroPad2D(Pad2D):
    """Padding with zeros."""

    def __init__(self, padding: Any, data_format: str = "NCHW", name: str | None = None) -> None:
        super().__init__(padding, "constant", 0.0, data_format)


class Upsample(Layer):
    """Enlarged or shrunk."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool = False,
        align_mode: int = 0,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self._options = (size, scale_factor, mode, align_corners, align_mode)
        self._format = data_format

    def forward(self, x: Any) -> Any:
        """(N, C, space ...) -> (N, C, other space ...)."""
        return F.interpolate(x, *self._options, self._format or "NCHW")

    def _target(self) -> str:
        size, factor = self._options[:2]
        return f"size={size}" if factor is None else f"scale_factor={factor}"

    def extra_repr(self) -> str:
        _, _, mode, corners, align = self._options
        return f"{self._target()}, mode={mode}, align_corners={corners}, align_mode={align}, data_format={self._format}"


class UpsamplingNearest2D(Upsample):
    """Enlarged by repeating."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, data_format: str = "NCHW", name: Any = None
    ) -> None:
        super().__init__(size, scale_factor, "nearest", False, 0, data_format)

    def extra_repr(self) -> str:
        return f"{self._target()}, data_format={self._format}"


class UpsamplingBilinear2D(Upsample):
    """Enlarged bilinearly, corners on corners."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, data_format: str = "NCHW", name: Any = None
    ) -> None:
        super().__init__(size, scale_factor, "bilinear", True, 0, data_format)

    def extra_repr(self) -> str:
        return f"{self._target()}, data_format={self._format}"


class PixelShuffle(Layer):
    """Channels spread over a finer grid."""

    def __init__(self, upscale_factor: int, data_format: str = "NCHW", name: str | None = None) -> None:
        super().__init__()
        self._factor, self._format = upscale_factor, data_format

    def forward(self, x: Any) -> Any:
        """(N, C * r * r, H, W) -> (N, C, H * r, W * r)."""
        return F.pixel_shuffle(x, self._factor, self._format)

    def extra_repr(self) -> str:
        return f"upscale_factor={self._factor}" + (
            "" if self._format == "NCHW" else f", data_format={self._format}"
        )


class CosineSimilarity(Layer):
    """The cosine of the angle between vectors."""

    def __init__(self, axis: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self._axis, self._eps = axis, eps

    def forward(self, x1: Any, x2: Any) -> Any:
        """Two of one shape -> the shape without the axis."""
        return F.cosine_similarity(x1, x2, self._axis, self._eps)

    def extra_repr(self) -> str:
        return f"axis={self._axis}, eps={self._eps}"


def _padding(name: str, base: type[_Pad], mode: str) -> type[_Pad]:
    def init(
        self: Any, padding: Any, value: float = 0.0, data_format: str | None = None, name: Any = None
    ) -> None:
        base.__init__(self, padding, mode, value, data_format)

    doc = f"{base.__name__} of one mode, as 2.0-beta called it."
    return type(name, (base,), {"__init__": init, "__doc__": doc, "__module__": __name__})


#: the names of 2.0-beta
_BETA: dict[str, type[Layer]] = {
    "Dropout2d": Dropout2D,
    "Dropout3d": Dropout3D,
    "Pad1d": Pad1D,
    "Pad2d": Pad2D,
    "Pad3d": Pad3D,
    "UpsamplingBilinear2d": UpsamplingBilinear2D,
    "UpsamplingNearest2d": UpsamplingNearest2D,
    "ZeroPad2d": ZeroPad2D,
    **{
        f"{kind}Pad{axes}d": _padding(f"{kind}Pad{axes}d", base, mode)
        for kind, mode in (("Constant", "constant"), ("Reflection", "reflect"), ("Replication", "replicate"))
        for axes, base in ((1, Pad1D), (2, Pad2D), (3, Pad3D))
    },
}
globals().update(_BETA)
__all__ += [*_BETA]
