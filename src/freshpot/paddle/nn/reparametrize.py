"""Weights written as length and direction, or over their largest singular value; worked out before each forward."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import Parameter, Tensor, wrap
from freshpot.paddle.nn.layer import Layer

__all__ = ["remove_weight_norm", "spectral_norm", "weight_norm"]


def _lengths(data: torch.Tensor, dim: int | None) -> torch.Tensor:
    """Norms over all axes but ``dim``; over all for None."""
    if dim is None:
        return data.norm()
    return data.movedim(dim, 0).flatten(1).norm(dim=1)


class _WeightNorm:
    """What works a weight out: g * v / |v|."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim
        self.handle: Any = None

    def weight(self, layer: Layer) -> Tensor:
        """From the two parameters."""
        g, v = getattr(layer, f"{self.name}_g").data_, getattr(layer, f"{self.name}_v").data_
        scale = g / _lengths(v, self.dim)
        if self.dim is not None:
            shape = [1] * v.dim()
            shape[self.dim] = -1
            scale = scale.reshape(shape)
        return wrap(v * scale)

    def __call__(self, layer: Layer, inputs: Any) -> None:
        object.__setattr__(layer, self.name, self.weight(layer))


def _taken(layer: Layer, name: str, who: str) -> Parameter:
    weight = layer._parameters.get(name)
    if weight is None:
        raise ArgumentError(f"{who}: {type(layer).__name__} has no parameter '{name}'")
    del layer._parameters[name]
    return weight


def _named(weight: Parameter, data: torch.Tensor, ending: str) -> Parameter:
    made = Parameter(data.detach().clone(), f"{weight.name}{ending}", weight.trainable)
    made.optimize_attr, made.regularizer = weight.optimize_attr, weight.regularizer
    return made


def weight_norm(layer: Layer, name: str = "weight", dim: int | None = 0) -> Layer:
    """Write a parameter as lengths ``<name>_g`` and directions ``<name>_v`` (Salimans and Kingma 2016).

    Args:
        dim: the axis that has a length for each place; None, or -1: one length for all.

    Raises:
        ArgumentError: no such parameter, an axis it does not have, or it is written so already.
    """
    hooks = layer.__dict__["_pre_hooks"]
    if any(isinstance(hook, _WeightNorm) and hook.name == name for hook in hooks.values()):
        raise ArgumentError(f"weight_norm: '{name}' has its norm apart already")
    axis = None if dim is None or dim == -1 else dim
    weight = _taken(layer, name, "weight_norm")
    if axis is not None and not -weight.ndim <= axis < weight.ndim:
        layer._parameters[name] = weight
        raise ArgumentError(f"weight_norm: dim {dim} of '{name}' with {weight.ndim} axes")
    how = _WeightNorm(name, axis)
    layer.add_parameter(f"{name}_v", _named(weight, weight.data_, "_v"))
    layer.add_parameter(f"{name}_g", _named(weight, _lengths(weight.data_.detach(), axis), "_g"))
    how(layer, None)
    how.handle = layer.register_forward_pre_hook(how)
    return layer


def remove_weight_norm(layer: Layer, name: str = "weight") -> Layer:
    """The parameter as one again.

    Raises:
        ArgumentError: its norm is not apart.
    """
    for hook in list(layer.__dict__["_pre_hooks"].values()):
        if isinstance(hook, _WeightNorm) and hook.name == name:
            data = hook.weight(layer).data_.detach().clone()
            old = layer._parameters.pop(f"{name}_v")
            layer._parameters.pop(f"{name}_g")
            layer.__dict__.pop(name, None)
            hook.handle.remove()
            own = (old.name if old is not None else name).removesuffix("_v")
            layer.add_parameter(name, Parameter(data, own))
            return layer
    raise ArgumentError(f"remove_weight_norm: '{name}' of {type(layer).__name__} has no norm apart")


class _SpectralNorm:
    """What works a weight out: over its largest singular value, found by iteration."""

    def __init__(self, name: str, iterations: int, epsilon: float, dim: int) -> None:
        self.name, self.iterations, self.epsilon, self.dim = name, iterations, epsilon, dim

    def __call__(self, layer: Layer, inputs: Any) -> None:
        weight = getattr(layer, f"{self.name}_orig").data_
        u, v = getattr(layer, f"{self.name}_u").data_, getattr(layer, f"{self.name}_v").data_
        matrix = weight.movedim(self.dim, 0).flatten(1)
        if layer.training:
            with torch.no_grad():
                for _ in range(self.iterations):
                    v.copy_(torch.nn.functional.normalize(matrix.mT @ u, dim=0, eps=self.epsilon))
                    u.copy_(torch.nn.functional.normalize(matrix @ v, dim=0, eps=self.epsilon))
        sigma = u.clone() @ (matrix @ v.clone())
        object.__setattr__(layer, self.name, wrap(weight / sigma))


def spectral_norm(
    layer: Layer,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Layer:
    """Divide a parameter by its largest singular value (Miyato and others 2018); ``<name>_orig`` learns.

    Args:
        dim: the axis that becomes a matrix's rows; 1 for full layers and transposed convolutions, else 0.

    Raises:
        ArgumentError: no such parameter, it is done already, or fewer than one iteration.
    """
    if n_power_iterations < 1:
        raise ArgumentError(f"spectral_norm: n_power_iterations {n_power_iterations}; at least 1")
    hooks = layer.__dict__["_pre_hooks"]
    if any(isinstance(hook, _SpectralNorm) and hook.name == name for hook in hooks.values()):
        raise ArgumentError(f"spectral_norm: '{name}' is divided already")
    if dim is None:
        kind = type(layer).__name__
        dim = 1 if kind == "Linear" or kind.endswith("Transpose") else 0
    weight = _taken(layer, name, "spectral_norm")
    matrix = weight.data_.detach().movedim(dim, 0).flatten(1)
    layer.add_parameter(f"{name}_orig", _named(weight, weight.data_, "_orig"))
    for ending, size in (("u", matrix.shape[0]), ("v", matrix.shape[1])):
        begin = torch.nn.functional.normalize(
            torch.randn(size, dtype=matrix.dtype, device=matrix.device), dim=0, eps=eps
        )
        layer.register_buffer(f"{name}_{ending}", Tensor(begin, None, True))
    how = _SpectralNorm(name, n_power_iterations, eps, dim)
    how(layer, None)
    layer.register_forward_pre_hook(how)
    return layer
