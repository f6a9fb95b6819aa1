"""WNGrad, STORM, AdaDelta, FTRL, Adam, YellowFin."""

from __future__ import annotations

from typing import Any

from caffe2.python import core, utils, workspace
from caffe2.python._errors import require
from caffe2.python._optimizer.base import Optimizer
from caffe2.python.modeling.parameter_info import ParameterInfo


class WngradOptimizer(Optimizer):
    """One adaptive rate a parameter. Source: Wu, Ward, Bottou, WNGrad, arXiv:1803.02865.

    ``moment_init`` is the first value of the accumulator; other arguments as for `AdagradOptimizer`.
    """

    rate_name = "alpha"

    def __init__(
        self,
        alpha: float = 1.0,
        epsilon: float = 1e-9,
        policy: str = "fixed",
        sparse_dedup_aggregator: str | None = None,
        engine: str = "",
        moment_init: float = 100.0,
        lars: float | None = None,
        output_effective_lr: bool = False,
        output_effective_lr_and_update: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.epsilon = epsilon
        self.policy = policy
        self.sparse_dedup_aggregator = sparse_dedup_aggregator
        self.engine = engine
        self.moment_init = moment_init
        self.lars = lars
        self.output_effective_lr = output_effective_lr
        self.output_effective_lr_and_update = output_effective_lr_and_update
        self.init_kwargs = kwargs

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        if self.alpha <= 0:
            return
        self._apply_lars(net, param_init_net, param_info, self.lars)
        rate, _ = self._own_rate(net, param_init_net)
        param, grad = param_info.blob, param_info.grad
        moment = self._scalar_state(param_init_net, param, "moment", self.moment_init)
        options = {"epsilon": self.epsilon, "engine": self.engine}
        if isinstance(grad, core.GradientSlice):
            grad = self.dedup(net, self.sparse_dedup_aggregator, grad)
            inputs = [param, moment, grad.indices, grad.values, rate]
            net.SparseWngrad(inputs, [param, moment], **options)
            return
        outputs = [param, moment]
        if self.output_effective_lr or self.output_effective_lr_and_update:
            outputs.append(f"{param}_effective_lr")
        if self.output_effective_lr_and_update:
            outputs.append(f"{param}_update")
        net.Wngrad([param, moment, grad, rate], outputs, **options)


class StormOptimizer(Optimizer):
    """Variance-reduced momentum. Source: Cutkosky, Orabona, arXiv:1905.10018.

    ``lr``, ``momentum``, ``beta`` are the paper's k, c and w; ``grad_sq_init`` starts the sum of squares.
    """

    rate_name = "lr"

    def __init__(
        self,
        lr: float = 0.1,
        momentum: float = 10.0,
        beta: float = 0.1,
        grad_sq_init: float = 0.01,
        policy: str = "fixed",
        sparse_dedup_aggregator: str | None = None,
        lars: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.lr = lr
        self.momentum = momentum
        self.beta = beta
        self.grad_sq_init = grad_sq_init
        self.policy = policy
        self.sparse_dedup_aggregator = sparse_dedup_aggregator
        self.lars = lars
        self.init_kwargs = kwargs

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        if self.lr <= 0:
            return
        self._apply_lars(net, param_init_net, param_info, self.lars)
        rate, _ = self._own_rate(net, param_init_net)
        param, grad = param_info.blob, param_info.grad
        moment = self._state(param_init_net, param, "moment")
        squares = self._scalar_state(param_init_net, param, "grad_sq_sum", self.grad_sq_init)
        state = [param, moment, squares]
        options = {"momentum": self.momentum, "beta": self.beta}
        if isinstance(grad, core.GradientSlice):
            grad = self.dedup(net, self.sparse_dedup_aggregator, grad)
            net.SparseStorm([*state, grad.values, grad.indices, rate], state, **options)
        else:
            net.Storm([*state, grad, rate], state, **options)


class AdadeltaOptimizer(Optimizer):
    """Steps scaled by running means of squared gradients and squared updates (arXiv:1212.5701)."""

    rate_name = "alpha"

    def __init__(
        self,
        alpha: float = 0.01,
        epsilon: float = 1e-4,
        decay: float = 0.95,
        policy: str = "fixed",
        sparse_dedup_aggregator: str | None = None,
        engine: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.epsilon = epsilon
        self.decay = decay
        self.policy = policy
        self.sparse_dedup_aggregator = sparse_dedup_aggregator
        self.engine = engine
        self.init_kwargs = kwargs

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        if self.alpha <= 0:
            return
        rate, _ = self._own_rate(net, param_init_net)
        param, grad = param_info.blob, param_info.grad
        squares = self._state(param_init_net, param, "squared_moment")
        updates = self._state(param_init_net, param, "squared_moment_update")
        state = [param, squares, updates]
        options = {"epsilon": self.epsilon, "decay": self.decay, "engine": self.engine}
        if isinstance(grad, core.GradientSlice):
            grad = self.dedup(net, self.sparse_dedup_aggregator, grad)
            net.SparseAdadelta([*state, grad.indices, grad.values, rate], state, **options)
        else:
            net.Adadelta([*state, grad, rate], state, **options)


class FtrlOptimizer(Optimizer):
    """Follow the regularised leader: ``lambda1`` for sparsity, ``lambda2`` for size.

    Source: McMahan et al., Ad Click Prediction, KDD 2013.
    """

    rate_name = "alpha"
    _suffix = "ftrl_nz"

    def __init__(
        self,
        alpha: float = 0.01,
        beta: float = 1e-4,
        lambda1: float = 0,
        lambda2: float = 0,
        sparse_dedup_aggregator: str | None = None,
        engine: str = "",
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.lambda1 = lambda1
        self.lambda2 = lambda2
        self.sparse_dedup_aggregator = sparse_dedup_aggregator
        self.engine = engine

    def _options(self) -> dict[str, Any]:
        names = ("engine", "alpha", "beta", "lambda1", "lambda2")
        return {name: getattr(self, name) for name in names}

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        if self.alpha <= 0:
            return
        state = self._state(param_init_net, param_info.blob, self._suffix, extra_shape=[2])
        self._step(net, param_info.blob, param_info.grad, state)

    def _step(self, net: Any, param: Any, grad: Any, state: Any) -> None:
        if isinstance(grad, core.GradientSlice):
            grad = self.dedup(net, self.sparse_dedup_aggregator, grad)
            net.SparseFtrl([param, state, grad.indices, grad.values], [param, state], **self._options())
        else:
            net.Ftrl([param, state, grad], [param, state], **self._options())


class GFtrlOptimizer(FtrlOptimizer):
    """`FtrlOptimizer` that drops whole rows instead of single weights; dense gradients only."""

    _suffix = "gftrl_nz"

    def _step(self, net: Any, param: Any, grad: Any, state: Any) -> None:
        net.GFtrl([param, state, grad], [param, state], **self._options())


class AdamOptimizer(Optimizer):
    """Running means of gradients and of their squares (arXiv:1412.6980).

    Args:
        alpha: learning rate; <= 0 updates nothing.
        beta1, beta2, epsilon: as in the paper.
        use_lr_adaption, lr_alpha, normalized_lr_adaption: let the rate learn, too (`LearningRateAdaption`).
        rowWise: one second moment a row, for sparse gradients.
        enableRAdam: rectified Adam, for sparse gradients that are not row-wise.
    """

    rate_name = "alpha"

    def __init__(
        self,
        alpha: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        policy: str = "fixed",
        use_lr_adaption: bool = False,
        lr_alpha: float = 0.01,
        normalized_lr_adaption: bool = True,
        sparse_dedup_aggregator: str | None = None,
        rowWise: bool = False,
        engine: str = "",
        enableRAdam: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.policy = policy
        self.use_lr_adaption = use_lr_adaption
        self.lr_alpha = lr_alpha
        self.normalized_lr_adaption = normalized_lr_adaption
        self.sparse_dedup_aggregator = sparse_dedup_aggregator
        self.rowWise = rowWise
        self.engine = engine
        self.enableRAdam = enableRAdam
        self.init_kwargs = kwargs

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        if self.alpha <= 0:
            return
        sparse = isinstance(param_info.grad, core.GradientSlice)
        require(
            sparse or not self.rowWise,
            f"AdamOptimizer: rowWise needs sparse gradients; that of '{param_info}' is dense.",
        )
        require(not (self.rowWise and self.enableRAdam), "AdamOptimizer: rowWise Adam has no RAdam form.")
        rate, iteration = self._own_rate(net, param_init_net)
        param = param_info.blob
        first = self._state(param_init_net, param, "first_moment")
        second = self._second_moment(param_init_net, param)
        self._aux_params.shared.append(iteration)
        state = [param, first, second]
        effective = f"{param}_effective_grad"
        outputs = [*state, effective] if self.use_lr_adaption else state
        grad = param_info.grad
        options: dict[str, Any] = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}
        if not sparse:
            net.Adam([*state, grad, rate, iteration], outputs, **options)
        else:
            slices = self.dedup(net, self.sparse_dedup_aggregator, grad)
            grad = slices.values
            inputs = [*state, slices.indices, grad, rate, iteration]
            if self.rowWise:
                net.RowWiseSparseAdam(inputs, outputs, **options)
            else:
                net.SparseAdam(inputs, outputs, **options, enableRAdam=self.enableRAdam)
        if self.use_lr_adaption:
            self._adapt_rate(net, rate, grad, effective)

    def _second_moment(self, init_net: Any, param: Any) -> Any:
        if not self.rowWise:
            return self._state(init_net, param, "second_moment")
        shapes, _ = workspace.InferShapesAndTypes([init_net])
        require(
            str(param) in shapes,
            f"AdamOptimizer: rowWise needs the number of rows of '{param}', and its shape is not known.",
        )
        rows = shapes[str(param)][0]
        return self._scalar_state(init_net, param, "avg_second_moment", 0.0, size=rows)

    def _adapt_rate(self, net: Any, rate: Any, grad: Any, effective: str) -> None:
        net.LearningRateAdaption(
            [rate, grad, effective],
            [rate],
            lr_alpha=self.lr_alpha,
            normalized_lr_adaption=self.normalized_lr_adaption,
        )


class YellowFinOptimizer(Optimizer):
    """Momentum SGD that tunes rate and momentum of each parameter. Source: arXiv:1706.03471.

    ``alpha`` and ``mu`` are the first rate and momentum, ``curv_win_width`` the window of curvatures.
    """

    rate_name = "alpha"
    _NUMBER_OF_SCALARS = 5  # as many as the operator keeps between steps

    def __init__(
        self,
        alpha: float = 0.1,
        mu: float = 0.0,
        beta: float = 0.999,
        curv_win_width: int = 20,
        zero_debias: bool = True,
        epsilon: float = 0.1**6,
        policy: str = "fixed",
        sparse_dedup_aggregator: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.mu = mu
        self.beta = beta
        self.curv_win_width = curv_win_width
        self.zero_debias = zero_debias
        self.epsilon = epsilon
        self.policy = policy
        self.sparse_dedup_aggregator = sparse_dedup_aggregator
        self.init_kwargs = kwargs

    def _run(self, net: Any, param_init_net: Any, param_info: ParameterInfo) -> None:
        require(self.alpha > 0, f"the learning rate must be positive; got {self.alpha}.")
        self._require_dense(param_info)
        param = param_info.blob
        like = {}
        like["moment"] = param_init_net.ConstantFill([param], param + "_moment", value=0.0)
        like["curv_win"] = param_init_net.ConstantFill(
            [], param + "_curv_win", shape=[self.curv_win_width], value=0.0
        )
        for suffix in ("g_avg", "g2_avg"):
            like[suffix] = param_init_net.ConstantFill([param], f"{param}_{suffix}", value=0.0)
        scalars = {"lr_avg": (1, self.alpha), "mu_avg": (1, self.mu)}
        scalars["scalars_memory"] = (self._NUMBER_OF_SCALARS, 0.0)
        for suffix, (size, value) in scalars.items():
            like[suffix] = param_init_net.ConstantFill([], f"{param}_{suffix}", shape=[size], value=value)
        order = ("moment", "lr_avg", "mu_avg", "curv_win", "g_avg", "g2_avg", "scalars_memory")
        state = [like[suffix] for suffix in order]
        iteration = utils.BuildUniqueMutexIter(param_init_net, net, iter_val=0)
        self._aux_params.shared.append(iteration)
        self._aux_params.local.extend(state)
        net.YellowFin(
            [param, *state, param_info.grad, iteration],
            [param, *state],
            beta=self.beta,
            epsilon=self.epsilon,
            curv_win_width=self.curv_win_width,
            zero_debias=self.zero_debias,
        )
