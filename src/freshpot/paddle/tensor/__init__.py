"""``paddle.tensor``: functions over tensors, which are methods of Tensor too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from freshpot.paddle._missing import missing
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.tensor import (
    creation,
    factors,
    indexing,
    linalg,
    manipulation,
    maths,
    parts,
    special,
    statistics,
)
from freshpot.paddle.tensor.creation import *  # noqa: F403
from freshpot.paddle.tensor.indexing import *  # noqa: F403
from freshpot.paddle.tensor.manipulation import *  # noqa: F403
from freshpot.paddle.tensor.maths import *  # noqa: F403
from freshpot.paddle.tensor.parts import *  # noqa: F403
from freshpot.paddle.tensor.special import *  # noqa: F403
from freshpot.paddle.tensor.statistics import *  # noqa: F403

#: functions of :mod:`linalg` that are found directly in paddle too
_PRODUCTS = ["cdist", "cholesky", "cross", "inner", "kron", "mv", "outer", "tensordot"]
globals().update({name: getattr(linalg, name) for name in _PRODUCTS})
__all__ = [
    *creation.__all__,
    *indexing.__all__,
    *manipulation.__all__,
    *maths.__all__,
    *parts.__all__,
    *special.__all__,
    *statistics.__all__,
    *_PRODUCTS,
]

#: functions of :mod:`creation` whose first argument is a tensor
_OF_A_TENSOR = ["zeros_like", "ones_like", "full_like", "diag", "tril", "triu", "clone", "numel"]
_OF_A_TENSOR += ["bernoulli", "multinomial"]
#: what a Tensor has as properties, and what is no method
_NOT_METHODS = {
    "shape",
    "rank",
    "is_tensor",
    "einsum",
    "add_n",
    "meshgrid",
    "complex",
    "polar",
    "broadcast_shape",
}
_NOT_METHODS |= {"check_shape"}
_NOT_METHODS |= {"broadcast_tensors", "hstack", "vstack", "combinations"}
_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "mod",
    "pow": "pow",
    "matmul": "matmul",
}
_COMPARISONS = {
    "lt": "less_than",
    "le": "less_equal",
    "gt": "greater_than",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
_BITS = {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
#: methods that have a form in place: add_ …
_INPLACE = """
abs acos acosh add addmm asin asinh atan atanh bitwise_and bitwise_not bitwise_or bitwise_xor cast
ceil clip cos cosh cumprod cumsum digamma divide equal erf erfinv exp expm1 flatten floor
floor_divide floor_mod frac gcd greater_equal greater_than hypot i0 index_add index_fill index_put
lcm ldexp lerp less_equal less_than lgamma log log10 log1p log2 logical_and logical_not logical_or
logical_xor logit masked_fill mod multiply nan_to_num neg not_equal polygamma pow put_along_axis
reciprocal remainder renorm reshape round rsqrt scale scatter sigmoid sin sinh sqrt square squeeze
subtract t tan tanh transpose tril triu trunc unsqueeze
"""


def _swapped(function: Callable[..., Tensor]) -> Callable[[Tensor, Any], Tensor]:
    def call(self: Tensor, other: Any) -> Tensor:
        made: Tensor = function(other if isinstance(other, Tensor) else _operand(self, other), self)
        return made

    return call


def _operand(x: Tensor, value: Any) -> Tensor:
    """``value`` as a tensor that operates with ``x``: a whole number keeps the type of ``x``."""
    if isinstance(value, (int, float, bool)):
        floats = isinstance(value, float) and not x.dtype.torch.is_floating_point
        dtype = torch.get_default_dtype() if floats else x.dtype.torch
        return Tensor(torch.tensor(value, dtype=dtype, device=x.place.device))
    return Tensor(torch.as_tensor(value, device=x.place.device))


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(self: Tensor, *args: Any, **keywords: Any) -> Tensor:
        self.data_ = function(self, *args, **keywords).data_
        return self

    return call


def _bind_methods() -> None:
    for module in (manipulation, maths, indexing, special, statistics, linalg, factors, parts):
        for name in module.__all__:
            if name not in _NOT_METHODS and not hasattr(Tensor, name):
                setattr(Tensor, name, getattr(module, name))
    for name in _OF_A_TENSOR:
        setattr(Tensor, name, getattr(creation, name))
    for sign, name in {**_OPERATORS, **_COMPARISONS, **_BITS}.items():
        setattr(Tensor, f"__{sign}__", getattr(maths, name))
    for sign, name in {**_OPERATORS, **_BITS}.items():
        setattr(Tensor, f"__r{sign}__", _swapped(getattr(maths, name)))
    for name in _INPLACE.split():
        in_place = _in_place(getattr(Tensor, name))
        in_place.__doc__ = f"``{name}``, in place of the tensor."
        setattr(Tensor, f"{name}_", in_place)
        globals()[f"{name}_"] = in_place
        __all__.append(f"{name}_")
    __all__.append("normal_")
    globals()["normal_"] = creation.normal_
    for name in ("zero", "fill", "uniform", "normal", "exponential", "fill_diagonal"):
        setattr(Tensor, f"{name}_", getattr(creation, f"{name}_"))
    setattr(Tensor, "__neg__", maths.__dict__["neg"])  # noqa: B010
    setattr(Tensor, "__abs__", maths.__dict__["abs"])  # noqa: B010
    setattr(Tensor, "__invert__", maths.__dict__["bitwise_not"])  # noqa: B010


_bind_methods()

#: modules of the original whose functions are this module's
ALIASES = ("attribute", "logic", "math", "ops", "random", "search", "stat")


def __getattr__(name: str) -> Any:
    if name in ALIASES:
        return sys.modules[__name__]
    raise missing("tensor", name, __all__)
