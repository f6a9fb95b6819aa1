"""Stochastic gradient descent in single, mixed and half precision; weight decay; RmsProp."""

from __future__ import annotations

from typing import Any

from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python._optimizer.base import Optimizer, current_device
from caffe2.python.modeling.parameter_info import ParameterInfo


def _one(param_init_net: Any, name: str) -> Any:
    return param_init_net.ConstantFill([], name, shape=[1], value=1.0)


class SgdOptimizer(Optimizer):
    """``W -= rate * grad``; with ``momentum`` > 0 a velocity, by Nesterov's rule unless told otherwise.

    Args:
        base_learning_rate: > 0; 0 updates nothing.
        policy: of the operator `LearningRate`; ``kwargs`` are its arguments (``gamma``, ``stepsize`` …).
        momentum: in [0, 1).
        nesterov: whether the momentum is Nesterov's.
        sparse_dedup_aggregator: ``"sum"`` or ``"mean"`` puts equal rows of sparse gradients together.
        lars: offset of layer-wise adaptive rates (arXiv:1708.03888); None: not used.
    """

    rate_name = "base_learning_rate"

    def __init__(
        self,
        base_learning_rate: float = 0.01,
        policy: str = "fixed",
        momentum: float = 0.0,
        nesterov: bool = True,
        sparse_dedup_aggregator: str | None = None,
        lars: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.base_learning_rate = base_learning_rate
        self.policy = policy
        self.momentum = momentum
        self.nesterov = nesterov
        self.sparse_dedup_aggregator = sparse_dedup_aggregator
        self.lars = lars
        self.init_kwargs = kwargs

    def _is_off(self) -> bool:
        rate = self.base_learning_rate
        require(rate >= 0, f"the base learning rate must be positive; got {rate}.")
        return rate == 0

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        if self._is_off():
            return
        self._apply_lars(net, param_init_net, param_info, self.lars)
        # the momentum operators subtract, so with them the rate is positive
        rate, _ = self._own_rate(net, param_init_net, sign=-1 if self.momentum else 1)
        device = current_device()
        one = _one(param_init_net, f"ONE_{device.device_type}_{device.device_id}{device.node_name}")
        self._aux_params.shared.append(one)
        if self.momentum > 0:
            self._step_with_momentum(net, param_init_net, param_info, rate)
        else:
            self._step(net, param_info, rate, one)

    def _step(self, net: Any, param_info: ParameterInfo, rate: Any, one: Any) -> None:
        param, grad = param_info.blob, param_info.grad
        if isinstance(grad, core.GradientSlice):
            grad = self.dedup(net, self.sparse_dedup_aggregator, grad)
            net.ScatterWeightedSum([param, one, grad.indices, grad.values, rate], param)
        else:
            net.WeightedSum([param, one, grad, rate], param)

    def _step_with_momentum(self, net: Any, init_net: Any, param_info: ParameterInfo, rate: Any) -> None:
        param, grad = param_info.blob, param_info.grad
        velocity = self._state(init_net, param, "momentum")
        options = {"momentum": self.momentum, "nesterov": self.nesterov}
        if isinstance(grad, core.GradientSlice):
            grad = self.dedup(net, self.sparse_dedup_aggregator, grad)
            inputs = [grad.values, velocity, rate, param, grad.indices]
            net.SparseMomentumSGDUpdate(inputs, [grad.values, velocity, param], **options)
        else:
            net.MomentumSGDUpdate([grad, velocity, rate, param], [grad, velocity, param], **options)


class MultiPrecisionSgdOptimizer(SgdOptimizer):
    """SGD for half precision parameters: updates their single precision master and casts it back.

    Parameters without a master are updated as by `SgdOptimizer`.
    """

    def __init__(
        self,
        base_learning_rate: float = 0.1,
        momentum: float = 0.0,
        policy: str = "fixed",
        nesterov: bool = True,
        sparse_dedup_aggregator: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(base_learning_rate, policy, momentum, nesterov, sparse_dedup_aggregator, **kwargs)

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        if param_info.blob_copy is None:
            super()._run(net, param_init_net, param_info)
            return
        if self._is_off():
            return
        self._require_dense(param_info)
        param, master = param_info.blob, param_info.blob_copy[core.DataType.FLOAT]
        rate, _ = self._own_rate(net, param_init_net, sign=-1)
        velocity = param_init_net.ConstantFill(master, f"{param}_momentum", value=0.0)
        self._aux_params.local.append(velocity)
        grad = net.HalfToFloat(param_info.grad, param_info.grad + "_fp32")
        net.MomentumSGDUpdate(
            [grad, velocity, rate, master],
            [grad, velocity, master],
            momentum=self.momentum,
            nesterov=self.nesterov,
        )
        net.FloatToHalf(master, param)


class FP16SgdOptimizer(SgdOptimizer):
    """SGD wholly in half precision, with weight decay, by operators that run on a GPU only.

    Parameters that have no half precision copy, and those of ``spatbn`` layers, are updated in single
    precision.
    """

    def __init__(
        self,
        base_learning_rate: float = 0.1,
        momentum: float = 0.0,
        policy: str = "fixed",
        nesterov: bool = True,
        weight_decay: float = 0.0001,
        sparse_dedup_aggregator: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(base_learning_rate, policy, momentum, nesterov, sparse_dedup_aggregator, **kwargs)
        self.weight_decay = weight_decay

    @staticmethod
    def _blobs(info: ParameterInfo, fp32_update: bool) -> tuple[Any, Any, bool]:
        """The parameter to update, its single precision form, and whether to update in that."""
        copies = info.blob_copy
        if fp32_update or copies is None or "spatbn" in str(info.blob):
            return info.blob, info.blob, True
        if core.DataType.FLOAT in copies:
            return info.blob, copies[core.DataType.FLOAT], False
        require(
            core.DataType.FLOAT16 in copies,
            f"parameter '{info}' has copies of types {sorted(copies)}; a FLOAT or FLOAT16 copy is needed.",
        )
        return copies[core.DataType.FLOAT16], info.blob, False

    def _run(
        self, net: Any, param_init_net: Any, param_info: ParameterInfo, fp32_update: bool = False
    ) -> None:
        if self._is_off():
            return
        self._require_dense(param_info)
        param, param_fp32, single = self._blobs(param_info, fp32_update)
        rate, _ = self._own_rate(net, param_init_net, sign=-1)
        velocity_fp32 = param_init_net.ConstantFill(param_fp32, f"{param}_momentum_fp32", value=0.0)
        velocity = param_init_net.FloatToHalf(velocity_fp32, f"{param}_momentum")
        self._aux_params.local.append(velocity)
        operator, state = ("FP32", velocity_fp32) if single else ("FP16", velocity)
        getattr(net, operator + "MomentumSGDUpdate")(
            [param_info.grad, state, rate, param],
            [param_info.grad, state, param],
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


class WeightDecayBuilder(Optimizer):
    """Adds ``weight_decay * W`` to the gradient of W."""

    def __init__(self, weight_decay: float) -> None:
        super().__init__()
        self.weight_decay = weight_decay

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        if isinstance(param_info.grad, core.GradientSlice):
            raise ValueError(
                f"weight decay does not take sparse gradients; that of '{param_info}' is sparse."
            )
        device = current_device()
        place = f"{device.device_type}_{device.device_id}"
        one = _one(param_init_net, f"ONE_{place}")
        decay = param_init_net.ConstantFill([], f"wd_{place}", shape=[1], value=self.weight_decay)
        net.WeightedSum([param_info.grad, one, param_info.blob, decay], param_info.grad)


class RmsPropOptimizer(Optimizer):
    """Gradients over the root of a running mean of their squares, then momentum.

    Differs from what the name of its arguments says, as the original does: its state is filled through
    an argument ``values``, which `ConstantFill` does not read, and so starts at zero by default.
    """

    rate_name = "alpha"

    def __init__(
        self,
        alpha: float = 0.01,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-5,
        policy: str = "fixed",
        engine: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.decay = decay
        self.momentum = momentum
        self.epsilon = epsilon
        self.policy = policy
        self.engine = engine
        self.init_kwargs = kwargs

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        require(self.alpha > 0, f"the learning rate must be positive; got {self.alpha}.")
        self._require_dense(param_info)
        param, grad = param_info.blob, param_info.grad
        device = current_device()
        one = _one(param_init_net, f"ONE_{device.device_type}_{device.device_id}")
        rate, _ = self._own_rate(net, param_init_net, sign=-1)
        scaled, squares, velocity = (
            param_init_net.ConstantFill([param], f"{param}_{suffix}", values=0.0)
            for suffix in ("grad_o", "mean_squares", "momentum")
        )
        self._aux_params.local.extend([squares, velocity])
        net.RmsProp(
            [grad, squares, velocity, one],
            [scaled, squares, velocity],
            decay=self.decay,
            momentum=self.momentum,
            epsilon=self.epsilon,
            engine=self.engine,
        )
        net.MomentumSGDUpdate([scaled, velocity, rate, param], [scaled, velocity, param])
