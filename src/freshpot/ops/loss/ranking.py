"""Losses of orders: pairs, and whole lists."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator


def _sessions(operator: Operator, X: Tensor, given: tuple[Tensor, ...]) -> list[int]:
    sizes: list[int] = given[0].tolist() if given else [X.numel()]
    if sum(sizes) != X.numel() or min(sizes, default=0) < 0:
        operator.refuse(f"lengths add up to {sum(sizes)}, but there are {X.numel()} scores.")
    return sizes


def _pair_rule(g: GradientMaker) -> list[Op]:
    given = [g.I(0), g.I(1), g.GO(0), *([g.I(2)] if len(g.op.inputs) > 2 else [])]
    return [g.new("PairWiseLossGradient", given, [g.GI(0)])]


class PairWiseLoss(Operator):
    """Y = mean over the pairs of a session with other labels of log(1 + exp(x_lower - x_higher)).

    Shapes:   X: (N,) or (N, 1); label: as many; lengths: (sessions,), one session if left out -> (sessions,)
    Raises:   ShapeError if label or lengths do not fit X.
    Source:   caffe2/operators/rank_loss_op.h
    """

    inputs = (Port("X", FLOAT), Port("label", FLOAT), Port("lengths", INT, optional=True))
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_pair_rule)

    def check(self, X: Tensor, label: Tensor, *rest: Tensor) -> None:
        fits = all(each.dim() in (1, 2) and each.numel() == each.shape[0] for each in (X, label))
        if not fits or label.numel() != X.numel():
            self.refuse(f"X and label must be (N,) or (N, 1); got {tuple(X.shape)}, {tuple(label.shape)}.")

    def kernel(self, X: Tensor, label: Tensor, *given: Tensor) -> Tensor:
        sizes = _sessions(self, X, given)
        parts = zip(X.reshape(-1).split(sizes), label.reshape(-1).split(sizes), strict=True)
        return torch.stack([_pair_loss(x, y) for x, y in parts]) if sizes else X.new_zeros(0)

    def infer(self, X: Tensor, label: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        return (X.new_empty(given[0].numel() if given else 1),)


def _pairs(x: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Differences of scores, those pairs that count, and how many (at least 1)."""
    higher = label[:, None] > label[None, :]
    return x[:, None] - x[None, :], higher, higher.sum().clamp(min=1)


def _pair_loss(x: Tensor, label: Tensor) -> Tensor:
    difference, higher, count = _pairs(x, label)
    return softplus(-difference)[higher].sum() / count


class PairWiseLossGradient(Operator):
    """Gradient of PairWiseLoss.

    Shapes:   X, label, lengths: as forward; dY: (sessions,) -> dX: as X
    Source:   caffe2/operators/rank_loss_op.h
    """

    inputs = (Port("X", FLOAT), Port("label", FLOAT), Port("dY", FLOAT), Port("lengths", INT, optional=True))
    outputs = (Port("dX"),)
    no_gradient = "it is itself a gradient"

    def kernel(self, X: Tensor, label: Tensor, dY: Tensor, *given: Tensor) -> Tensor:
        sizes = _sessions(self, X, given)
        if dY.numel() != len(sizes):
            self.refuse(f"dY must have {len(sizes)} elements, one a session; got {tuple(dY.shape)}.")
        labels = label.reshape(-1).split(sizes)
        parts = zip(X.reshape(-1).split(sizes), labels, dY.reshape(-1), strict=True)
        made = [_pair_gradient(x, y) * d for x, y, d in parts]
        return torch.cat(made).reshape(X.shape) if made else torch.zeros_like(X)

    def infer(self, X: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(X),)


def _pair_gradient(x: Tensor, label: Tensor) -> Tensor:
    difference, higher, count = _pairs(x, label)
    pull = torch.sigmoid(-difference) * higher
    return (pull.sum(0) - pull.sum(1)) / count


def _rank_rule(g: GradientMaker) -> list[Op]:
    return [g.new("LambdaRankNdcgGradient", [g.I(0), g.I(2), g.O(1), g.GO(0)], [g.GI(0)])]


class LambdaRankNdcg(Operator):
    """loss = sum over the ordered pairs of a session of |d gain * d discount| * log(1 + exp(x_lower - x_higher)).

    gain = 2 ** label, or label; discount = 1 / log2(1 + rank by score). dpred is what the gradient needs.

    Shapes:   pred, label: (N,); lengths: (sessions,) -> loss: (sessions,); dpred: (N,)
    Raises:   ShapeError if label or lengths do not fit pred.
    Source:   caffe2/operators/listwise_l2r_op.h
    """

    inputs = (Port("pred", FLOAT, "N"), Port("label", FLOAT, "N"), Port("lengths", INT, "S"))
    outputs = (Port("loss"), Port("dpred"))
    args = (
        Arg("use_ndcg_as_loss", bool, False, "1: the loss is ideal gain - gain (the gradient stays)"),
        Arg("use_idcg_normalization", bool, True, "1: divide by the ideal gain"),
        Arg("use_exp_gain", bool, True, "0: a label is its own gain; only with use_ndcg_as_loss"),
    )
    gradient_rule = staticmethod(_rank_rule)

    def kernel(self, pred: Tensor, label: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        sizes = _sessions(self, pred, (lengths,))
        made = [self._session(x, r) for x, r in zip(pred.split(sizes), label.split(sizes), strict=True)]
        if not made:
            return pred.new_zeros(0), torch.zeros_like(pred)
        return torch.stack([loss for loss, _ in made]), torch.cat([d for _, d in made])

    def infer(self, pred: Tensor, label: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        return pred.new_empty(lengths.numel()), torch.empty_like(pred)

    def _session(self, x: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        if not len(x):
            return x.new_zeros(()), x
        gain = r if self.use_ndcg_as_loss and not self.use_exp_gain else torch.exp2(r)
        inverse = 1 / torch.log2(torch.arange(2, len(x) + 2, device=x.device, dtype=x.dtype))
        discount = _at_ranks(x, inverse)
        ideal = (gain * _at_ranks(r, inverse)).sum()
        norm = ideal.clamp(min=1e-5) if self.use_idcg_normalization else torch.ones_like(ideal)
        sign = torch.where(r[:, None] > r[None, :], 1.0, -1.0)
        apart = sign * (x[:, None] - x[None, :])
        weight = ((gain[:, None] - gain[None, :]) * (discount[:, None] - discount[None, :])).abs()
        dx = -(weight * sign * torch.sigmoid(-apart)).sum(1)
        if self.use_ndcg_as_loss:
            loss = ideal - (gain * discount).sum()
        else:
            loss = -(weight * logsigmoid(apart)).sum()
        return loss / norm, dx / norm


def _at_ranks(scores: Tensor, values: Tensor) -> Tensor:
    """values[rank of each score], the highest score first."""
    made = torch.empty_like(values)
    made[torch.argsort(scores, descending=True, stable=True)] = values
    return made


class LambdaRankNdcgGradient(Operator):
    """dpred of the forward operator, times the gradient of its session's loss.

    Shapes:   pred, dpred: (N,); lengths, dloss: (sessions,) -> dpred: (N,)
    Source:   caffe2/operators/listwise_l2r_op.h
    """

    inputs = (
        Port("pred", FLOAT, "N"),
        Port("lengths", INT, "S"),
        Port("dy_cache", FLOAT, "N"),
        Port("dloss", FLOAT, "S"),
    )
    outputs = (Port("dpred"),)
    no_gradient = "it is itself a gradient"

    def kernel(self, pred: Tensor, lengths: Tensor, cache: Tensor, dloss: Tensor) -> Tensor:
        _sessions(self, pred, (lengths,))
        return cache * torch.repeat_interleave(dloss, lengths.long())

    def infer(self, pred: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(pred),)
