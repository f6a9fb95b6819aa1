"""Clipping of gradients. Source: caffe2/python/modeling/gradient_clipping.py."""

from __future__ import annotations

from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python.modeling.net_modifier import NetModifier
from caffe2.python.optimizer import get_param_device


class GradientClipping(NetModifier):
    """Limits the dense gradients of a net; sparse ones are left as they are.

    Args:
        grad_clip_method: ``by_norm`` scales a gradient whose norm is above the threshold,
            ``by_value`` clips its elements.
        clip_norm_type: ``l2_norm`` or ``l1_norm``.
        clip_threshold: largest norm; times the parameter's norm with ``use_parameter_norm``.
        compute_norm_ratio: with ``use_parameter_norm``, also write ``W_norm_ratio``.
        clip_max, clip_min: bounds of ``by_value``.
        blobs_to_include, blobs_to_exclude: names of parameters; None includes all, excludes none.
    """

    L1_NORM = "l1_norm"
    L2_NORM = "l2_norm"
    BY_NORM = "by_norm"
    BY_VALUE = "by_value"
    GRAD_CLIP_METHODS = [BY_NORM, BY_VALUE]
    CLIP_GRADIENT_NORM_TYPES = [L2_NORM, L1_NORM]

    def __init__(
        self,
        grad_clip_method: str,
        clip_norm_type: str | None = "l2_norm",
        clip_threshold: float = 0.1,
        use_parameter_norm: bool = False,
        compute_norm_ratio: bool = False,
        clip_max: float = 1,
        clip_min: float = -1,
        blobs_to_include: list[str] | None = None,
        blobs_to_exclude: list[str] | None = None,
    ) -> None:
        for what, value, known in (
            ("grad_clip_method", grad_clip_method, self.GRAD_CLIP_METHODS),
            ("clip_norm_type", clip_norm_type, [*self.CLIP_GRADIENT_NORM_TYPES, None]),
        ):
            require(value in known, f"{what} must be one of {known}; got {value!r}.")
        self.grad_clip_method = grad_clip_method
        self.clip_norm_type = clip_norm_type
        self.clip_threshold = float(clip_threshold)
        self.use_parameter_norm = use_parameter_norm
        self.compute_norm_ratio = compute_norm_ratio
        self.clip_max = float(clip_max)
        self.clip_min = float(clip_min)
        self.blobs_to_include = blobs_to_include
        self.blobs_to_exclude = blobs_to_exclude

    def modify_net(
        self,
        net: Any,
        init_net: Any = None,
        grad_map: dict[str, Any] | None = None,
        blob_to_device: dict[str, Any] | None = None,
        modify_output_record: bool = False,
    ) -> None:
        """Add the clipping to ``net``; ``grad_map`` is parameter -> gradient."""
        require(grad_map is not None, "GradientClipping needs the map from parameters to gradients.")
        cpu = core.DeviceOption(caffe2_pb2.CPU)
        for param, grad in self._chosen(net, grad_map or {}).items():
            if isinstance(grad, core.GradientSlice):
                continue
            with core.DeviceScope(get_param_device(str(param), grad, blob_to_device, cpu)):
                if self.grad_clip_method == self.BY_VALUE:
                    net.Clip([grad], [grad], max=self.clip_max, min=self.clip_min)
                else:
                    self._by_norm(net, param, grad)

    def _chosen(self, net: Any, grad_map: dict[str, Any]) -> dict[Any, Any]:
        chosen: dict[Any, Any] = dict(grad_map)
        if self.blobs_to_include is not None:
            for name in self.blobs_to_include:
                require(net.BlobIsDefined(name), f"parameter '{name}' is not in net '{net.Name()}'.")
            chosen = {core.BlobReference(name): grad_map[name] for name in self.blobs_to_include}
        for name in self.blobs_to_exclude or ():
            chosen.pop(name, None)
        return chosen

    def _norm(self, net: Any, blob: Any) -> Any:
        p = 1 if self.clip_norm_type == self.L1_NORM else 2
        norm = net.LpNorm([blob], net.NextScopedBlob(prefix=f"{blob}_l{p}_norm"), p=p)
        return net.Pow([norm], exponent=0.5) if p == 2 else norm

    def _by_norm(self, net: Any, param: Any, grad: Any) -> None:
        inputs = [grad, self._norm(net, grad)]
        if self.use_parameter_norm:
            inputs.append(self._norm(net, param))
            if self.compute_norm_ratio:
                net.Div(inputs[1:], [net.NextScopedBlob(prefix=f"{param}_norm_ratio")])
        net.ClipTensorByScaling(inputs, [grad], threshold=self.clip_threshold)
