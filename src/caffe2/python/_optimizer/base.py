"""What all optimizers share: learning rate, names of their blobs, multipliers, lists of their state.

Source: caffe2/python/optimizer.py.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core, scope, utils
from caffe2.python._errors import require
from caffe2.python.modeling.parameter_info import ParameterInfo
from freshpot.errors import NotSupportedError


class AuxOptimizerParams(NamedTuple):
    """State of an optimizer: blobs of one parameter each, and blobs that all parameters share."""

    local: list[Any]
    shared: list[Any]


_optimizer_instance_count: defaultdict[str, int] = defaultdict(int)

_FLOAT_MAX = np.finfo(np.float32).max


def current_device() -> Any:
    """The device in scope; the CPU if there is none."""
    return scope.CurrentDeviceScope() or core.DeviceOption(caffe2_pb2.CPU)


def _on_gpu() -> bool:
    device = scope.CurrentDeviceScope()
    return device is not None and core.IsGPUDeviceType(device.device_type)


class Optimizer:
    """Adds the operators that update one parameter: ``optimizer(net, param_init_net, param, grad)``.

    ``param`` is a `ParameterInfo` that knows its gradient, or a blob whose gradient is given.
    Subclasses write `_run`; ``rate_name`` names the attribute that holds their learning rate.
    """

    rate_name: str | None = None

    def __init__(self) -> None:
        self._aux_params = AuxOptimizerParams(local=[], shared=[])
        name = type(self).__name__
        self._instance_num = _optimizer_instance_count[name]
        _optimizer_instance_count[name] += 1
        self._lr_multiplier: Any = None
        self._local_lr_multiplier: Any = None
        self._local_lr_multiplier_on_gpu = False

    def __call__(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> None:
        if grad is not None:
            blob = core.BlobReference(param) if isinstance(param, str) else param
            param = ParameterInfo(param_id=None, param=blob, grad=grad)
        require(
            isinstance(param, ParameterInfo),
            f"without a gradient an optimizer takes a ParameterInfo; got {type(param).__name__}.",
        )
        require(param.grad is not None, f"parameter '{param}' has no gradient: add gradient operators first.")
        self._run(net, param_init_net, param)

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        raise NotSupportedError(f"{type(self).__name__} does not say how it updates a parameter.")

    # --- names ------------------------------------------------------------------------------------

    def get_cpu_blob_name(self, base_str: str, node_name: str = "") -> str:
        """Name of a blob of this optimizer on the CPU."""
        return f"{type(self).__name__}_{self._instance_num}_{base_str}{node_name}_cpu"

    def get_gpu_blob_name(self, base_str: str, gpu_id: int, node_name: str) -> str:
        """Name of a blob of this optimizer on one GPU."""
        return f"{type(self).__name__}_{self._instance_num}_{base_str}{node_name}_gpu{gpu_id}"

    def make_unique_blob_name(self, base_str: str) -> str:
        """Name of a blob of this optimizer on the device in scope."""
        device = scope.CurrentDeviceScope()
        if device is None:
            return self.get_cpu_blob_name(base_str)
        if core.IsGPUDeviceType(device.device_type):
            return self.get_gpu_blob_name(base_str, device.device_id, device.node_name)
        return self.get_cpu_blob_name(base_str, device.node_name)

    @property
    def attributes(self) -> dict[str, Any]:
        """A copy of what the optimizer was made with."""
        return {k: copy.deepcopy(v) for k, v in self.__dict__.items() if k != "_instance_num"}

    # --- learning rate ----------------------------------------------------------------------------

    def build_lr(
        self,
        net: Any,
        param_init_net: Any,
        base_learning_rate: float,
        learning_rate_blob: str | None = None,
        policy: str = "fixed",
        iter_val: int = 0,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """The learning rate (negative, as it is added) and the iteration blob; made once, then found.

        Multipliers that were set scale it. ``kwargs`` are arguments of `LearningRate`.
        """
        name = learning_rate_blob or self.make_unique_blob_name("lr")
        iteration = utils.BuildUniqueMutexIter(param_init_net, net, iter_val=iter_val)
        if net.BlobIsDefined(name):
            rate = net.GetBlobRef(name)
        else:
            rate = net.LearningRate([iteration], name, base_lr=-base_learning_rate, policy=policy, **kwargs)
        if self._lr_multiplier is not None:
            factor = net.CopyFromCPUInput(self._lr_multiplier, self.make_unique_blob_name("lr_multiplier"))
            rate = net.Mul([rate, factor], self.make_unique_blob_name("scaled_lr"), broadcast=1)
        if self._local_lr_multiplier is not None:
            factor = self._local_factor(net)
            rate = net.Mul([rate, factor], self.make_unique_blob_name("local_scaled_lr"), broadcast=1)
        return rate, iteration

    def _local_factor(self, net: Any) -> Any:
        if not _on_gpu() or self._local_lr_multiplier_on_gpu:
            return self._local_lr_multiplier
        name = self.make_unique_blob_name("local_lr_multiplier")
        return net.CopyFromCPUInput(self._local_lr_multiplier, name)

    def _own_rate(self, net: Any, param_init_net: Any, sign: int = 1) -> tuple[Any, Any]:
        """`build_lr` with the rate, policy and further arguments that the optimizer was made with."""
        rate = sign * getattr(self, self.rate_name or "alpha")
        policy, kwargs = getattr(self, "policy", "fixed"), getattr(self, "init_kwargs", {})
        return self.build_lr(net, param_init_net, base_learning_rate=rate, policy=policy, **kwargs)

    def add_lr_multiplier(self, lr_multiplier: Any) -> None:
        """Multiply every learning rate from now on by this blob (None: by nothing)."""
        self._lr_multiplier = lr_multiplier

    def _add_local_lr_multiplier(self, local_lr_multiplier: Any, is_gpu_blob: bool = False) -> None:
        self._local_lr_multiplier = local_lr_multiplier
        self._local_lr_multiplier_on_gpu = is_gpu_blob

    def _clear_local_lr_multiplier(self) -> None:
        self._add_local_lr_multiplier(None)

    def create_lars_inputs(
        self, param_init_net: Any, weight_decay: float, trust: float, lr_max: float
    ) -> tuple[Any, Any, Any]:
        """The constants that `Lars` reads."""
        values = {"weight_decay": weight_decay, "trust": trust, "lr_max": lr_max}
        decay, trust_blob, largest = (
            param_init_net.ConstantFill([], name, shape=[1], value=value) for name, value in values.items()
        )
        return decay, trust_blob, largest

    def _apply_lars(self, net: Any, param_init_net: Any, param_info: ParameterInfo, offset: Any) -> None:
        """Scale the rate of this parameter by layer-wise adaptation, if asked for and not sparse."""
        self._clear_local_lr_multiplier()
        param, grad = param_info.blob, param_info.grad
        if offset is None or isinstance(grad, core.GradientSlice):
            return
        require(offset >= 0, f"the offset of LARS must not be negative; got {offset}.")
        constants = self.create_lars_inputs(param_init_net, 0.0, 1.0, _FLOAT_MAX)
        factor = net.Lars(
            [param, grad, *constants],
            self.make_unique_blob_name(f"{param}_lars"),
            offset=offset,
            lr_min=0.0,
        )
        self._add_local_lr_multiplier(factor, is_gpu_blob=_on_gpu())

    def scale_learning_rate(self, scale: float) -> None:
        """Multiply the base learning rate by ``scale``; for updates added after this call."""
        if self.rate_name is None:
            raise NotSupportedError(f"{type(self).__name__} has no learning rate to scale.")
        setattr(self, self.rate_name, getattr(self, self.rate_name) * scale)

    # --- gradients and state ----------------------------------------------------------------------

    @staticmethod
    def dedup(net: Any, sparse_dedup_aggregator: str | None, grad: Any) -> Any:
        """A sparse gradient with rows of equal number put together ("sum" or "mean"), if asked for."""
        require(
            isinstance(grad, core.GradientSlice),
            f"only a sparse gradient can be deduplicated; got {type(grad).__name__}.",
        )
        if not sparse_dedup_aggregator:
            return grad
        return net.DeduplicateGradientSlices(grad, aggregator=sparse_dedup_aggregator)

    def _require_dense(self, param_info: ParameterInfo) -> None:
        require(
            not isinstance(param_info.grad, core.GradientSlice),
            f"{type(self).__name__} does not take sparse gradients; that of '{param_info}' is sparse.",
        )

    def get_auxiliary_parameters(self) -> AuxOptimizerParams:
        """The blobs that hold the optimizer's state, so that they can be saved with the parameters."""
        return self._aux_params

    def _state(self, init_net: Any, param: Any, suffix: str, **fill: Any) -> Any:
        """A state blob shaped like the parameter, zero at first."""
        blob = init_net.ConstantFill([param], f"{param}_{suffix}", **{**fill, "value": 0.0})
        self._aux_params.local.append(blob)
        return blob

    def _scalar_state(self, init_net: Any, param: Any, suffix: str, value: float, size: int = 1) -> Any:
        """A state blob of ``size`` numbers."""
        blob = init_net.ConstantFill([], f"{param}_{suffix}", shape=[size], value=value)
        self._aux_params.local.append(blob)
        return blob
