"""AdaGrad and its row-wise form."""

from __future__ import annotations

from typing import Any

from caffe2.python import core, workspace
from caffe2.python._errors import require
from caffe2.python._optimizer.base import Optimizer
from caffe2.python.modeling.parameter_info import ParameterInfo
from freshpot.errors import NotSupportedError

FP16_ENGINES = ["SIMD_Q_FP16", "SIMD_Q_STOC_FP16", "SIMD_Q_STOC_MKL_FP16"]


class AdagradOptimizer(Optimizer):
    """Gradients over the root of the sum of their squares.

    Args:
        alpha: learning rate; <= 0 updates nothing.
        epsilon: added to the root.
        decay: factor on the sum in each step; must be 1 for sparse gradients.
        weight_decay: L2 decay; one-dimensional parameters are spared.
        rowWise: one sum a row, for sparse gradients.
        output_effective_lr, output_effective_lr_and_update: also write ``W_effective_lr``, ``W_update``.
        weight_scale: object with ``stepsize``, ``upper_bound_iter``, ``scale``, ``to_aux``: rescaling.
        counter_halflife: > 0 counts the updates of each row with that half-life.
        lars, policy, sparse_dedup_aggregator, kwargs: as for `SgdOptimizer`.

    Raises NotSupportedError for ``pruning_options``, ``swa_options`` and ``ema_options``: their operators
    were never part of the published Caffe2.
    """

    rate_name = "alpha"

    def __init__(
        self,
        alpha: float = 0.01,
        epsilon: float = 1e-4,
        decay: float = 1,
        weight_decay: float = 0.0,
        policy: str = "fixed",
        sparse_dedup_aggregator: str | None = None,
        rowWise: bool = False,
        engine: str = "",
        lars: float | None = None,
        output_effective_lr: bool = False,
        output_effective_lr_and_update: bool = False,
        pruning_options: dict[str, Any] | None = None,
        swa_options: dict[str, Any] | None = None,
        ema_options: dict[str, Any] | None = None,
        weight_scale: Any = None,
        counter_halflife: float = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        unpublished = {"pruning": pruning_options, "swa": swa_options, "ema": ema_options}
        for name, options in unpublished.items():
            if options:
                raise NotSupportedError(
                    f"AdagradOptimizer: {name}_options need operators that Caffe2 never published."
                )
        self.alpha = alpha
        self.epsilon = epsilon
        self.decay = decay
        self.weight_decay = float(weight_decay)
        self.policy = policy
        self.sparse_dedup_aggregator = sparse_dedup_aggregator
        self.rowWise = rowWise
        self.engine = engine
        self.lars = lars
        self.output_effective_lr = output_effective_lr
        self.output_effective_lr_and_update = output_effective_lr_and_update
        self.counter_halflife = counter_halflife
        self.weight_scale = weight_scale
        self.init_kwargs = kwargs

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        if self.alpha <= 0:
            return
        sparse = isinstance(param_info.grad, core.GradientSlice)
        self._check(param_info, sparse)
        self._apply_lars(net, param_init_net, param_info, self.lars)
        rate, iteration = self._own_rate(net, param_init_net)
        if self.counter_halflife > 0:
            self._aux_params.shared.append(iteration)
        param = param_info.blob
        shapes, _ = workspace.InferShapesAndTypes([param_init_net])
        shape = shapes.get(str(param))
        squares = self._squared_sum(param_init_net, param, shape)
        counters = self._counters(param_init_net, param, shape)
        options: dict[str, Any] = {"epsilon": self.epsilon}
        if not sparse:
            options["decay"] = float(self.decay)
        if self.weight_decay > 0 and shape is not None and len(shape) != 1:
            options["weight_decay"] = self.weight_decay
        options["engine"] = self.engine
        if sparse:
            self._sparse_step(net, param_info, squares, rate, options, counters, iteration)
        else:
            self._dense_step(net, param_info, squares, rate, options)
        self._rescale(net, param, squares, iteration)

    def _check(self, param_info: ParameterInfo, sparse: bool) -> None:
        if self.lars is not None and not sparse:
            require(self.weight_decay == 0, "AdagradOptimizer: weight decay cannot be combined with LARS.")
        require(
            sparse or not self.rowWise,
            f"AdagradOptimizer: rowWise needs sparse gradients; that of '{param_info}' is dense.",
        )
        require(
            not sparse or self.decay == 1.0,
            f"AdagradOptimizer: decay must be 1 for sparse gradients; got {self.decay}.",
        )

    def _squared_sum(self, init_net: Any, param: Any, shape: list[int] | None) -> Any:
        if self.rowWise:
            blob = _per_row(init_net, param, shape, "avg_squared_sum", value=0.0)
        elif self.engine in FP16_ENGINES:
            require(self.weight_decay == 0, f"engine {self.engine} does not take weight decay.")
            require(
                shape is not None, f"the shape of '{param}' is not known, and engine {self.engine} needs it."
            )
            blob = init_net.Float16ConstantFill([], f"{param}_squared_sum", value=0.0, shape=shape)
        else:
            blob = init_net.ConstantFill([param], f"{param}_squared_sum", value=0.0)
        self._aux_params.local.append(blob)
        return blob

    def _counters(self, init_net: Any, param: Any, shape: list[int] | None) -> list[Any]:
        """Previous update and number of updates of each row, if they are to be counted."""
        if self.counter_halflife <= 0:
            return []
        count = _per_row(init_net, param, shape, "update_counter", value=0.0, dtype=core.DataType.DOUBLE)
        previous = _per_row(init_net, param, shape, "prev_update_iter", value=0, dtype=core.DataType.INT64)
        self._aux_params.local.extend([count, previous])
        return [previous, count]

    def _sparse_step(
        self,
        net: Any,
        param_info: ParameterInfo,
        squares: Any,
        rate: Any,
        options: dict[str, Any],
        counters: list[Any],
        iteration: Any,
    ) -> None:
        grad = self.dedup(net, self.sparse_dedup_aggregator, param_info.grad)
        operator = net.RowWiseSparseAdagrad if self.rowWise else net.SparseAdagrad
        param = param_info.blob
        operator([param, squares, grad.indices, grad.values, rate], [param, squares], **options)
        if counters:
            net.RowWiseCounter(
                [*counters, grad.indices, iteration], counters, counter_halflife=self.counter_halflife
            )

    def _dense_step(
        self, net: Any, param_info: ParameterInfo, squares: Any, rate: Any, options: dict[str, Any]
    ) -> None:
        param = param_info.blob
        extra: list[str] = []
        if self.output_effective_lr or self.output_effective_lr_and_update:
            extra.append(f"{param}_effective_lr")
        if self.output_effective_lr_and_update:
            extra.append(f"{param}_update")
        net.Adagrad([param, squares, param_info.grad, rate], [param, squares, *extra], **options)

    def _rescale(self, net: Any, param: Any, squares: Any, iteration: Any) -> None:
        scaling = self.weight_scale
        if not scaling:
            return
        for blob in [param, squares] if scaling.to_aux else [param]:
            net.WeightScale(
                [blob, iteration],
                [blob],
                stepsize=scaling.stepsize,
                upper_bound_iter=scaling.upper_bound_iter,
                scale=float(scaling.scale),
            )


def _per_row(init_net: Any, param: Any, shape: list[int] | None, suffix: str, **fill: Any) -> Any:
    """A blob with one number a row of the parameter; counted when the net runs if not known before."""
    name = f"{param}_{suffix}"
    if shape is not None:
        return init_net.ConstantFill([], name, shape=[shape[0]], **fill)
    whole = init_net.Shape(param, f"{param}_shape")
    rows = init_net.Slice([whole], f"{whole}_numrows", starts=[0], ends=[1])
    return init_net.ConstantFill(rows, name, input_as_shape=1, **fill)
