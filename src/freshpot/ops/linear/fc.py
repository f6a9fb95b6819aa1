"""Fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops import _small
from freshpot.ops._memory import arrays, contiguous, make, plain_arrays, small_product
from freshpot.ops._operator import Call, Operator, call, gradient
from freshpot.ops.linear import _batch_last
from freshpot.ops.linear._layout import matrices_of, product_call, product_in_layout_of


class FC(Operator):
    """Y = X W^T + b, with X and W flattened to matrices at an axis.

    Shapes:   X: (M, K), or more dimensions, split into M and K before ``axis``; W: (N, K), split before
              ``axis_w``; b: (N,) -> Y: X's dimensions before ``axis``, then N
    Raises:   ShapeError if K of X and W differ, or b is not (N,).
    Source:   caffe2/operators/fully_connected_op.h
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT), Port("b", FLOAT))
    outputs = (Port("Y"),)
    args = (
        Arg("axis", int, 1, "first dimension of X that counts as features; may be negative"),
        Arg("axis_w", int, 1, "first dimension of W that counts as input features; may be negative"),
    )

    def saves_without_last(self) -> bool:
        return self.num_outputs > 2  # of the gradient: dX

    def _axis(self, axis: int, ndim: int) -> int:
        return axis + ndim if axis < 0 else axis

    def _features(self, X: Tensor) -> int:
        return X.shape[self._axis(self.axis, X.dim()) :].numel()

    def _matrix(self, W: Tensor) -> Tensor:
        return W if W.dim() == 2 else W.reshape(-1, W.shape[self._axis(self.axis_w, W.dim()) :].numel())

    def check(self, X: Tensor, W: Tensor, b: Tensor) -> None:
        K, (N, K_w) = self._features(X), self._matrix(W).shape
        if K != K_w:
            self.refuse(
                f"input X {tuple(X.shape)} has {K} features from axis {self.axis} on, "
                f"the weight W {tuple(W.shape)} wants {K_w}."
            )
        if tuple(b.shape) != (N,):
            self.refuse(f"bias b must have shape ({N},), as W has {N} rows; got {tuple(b.shape)}.")

    def infer(self, X: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        """From the sizes alone, as a convolution does it and for the same reason."""
        shape = (*X.shape[: self._axis(self.axis, X.dim())], self._matrix(W).shape[0])
        return (torch.empty(shape, dtype=X.dtype, device="meta"),)

    def kernel(self, X: Tensor, W: Tensor, b: Tensor) -> Tensor:
        if W.dim() != 2:
            W = self._matrix(W)
        plain = X.dim() == 2 and self.axis == 1
        rows = X if plain else X.reshape(-1, W.shape[1])
        if X.is_contiguous() and _small.unwatched() and _small.product_fits(rows, W, b):
            Y = rows.new_empty(len(rows), len(W))
            make(_small.fc(rows, W, b, Y) or ())
        elif small_product(rows, W) and (small := plain_arrays(rows, W, b)):
            x, w, bias = small  # as the calls do, so that the first runs round as all others
            with np.errstate(all="ignore"):
                y = np.dot(x, w.T)
                Y = torch.from_numpy(np.add(y, bias, y))
        elif b.is_contiguous() and _batch_last.fits(X, W):
            Y = _batch_last.forward(X, W, b)
        else:
            Y = linear(rows, W, b) if plain else torch.addmm(b, rows, W.t())
        return Y if plain else Y.view(*X.shape[: self._axis(self.axis, X.dim())], W.shape[0])

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        _, W, b = inputs
        if not contiguous(W, b, *outputs):
            return None
        W, Y = self._matrix(W), outputs[0].view(-1, b.numel())
        matrices = matrices_of(inputs[:1], len(Y))
        if matrices is None:
            return None
        X = matrices[0]
        if made := _small.fc(X, W, b, Y):
            return made
        if small_product(X, W) and (small := arrays(X, W, b, Y)):
            x, w, bias, y = small
            return [call(np.dot, x, w.T, y), call(np.add, y, bias, y)]
        if _batch_last.fits(inputs[0], W):
            return _batch_last.forward_calls(inputs[0], W, b, Y)
        return [call(torch.addmm, b, X, W.t(), out=Y)]

    def _gradient_calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        if not contiguous(*inputs[1:], *outputs[:2]):
            return None
        W = self._matrix(inputs[1])
        N, K = W.shape
        dY = inputs[2].view(-1, N)
        matrices = matrices_of([inputs[0], *outputs[2:]], len(dY))
        if matrices is None:
            return None
        X, *dX = matrices
        dW, db = outputs[0].view(N, K), outputs[1:2]  # the engine may leave the last ones out
        if found := _small.fc_gradient(X, W, dY, dW, db, dX):
            return found
        if small_product(X, W) and (small := arrays(X, W, dY, dW, *db, *dX)):
            x, w, dy, dw, *others = small
            ones = np.ones(len(dy), np.float32)
            made = [call(np.dot, dy.T, x, dw), *(call(np.dot, ones, dy, out) for out in others[:1])]
            return [*made, *(call(np.dot, dy, w, out) for out in others[1:])]
        if _batch_last.fits(inputs[0], W):
            made = _batch_last.weights_calls(inputs[0], W, dY, dW)
            made += [c for out in db for c in _batch_last.bias_calls(dY, out)]
            return made + [c for out in outputs[2:] for c in _batch_last.data_calls(inputs[0], W, dY, out)]
        made = [call(torch.mm, dY.t(), X, out=dW), *(call(torch.sum, dY, 0, out=out) for out in db)]
        return [*made, *(product_call(dY, W, out) for out in dX)]

    @gradient("X W dY -> dW db dX", calls=_gradient_calls)
    def backward(self, X: Tensor, W: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
        matrix = self._matrix(W)
        N, K = matrix.shape
        dY = dY.reshape(-1, N)
        rows = X.reshape(-1, K)
        if X.is_contiguous() and _small.unwatched() and _small.product_fits(rows, matrix, dY):
            dW, db = torch.empty(W.shape), torch.empty(N)
            data = [torch.empty(X.shape)] if self.num_outputs > 2 else []
            matrices = [out.view(rows.shape) for out in data]
            make(_small.fc_gradient(rows, matrix, dY, dW.view(N, K), [db], matrices) or ())
            return (dW, db, *data)
        if small_product(rows, matrix) and (small := plain_arrays(rows, matrix, dY)):
            x, w, dy = small
            with np.errstate(all="ignore"):
                made = [np.dot(dy.T, x), np.dot(np.ones(len(dy), np.float32), dy)]
                if self.num_outputs > 2:
                    made.append(np.dot(dy, w))
            dW, db, *dX = map(torch.from_numpy, made)
            return dW.view(W.shape), db, *(out.view(X.shape) for out in dX)
        if _batch_last.fits(X, matrix):
            dY = dY.contiguous()
            dW, db = _batch_last.weights(X, matrix, dY).view(W.shape), _batch_last.bias(dY)
            return (dW, db) if self.num_outputs < 3 else (dW, db, _batch_last.data(X, matrix, dY))
        dW = torch.mm(dY.t(), rows).view(W.shape)
        db = dY.sum(0)
        return (dW, db) if self.num_outputs < 3 else (dW, db, product_in_layout_of(X, dY, matrix))
