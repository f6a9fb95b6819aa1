"""Normalizations that can be attached to a layer. Source: caffe2/python/normalizer.py."""

from __future__ import annotations

from typing import Any

from freshpot.errors import NotSupportedError


class Normalizer:
    """Base class: called with a layer model and a parameter, adds the normalization."""

    def __call__(self, net: Any, param: Any) -> Any:
        return self._run(net, param)

    def _run(self, layer_model: Any, param: Any) -> Any:
        raise NotSupportedError(f"{type(self).__name__} does not say how it normalizes '{param}'.")


class BatchNormalizer(Normalizer):
    """Batch normalization with running moments of the given momentum."""

    def __init__(self, momentum: float, scale_init_value: float = 1.0) -> None:
        self._momentum = float(momentum)
        self._scale_init_value = float(scale_init_value)

    def _run(self, layer_model: Any, param: Any) -> Any:
        return layer_model.BatchNormalization(
            param, momentum=self._momentum, scale_init_value=self._scale_init_value
        )


class LayerNormalizer(Normalizer):
    """Layer normalization; ``epsilon`` is added to the variance."""

    def __init__(self, epsilon: float, use_layer_norm_op: bool = True, scale_init_value: float = 1.0) -> None:
        self._epsilon = float(epsilon)
        self._use_layer_norm_op = use_layer_norm_op
        self._scale_init_value = float(scale_init_value)

    def _run(self, layer_model: Any, param: Any) -> Any:
        return layer_model.LayerNormalization(
            param,
            epsilon=self._epsilon,
            use_layer_norm_op=self._use_layer_norm_op,
            scale_init_value=self._scale_init_value,
        )
