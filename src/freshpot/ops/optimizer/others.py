"""RMSProp, FTRL, LARS, STORM, WNGrad: update rules of one form each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops import _small
from freshpot.ops._memory import arrays, full, make, plain_arrays
from freshpot.ops._operator import Call, Operator, call
from freshpot.ops.optimizer._update import INDICES, LR, SparseUpdate, Update, f32, scalar

_GRAD = Port("grad", FLOAT)
_PARAM = Port("param", FLOAT)


class RmsProp(Update):
    """s = s + (1 - decay) * (g² - s); m = momentum * m + lr * g / sqrt(s + epsilon); the step is m.

    Shapes:   grad, mean_squares, momentum: of one size; lr: (1,) -> step, mean_squares, momentum
    Source:   caffe2/sgd/rmsprop_op.h
    """

    inputs = (_GRAD, Port("mean_squares", FLOAT), Port("moment", FLOAT), LR)
    outputs = (Port("step"), Port("mean_squares"), Port("moment"))
    args = (
        Arg("decay", float, 0.9, "share of the mean of squares that is kept"),
        Arg("momentum", float, 0.0, "share of the last step that is kept"),
        Arg("epsilon", float, 1e-5, "added under the root"),
    )
    inplace = ((0, 0), (1, 1), (2, 2))
    alike = ("grad", "mean_squares", "moment")

    def kernel_inplace(self, grad: Tensor, squares: Tensor, moment: Tensor, lr: Tensor) -> tuple[Tensor, ...]:
        inputs = (grad, squares, moment, lr)
        if plain_arrays(*inputs) and (calls := self.calls(inputs, (grad, squares, moment))):
            make(calls)
            return grad, squares, moment
        squares.lerp_(grad.square(), 1 - f32(self.decay))
        grad.mul_(scalar(lr)).div_(torch.sqrt(squares + self.epsilon))
        moment.mul_(self.momentum).add_(grad)
        return grad.copy_(moment), squares, moment

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        small = arrays(*inputs, *outputs)
        if (
            small is None
            or len({t.shape for t in inputs[:3]}) > 1
            or any(outputs[i] is not inputs[i] for i in (1, 2))
        ):
            return None
        numbers = [inputs[3], 1 - f32(self.decay), self.epsilon, self.momentum]
        if made := _small.step("rms_step", [*inputs[:3], outputs[0]], numbers):
            return made
        grad, squares, moment, lr, step = small[:5]
        work = np.empty_like(squares)
        return [
            call(np.multiply, grad, grad, work),
            call(np.subtract, work, squares, work),
            call(np.multiply, work, full(work, 1 - f32(self.decay)), work),
            call(np.add, squares, work, squares),
            call(np.add, squares, full(work, self.epsilon), work),
            call(np.sqrt, work, work),
            call(np.multiply, grad, lr.ravel(), step),
            call(np.divide, step, work, step),
            call(np.multiply, moment, full(work, self.momentum), moment),
            call(np.add, moment, step, moment),
            call(np.copyto, step, moment),
        ]


_FTRL_ARGS = (
    Arg("alpha", float, 0.005, "learning rate, > 0"),
    Arg("beta", float, 1.0, "added to the root of the sum of squares"),
    Arg("lambda1", float, 0.001, "weight of the L1 penalty"),
    Arg("lambda2", float, 0.001, "weight of the L2 penalty"),
)
_FTRL_PORTS = (_PARAM, Port("n_z", FLOAT, doc="for each element of param, n and z"))


class Ftrl(Update):
    """n += g²; z += g - (sqrt(n) - sqrt(n before)) / alpha * param; param = the minimum of the proximal problem.

    Shapes:   param, grad: of one size; n_z: as param, then 2; alpha (instead of the argument): (1,) -> param, n_z
    Source:   caffe2/sgd/ftrl_op.cc; McMahan et al., KDD 2013
    """

    inputs: ClassVar[tuple[Port, ...]] = (*_FTRL_PORTS, _GRAD, Port("alpha", FLOAT, optional=True))
    outputs = (Port("param"), Port("n_z"))
    args = _FTRL_ARGS
    inplace: ClassVar[Any] = ((0, 0), (1, 1))
    alike: ClassVar[tuple[str, ...]] = ("param", "grad")

    def setup(self) -> None:
        if self.has("alpha") and self.num_inputs == len(self.inputs):
            self.refuse("alpha is given as an input and as an argument; leave one out.", ArgumentError)
        if self.alpha == 0:
            self.refuse("argument 'alpha' must not be 0.", ArgumentError)

    def check(self, *inputs: Tensor) -> None:
        super().check(*inputs)
        if inputs[1].numel() != 2 * inputs[0].numel():
            self.refuse(f"n_z must have two elements for each of param's {inputs[0].numel()}.")

    def inverse_rate(self, given: tuple[Tensor, ...]) -> Any:
        """1 / alpha."""
        return 1 / scalar(given[0]) if given else 1 / self.alpha

    def kernel_inplace(self, param: Tensor, n_z: Tensor, grad: Tensor, *alpha: Tensor) -> tuple[Tensor, ...]:
        self.step(grad.view_as(param), param, n_z.view(*param.shape, 2), self.inverse_rate(alpha))
        return param, n_z

    def step(self, g: Tensor, p: Tensor, n_z: Tensor, inverse: Any) -> None:
        n, z = n_z[..., 0], n_z[..., 1]
        before = n.sqrt()
        n.addcmul_(g, g)
        root = n.sqrt()
        z.add_(g - (root - before) * inverse * p)
        p.copy_(self.minimum(z, (self.beta + root) * inverse + self.lambda2))

    def minimum(self, z: Tensor, curvature: Tensor) -> Tensor:
        """The new parameters."""
        return torch.where(z.abs() > self.lambda1, (self.lambda1 * z.sign() - z) / curvature, 0.0)


class GFtrl(Ftrl):
    """As Ftrl, with the L1 penalty on the norm of each column (group lasso).

    Shapes:   param, grad: (outputs, inputs); n_z: (outputs, inputs, 2) -> param, n_z
    Source:   caffe2/sgd/gftrl_op.cc
    """

    def minimum(self, z: Tensor, curvature: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(z, dim=0, keepdim=True)
        least = self.lambda1 * math.sqrt(z.shape[0])
        return torch.where(norm > least, z * (least / norm - 1) / curvature, 0.0)


class SparseFtrl(Ftrl, SparseUpdate):
    """As Ftrl, for some rows.

    Shapes:   param: (rows, ...); n_z: (rows, ..., 2); indices: (n,); grad: (n, ...) -> param, n_z
    Source:   caffe2/sgd/ftrl_op.cc
    """

    inputs = (*_FTRL_PORTS, INDICES, _GRAD, Port("alpha", FLOAT, optional=True))
    inplace = ()
    must_inplace = ((0, 0), (1, 1))
    alike = ()

    def kernel_inplace(
        self, param: Tensor, n_z: Tensor, indices: Tensor, grad: Tensor, *alpha: Tensor
    ) -> tuple[Tensor, ...]:
        inverse = self.inverse_rate(alpha)

        def step(g: Tensor, p: Tensor, nz: Tensor) -> None:
            self.step(g, p, nz, inverse)

        self.update_rows(indices, grad, (param, n_z.view(*param.shape, 2)), step)
        return param, n_z


class Lars(Operator):
    """lr = trust / (|dX| / |X| + wd + offset), between lr_min and lr_max (lr_max where X is 0 everywhere).

    Shapes:   X, dX: of one size; wd, trust, lr_max: (1,) -> lr: (1,)
    Source:   caffe2/sgd/lars_op.h; arXiv:1708.03888
    """

    inputs = (
        Port("X", FLOAT),
        Port("dX", FLOAT),
        Port("wd", FLOAT),
        Port("trust", FLOAT),
        Port("lr_max", FLOAT),
    )
    outputs = (Port("lr_rescaled"),)
    args = (
        Arg("offset", float, 0.5, "added to the divisor, >= 0"),
        Arg("lr_min", float, 0.02, "least learning rate, >= 0"),
    )
    no_gradient = "it updates parameters"

    def setup(self) -> None:
        if self.offset < 0 or self.lr_min < 0:
            self.refuse("arguments 'offset' and 'lr_min' must be >= 0.", ArgumentError)

    def check(self, X: Tensor, dX: Tensor, *rest: Tensor) -> None:
        if X.numel() != dX.numel():
            self.refuse(
                f"X {tuple(X.shape)} and dX {tuple(dX.shape)} must have as many elements as each other."
            )

    def kernel(self, X: Tensor, dX: Tensor, wd: Tensor, trust: Tensor, lr_max: Tensor) -> Tensor:
        size = torch.linalg.vector_norm(X)
        value = trust.reshape(-1)[:1] / (
            torch.linalg.vector_norm(dX) / size + wd.reshape(-1)[:1] + self.offset
        )
        value = torch.where(size > 0, value, 1.0)
        return torch.fmin(value, lr_max.reshape(-1)[:1]).clamp_(min=self.lr_min)


_STORM_ARGS = (
    Arg("momentum", float, 10.0, "momentum factor c"),
    Arg("beta", float, 0.1, "denominator's offset w"),
)
_STORM_STATE = (_PARAM, Port("moment", FLOAT), Port("grad_sq_sum", FLOAT, doc="one number"))


class Storm(Update):
    """s += sum(g²); r = lr / (beta + s)^(1/3); m = g + (1 - momentum * r²) * (m - g); param = param + r * m.

    Shapes:   param, moment, grad: of one size; grad_sq_sum, lr: (1,) -> the first three
    Source:   caffe2/sgd/storm_op.h; arXiv:1905.10018
    """

    inputs: ClassVar[tuple[Port, ...]] = (*_STORM_STATE, _GRAD, LR)
    outputs = (Port("param"), Port("moment"), Port("grad_sq_sum"))
    args = _STORM_ARGS
    inplace: ClassVar[Any] = ((0, 0), (1, 1), (2, 2))
    alike: ClassVar[tuple[str, ...]] = ("param", "moment", "grad")

    def check(self, *inputs: Tensor) -> None:
        super().check(*inputs)
        if inputs[2].numel() != 1:
            self.refuse(f"grad_sq_sum must be one number, got shape {tuple(inputs[2].shape)}.")

    def rate(self, total: Tensor, grad: Tensor, lr: Tensor) -> Tensor:
        """This step's rate; adds to the sum of squares."""
        total.add_(grad.square().sum())
        return lr.reshape(()) * (total.reshape(()) + self.beta).pow(-1 / 3)

    def step(self, g: Tensor, p: Tensor, m: Tensor, rate: Tensor) -> None:
        m.sub_(g).mul_(1 - self.momentum * rate * rate).add_(g)
        p.add_(m * rate)

    def kernel_inplace(self, param: Tensor, m: Tensor, total: Tensor, grad: Tensor, lr: Tensor) -> Any:
        self.step(grad, param, m, self.rate(total, grad, lr))
        return param, m, total


class SparseStorm(Storm, SparseUpdate):
    """As Storm, for some rows.

    Shapes:   param, moment: (rows, ...); grad_sq_sum, lr: (1,); grad: (n, ...); indices: (n,) -> the first three
    Source:   caffe2/sgd/storm_op.h
    """

    inputs = (*_STORM_STATE, _GRAD, INDICES, LR)
    inplace = ()
    must_inplace = ((0, 0), (1, 1), (2, 2))
    alike = ("param", "moment")

    def kernel_inplace(
        self, param: Tensor, m: Tensor, total: Tensor, grad: Tensor, indices: Tensor, lr: Tensor
    ) -> Any:
        if indices.numel():
            rate = self.rate(total, grad, lr)
            self.update_rows(indices, grad, (param, m), lambda g, p, n: self.step(g, p, n, rate))
        return param, m, total


class Wngrad(Update):
    """param = param + lr / (b + epsilon) * g; b = b + sum(g²) / (b + epsilon).

    Shapes:   param, grad: of one size; seq_b, lr: (1,) -> param, seq_b, the effective rate (1,), the step
    Source:   caffe2/sgd/wngrad_op.h; arXiv:1803.02865
    """

    inputs: ClassVar[tuple[Port, ...]] = (_PARAM, Port("seq_b", FLOAT), _GRAD, LR)
    outputs: ClassVar[tuple[Port, ...]] = (
        Port("param"),
        Port("seq_b"),
        Port("effective_lr", optional=True),
        Port("update", optional=True),
    )
    args = (Arg("epsilon", float, 1e-5, "added to the divisor"),)
    inplace = ((0, 0), (1, 1))
    alike = ("param", "grad")

    def check(self, *inputs: Tensor) -> None:
        super().check(*inputs)
        if inputs[1].numel() != 1:
            self.refuse(f"seq_b must be one number, got shape {tuple(inputs[1].shape)}.")

    def kernel_inplace(self, param: Tensor, b: Tensor, grad: Tensor, lr: Tensor) -> tuple[Tensor, ...]:
        divisor = b + self.epsilon
        rate = lr.reshape(b.shape) / divisor
        update = grad * rate.reshape(())
        b.add_((grad.square().sum() / divisor).view(b.shape))
        return param.add_(update.view_as(param)), b, rate, update


class SparseWngrad(SparseUpdate):
    """param = param + lr / (b + epsilon) * g, for some rows; b = b + sum(g²) / b.

    Shapes:   param: (rows, ...); seq_b, lr: (1,); indices: (n,); grad: (n, ...) -> param, seq_b
    Source:   caffe2/sgd/wngrad_op.h
    """

    inputs = (_PARAM, Port("seq_b", FLOAT), INDICES, _GRAD, LR)
    outputs = (Port("param"), Port("seq_b"))
    args = (Arg("epsilon", float, 1e-5, "added to the divisor"),)
    must_inplace = ((0, 0), (1, 1))

    def check(self, *inputs: Tensor) -> None:
        super().check(*inputs)
        if inputs[1].numel() != 1:
            self.refuse(f"seq_b must be one number, got shape {tuple(inputs[1].shape)}.")

    def kernel_inplace(
        self, param: Tensor, b: Tensor, indices: Tensor, grad: Tensor, lr: Tensor
    ) -> tuple[Tensor, ...]:
        if indices.numel():
            rate = lr.reshape(()) / (b.reshape(()) + self.epsilon)
            self.update_rows(indices, grad, (param,), lambda g, p: p.add_(g * rate))
            b.add_(grad.square().sum() / b)
        return param, b
