"""Gradients switched off and on, and asked for."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import GradientError, NotSupportedError
from freshpot.paddle._derivatives import hessian, jacobian
from freshpot.paddle._missing import missing
from freshpot.paddle._tensor import Tensor, unwrap, wrap

__all__ = [
    "PyLayer",
    "PyLayerContext",
    "backward",
    "enable_grad",
    "grad",
    "hessian",
    "is_grad_enabled",
    "jacobian",
    "no_grad",
    "set_grad_enabled",
]

no_grad = torch.no_grad
enable_grad = torch.enable_grad
set_grad_enabled = torch.set_grad_enabled
is_grad_enabled = torch.is_grad_enabled


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool = False,
    no_grad_vars: Any = None,
) -> list[Tensor | None]:
    """Gradients of the sum of ``outputs`` with respect to each of ``inputs``.

    Raises:
        GradientError: an input that no output depends on, unless ``allow_unused``.
        NotSupportedError: ``no_grad_vars``, or not ``only_inputs``.
    """
    if no_grad_vars is not None or not only_inputs:
        raise NotSupportedError("paddle.grad: no_grad_vars and only_inputs=False are not done here")
    tops = unwrap(list(outputs) if isinstance(outputs, (list, tuple)) else [outputs])
    leaves = unwrap(list(inputs) if isinstance(inputs, (list, tuple)) else [inputs])
    if isinstance(grad_outputs, Tensor):
        grad_outputs = [grad_outputs]
    given = [None] * len(tops) if grad_outputs is None else unwrap(list(grad_outputs))
    weights = [torch.ones_like(top) if g is None else g for top, g in zip(tops, given, strict=True)]
    try:
        found = torch.autograd.grad(
            tops, leaves, weights, retain_graph, create_graph, allow_unused=allow_unused
        )
    except RuntimeError as error:
        raise GradientError(f"paddle.grad: {str(error).splitlines()[0]}") from error
    return [None if part is None else wrap(part) for part in found]


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool = False) -> None:
    """Add the gradients of several tensors, weighed by ``grad_tensors``, to their leaves' ``grad``."""
    tops = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    given = [grad_tensors] if isinstance(grad_tensors, Tensor) else grad_tensors or [None] * len(tops)
    weights = [torch.ones_like(t.data_) if g is None else g.data_ for t, g in zip(tops, given, strict=True)]
    torch.autograd.backward([top.data_ for top in tops], weights, retain_graph)


class PyLayerContext:
    """What :class:`PyLayer` hands from forward to backward; any attribute may be set besides."""

    _saved: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors."""
        self._saved = tensors

    def saved_tensor(self) -> tuple[Any, ...]:
        """The kept tensors."""
        return self._saved


class PyLayer:
    """A function with a gradient of its own: static ``forward(ctx, ...)`` and ``backward(ctx, ...)``; call ``apply``.

    ``backward`` gets one gradient for each output and returns one for each tensor among the inputs (None: none).
    """

    @staticmethod
    def forward(ctx: PyLayerContext, *args: Any, **keywords: Any) -> Any:
        """The outputs."""
        raise NotImplementedError("a PyLayer must define forward()")

    @staticmethod
    def backward(ctx: PyLayerContext, *args: Any) -> Any:
        """The gradients."""
        raise NotImplementedError("a PyLayer must define backward()")

    @classmethod
    def apply(cls, *args: Any, **keywords: Any) -> Any:
        """The outputs, with their history."""
        places = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        made = _Bridge.apply(cls, args, keywords, *[args[i].data_ for i in places])
        return tuple(map(wrap, made)) if isinstance(made, tuple) else wrap(made)


class _Bridge(torch.autograd.Function):
    """A PyLayer as torch's autograd calls it."""

    @staticmethod
    def forward(ctx: Any, layer: Any, args: Any, keywords: Any, *tensors: torch.Tensor) -> Any:
        fresh = iter(tensors)
        ctx.layer, ctx.own = layer, PyLayerContext()
        plain = [wrap(next(fresh)) if isinstance(arg, Tensor) else arg for arg in args]
        made = layer.forward(ctx.own, *plain, **keywords)
        return tuple(part.data_ for part in made) if isinstance(made, (list, tuple)) else made.data_

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        made = ctx.layer.backward(ctx.own, *map(wrap, grads))
        parts = list(made) if isinstance(made, (list, tuple)) else [made]
        return (None, None, None, *[None if part is None else part.data_ for part in parts])


def __getattr__(name: str) -> Any:
    raise missing("autograd", name, __all__)
