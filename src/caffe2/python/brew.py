"""`brew`: layers for a `ModelHelper`, with their parameters and defaults in one call.

``brew.conv(model, "data", "conv1", 1, 20, kernel=5)`` fills the parameters in ``model.param_init_net``
and adds the operator to ``model.net``. Every helper takes its defaults from the model's ``arg_scope``
and from the enclosing ``brew.arg_scope`` blocks. `Register` adds a helper of one's own.

Source: caffe2/python/brew.py.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from caffe2.python.helpers import (
    algebra,
    array_helpers,
    control_ops,
    nonlinearity,
    normalization,
    pooling,
    quantization,
    tools,
    train,
)
from caffe2.python.helpers.arg_scope import arg_scope, get_current_scope
from caffe2.python.helpers.conv import conv, conv_nd, conv_transpose, group_conv, group_conv_deprecated
from caffe2.python.helpers.db_input import db_input
from caffe2.python.helpers.dropout import dropout
from caffe2.python.helpers.elementwise_linear import elementwise_linear
from caffe2.python.helpers.fc import fc, fc_decomp, fc_prune, fc_sparse, packed_fc
from caffe2.python.model_helper import ModelHelper
from freshpot.errors import near_matches

Helper = Callable[..., Any]

if TYPE_CHECKING:  # what a strict type checker lets programs take from here
    __all__ = [
        "ModelHelper", "arg_scope", "conv", "conv_nd", "conv_transpose", "db_input", "dropout", "elementwise_linear",
        "fc", "fc_decomp", "fc_prune", "fc_sparse", "group_conv", "group_conv_deprecated", "packed_fc",
    ]  # fmt: skip

    def __getattr__(name: str) -> Any:
        """Helpers are attributes of the module."""


def _named(*helpers: Helper) -> dict[str, Helper]:
    return {helper.__name__: helper for helper in helpers}


_HELPERS = _named(
    fc,
    packed_fc,
    fc_decomp,
    fc_sparse,
    fc_prune,
    dropout,
    pooling.max_pool,
    pooling.average_pool,
    pooling.max_pool_with_index,
    normalization.lrn,
    normalization.softmax,
    normalization.instance_norm,
    normalization.spatial_bn,
    normalization.spatial_gn,
    normalization.layer_norm,
    normalization.moments_with_running_stats,
    nonlinearity.relu,
    nonlinearity.prelu,
    nonlinearity.tanh,
    array_helpers.concat,
    array_helpers.depth_concat,
    algebra.sum,
    algebra.reduce_sum,
    algebra.sub,
    algebra.arg_min,
    algebra.transpose,
    algebra.mat_mul,
    algebra.batch_mat_mul,
    algebra.sparse_lengths_sum_4bit_rowwise_sparse,
    train.iter,
    train.accuracy,
    train.add_weight_decay,
    conv,
    conv_nd,
    conv_transpose,
    group_conv,
    group_conv_deprecated,
    tools.image_input,
    tools.video_input,
    elementwise_linear,
    control_ops.cond,
    control_ops.loop,
    db_input,
    quantization.fused_8bit_rowwise_quantized_to_float,
)


def _model_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelHelper:
    model = args[0] if args and isinstance(args[0], ModelHelper) else kwargs.get("model")
    if model is None:
        got = type(args[0]).__name__ if args else "nothing"
        raise RuntimeError(
            f"brew.{name}: the first argument must be the model (or give it as model=…); got {got}."
        )
    return model


def _defaults(helper: Helper, model: ModelHelper) -> dict[str, Any]:
    """The model's default arguments that this helper takes."""
    parameters = inspect.signature(helper).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return copy.deepcopy(model.arg_scope)
    return {name: copy.deepcopy(value) for name, value in model.arg_scope.items() if name in parameters}


def _in_scope(name: str, helper: Helper) -> Helper:
    """The helper as users call it: with the defaults of the model and of the arg scope filled in."""

    @functools.wraps(helper)
    def call(*args: Any, **kwargs: Any) -> Any:
        defaults = _defaults(helper, _model_of(name, args, kwargs))
        return helper(*args, **{**defaults, **get_current_scope().get(name, {}), **kwargs})

    call.__name__ = name
    return call


class _Brew(ModuleType):
    """The module, with one attribute a helper."""

    def __init__(self, name: str, doc: str | None) -> None:
        super().__init__(name, doc)
        self._registry = dict(_HELPERS)

    def __getattr__(self, helper_name: str) -> Any:
        registry = self.__dict__.get("_registry", {})
        if helper_name == "arg_scope":
            return arg_scope
        if helper_name not in registry:
            raise AttributeError(f"brew has no helper '{helper_name}'.{near_matches(helper_name, registry)}")
        return _in_scope(helper_name, registry[helper_name])

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), "arg_scope", *self._registry])

    def Register(self, helper: Helper) -> None:
        """Make a function of (model, …) a helper under its own name; AttributeError if that is taken."""
        name = helper.__name__
        if self.has_helper(name):
            raise AttributeError(f"brew has a helper '{name}' already; give yours another name.")
        self._registry[name] = helper

    def has_helper(self, helper_or_helper_name: str | Helper) -> bool:
        """True if there is a helper of that name, or of the function's name."""
        name = helper_or_helper_name
        name = name if isinstance(name, str) else name.__name__
        return name == "arg_scope" or name in self._registry


def _install() -> None:
    """Put the helpers' module in place of this one, as ``from caffe2.python import brew`` finds it."""
    brew = _Brew(__name__, __doc__)
    for attribute in ("__file__", "__spec__", "__loader__", "__package__"):
        brew.__dict__[attribute] = globals()[attribute]
    sys.modules[__name__] = brew


_install()
