"""Losses over labels as Caffe has them: labels are floats, some may be ignored, sums are normalised."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops import _small
from freshpot.ops._memory import by_kernel, make
from freshpot.ops._operator import Call, Operator, gradient

_TINY = torch.finfo(torch.float32).tiny  # the smallest normal float, as the original's FLT_MIN
_LOG_FLOOR = 1e-20  # the original's kLOG_THRESHOLD

_AXIS = Arg("axis", int, 1, "the axis of classes")
_IGNORE = Arg("ignore_label", int, 0, "a label that does not count; only if given")
_NORMALIZATION = Arg(
    "normalization",
    str,
    "VALID",
    "what the sum is divided by: all labels, those that count, the outer size, or 1",
    choices=("FULL", "VALID", "BATCH_SIZE", "NONE"),
)


class _Normalized(Operator, abstract=True):
    """A loss whose sum is divided by a number of labels, never by less than 1."""

    outputs = (Port("loss"), Port("P", optional=True))
    outer = inner = 1

    def counts(self, labels: Tensor) -> Tensor | None:
        """Where a label counts; None if all do."""
        return labels != self.ignore_label if self.has("ignore_label") else None

    def normalizer(self, counted: Tensor | None, outer: int, total: int) -> float | Tensor:
        """What the sum is divided by."""
        if self.normalization == "VALID" and counted is not None:
            return counted.sum().clamp_(min=1)
        return max(1.0, {"FULL": total, "VALID": total, "BATCH_SIZE": outer, "NONE": 1}[self.normalization])


class _Classes(_Normalized, abstract=True):
    """Scores over classes along an axis, a label for each place outside that axis."""

    inputs = (Port("X", FLOAT), Port("label", FLOAT))
    args = (_AXIS, _IGNORE, _NORMALIZATION)

    def check(self, X: Tensor, label: Tensor, *_: Tensor) -> None:
        if not -X.dim() <= self.axis < X.dim():
            self.refuse(f"axis {self.axis} is out of range for the scores {tuple(X.shape)}.")
        places = X.numel() // max(1, X.shape[self.axis])
        if label.numel() != places:
            self.refuse(
                f"the scores {tuple(X.shape)} need {places} labels (one for each place outside axis {self.axis}), "
                f"got {label.numel()} {tuple(label.shape)}."
            )

    def folded(self, X: Tensor) -> Tensor:
        """X as (outer, classes, inner)."""
        axis = self.axis % X.dim()
        return X.reshape(X.shape[:axis].numel(), X.shape[axis], -1)

    def labels(self, label: Tensor, P: Tensor) -> tuple[Tensor, Tensor | None]:
        """Labels as whole numbers (outer, 1, inner), and where they count. Those that do not are 0."""
        numbers = label.reshape(P.shape[0], 1, -1).long()
        counted = self.counts(numbers)
        return (numbers, None) if counted is None else (numbers.where(counted, 0), counted)


class CaffeSoftmaxWithLoss(_Classes):
    """loss = -sum of weight[label] * log P[label] / normalizer, with P the softmax of X along the axis of classes.

    Shapes:   X: (outer, C, inner) with C at ``axis``; label: outer * inner floats -> loss: (), P: as X;
              losses: as label, the terms of the sum
    Raises:   ShapeError for a number of labels, or class weights, that does not fit.
    Source:   caffe/layers/softmax_loss_layer.cpp; the weights: SegNet's branch, the terms: R-FCN's
    """

    outputs = (*_Normalized.outputs, Port("losses", optional=True))
    args = (*_Classes.args, Arg("class_weights", [float], [], "one for each class; all 1 if there are none"))

    def check(self, X: Tensor, label: Tensor, *_: Tensor) -> None:
        super().check(X, label)
        if self.class_weights and len(self.class_weights) != X.shape[self.axis]:
            self.refuse(
                f"there are {len(self.class_weights)} class weights for {X.shape[self.axis]} classes."
            )

    def infer(self, X: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        shapes = ((), X.shape, label.shape)
        return tuple(torch.empty(shape, dtype=X.dtype, device="meta") for shape in shapes[: self.num_outputs])

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        made = self._few(*inputs, *outputs) if len(outputs) == 2 else None
        return made or by_kernel(self, inputs, outputs)

    def _few(self, X: Tensor, label: Tensor, loss: Tensor, P: Tensor) -> list[Call] | None:
        """The calls for few scores whose classes lie along the last axis, where all labels count alike."""
        if not self._alike(X, P):
            return None
        rows, made = (t.view(-1, t.shape[-1]) for t in (X, P))
        failed = partial(self._by_torch, X, label)
        return _small.caffe_loss(rows, made, label, loss, self._constant(X, label), failed)

    def _alike(self, *scores: Tensor) -> bool:
        """True if classes lie along the last axis, and all labels count alike."""
        last = self.axis % scores[0].dim() == scores[0].dim() - 1
        plain = last and not self.has("ignore_label") and not self.class_weights
        return plain and all(t.is_contiguous() for t in scores)

    def _constant(self, X: Tensor, label: Tensor) -> float:
        """What the sum is divided by where no label is ignored."""
        return float(self.normalizer(None, X.shape[: self.axis].numel(), label.numel()))

    def _weights(self, numbers: Tensor, like: Tensor) -> Tensor | None:
        """The weight of each label."""
        return like.new_tensor(self.class_weights)[numbers] if self.class_weights else None

    def kernel(self, X: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        loss, P = X.new_empty(()), torch.empty_like(X)
        few = self._few(X, label, loss, P) if self.num_outputs < 3 and _small.unwatched() else None
        if few is None:
            return self._by_torch(X, label)
        make(few)
        return loss, P

    def _by_torch(self, X: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        P = torch.softmax(X, self.axis)
        folded = self.folded(P)
        numbers, counted = self.labels(label, folded)
        logs = folded.gather(1, numbers).clamp_(min=_TINY).log_()
        if counted is not None:
            logs *= counted
        weights = self._weights(numbers, logs)
        if weights is not None:
            logs *= weights
        loss = logs.sum().neg_() / self.normalizer(counted, len(folded), numbers.numel())
        return (loss, P, logs.neg().view(label.shape)) if self.num_outputs > 2 else (loss, P)

    def _slope_calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        return self._few_slopes(*inputs, *outputs) or by_kernel(self, inputs, outputs)

    def _few_slopes(
        self, X: Tensor, label: Tensor, P: Tensor, dloss: Tensor, dX: Tensor
    ) -> list[Call] | None:
        if not self._alike(P, dX):
            return None
        rows, made = (t.view(-1, t.shape[-1]) for t in (P, dX))
        failed = partial(self._by_torch, X, label)
        return _small.caffe_loss_gradient(rows, made, label, dloss, self._constant(X, label), failed)

    @gradient("X label P dloss -> dX", calls=_slope_calls)
    def backward(self, X: Tensor, label: Tensor, P: Tensor, dloss: Tensor) -> Tensor:
        dX = torch.empty_like(X)
        few = self._few_slopes(X, label, P, dloss, dX) if _small.unwatched() else None
        if few is not None:
            make(few)
            return dX
        folded = self.folded(P)
        numbers, counted = self.labels(label, folded)
        scale = dloss / self.normalizer(counted, len(folded), numbers.numel())
        made = folded.clone() if folded.data_ptr() == P.data_ptr() else folded
        made.scatter_add_(1, numbers, torch.full_like(numbers, -1, dtype=P.dtype))
        if counted is not None:
            made *= counted
        weights = self._weights(numbers, made)
        if weights is not None:
            made *= weights
        return made.mul_(scale).view(X.shape)


class InfogainLoss(_Classes):
    """loss = -sum over labels and classes of H[label, class] * log P[class] / normalizer.

    Shapes:   X: (outer, C, inner) with C at ``axis``; label: outer * inner floats; H: C * C -> loss: (), P: as X
    Raises:   ShapeError for a number of labels, or an H, that does not fit.
    Source:   caffe/layers/infogain_loss_layer.cpp
    """

    inputs = (*_Classes.inputs, Port("H", FLOAT))

    def check(self, X: Tensor, label: Tensor, H: Tensor, *_: Tensor) -> None:
        super().check(X, label)
        classes = X.shape[self.axis]
        if H.numel() != classes * classes:
            self.refuse(
                f"H must be {classes} x {classes}, as there are {classes} classes; got {tuple(H.shape)}."
            )

    def _rows(self, H: Tensor, numbers: Tensor, classes: int) -> Tensor:
        """H's row for each label, as (outer, classes, inner)."""
        return H.reshape(classes, classes)[numbers[:, 0]].transpose(1, 2)

    def kernel(self, X: Tensor, label: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
        P = torch.softmax(X, self.axis)
        folded = self.folded(P)
        numbers, counted = self.labels(label, folded)
        terms = folded.clamp(min=_LOG_FLOOR).log_() * self._rows(H, numbers, folded.shape[1])
        if counted is not None:
            terms = terms * counted
        return terms.sum().neg_() / self.normalizer(counted, len(folded), numbers.numel()), P

    @gradient("X label H P dloss -> dX")
    def backward(self, X: Tensor, label: Tensor, H: Tensor, P: Tensor, dloss: Tensor) -> Tensor:
        folded = self.folded(P)
        numbers, counted = self.labels(label, folded)
        rows = self._rows(H, numbers, folded.shape[1])
        made = folded * rows.sum(1, keepdim=True) - rows
        if counted is not None:
            made *= counted
        return made.mul_(dloss / self.normalizer(counted, len(folded), numbers.numel())).reshape(X.shape)


class SigmoidCrossEntropyLoss(_Normalized):
    """loss = sum of the cross-entropy of sigmoid(X) with targets in [0, 1] / normalizer.

    Shapes:   X: any, target: as many -> loss: ()
    Raises:   ShapeError for a number of targets that does not fit.
    Source:   caffe/layers/sigmoid_cross_entropy_loss_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("target", FLOAT))
    outputs = (Port("loss"),)
    args = (_IGNORE, _NORMALIZATION)

    def check(self, X: Tensor, target: Tensor, *_: Tensor) -> None:
        if X.numel() != target.numel():
            self.refuse(f"scores {tuple(X.shape)} and targets {tuple(target.shape)} must be equally many.")

    def kernel(self, X: Tensor, target: Tensor) -> Tensor:
        target = target.reshape(X.shape)
        counted = self.counts(target.long())
        terms = torch.nn.functional.binary_cross_entropy_with_logits(X, target, reduction="none")
        if counted is not None:
            terms *= counted
        return terms.sum() / self.normalizer(counted, len(X), X.numel())

    @gradient("X target dloss -> dX")
    def backward(self, X: Tensor, target: Tensor, dloss: Tensor) -> Tensor:
        target = target.reshape(X.shape)
        counted = self.counts(target.long())
        made = torch.sigmoid(X).sub_(target)
        if counted is not None:
            made *= counted
        return made.mul_(dloss / self.normalizer(counted, len(X), X.numel()))


class MultinomialLogisticLoss(Operator):
    """loss = -sum of log P[label] / N, for probabilities P.

    Shapes:   P: (N, C, …) with C all of it but N; label: N floats -> loss: ()
    Source:   caffe/layers/multinomial_logistic_loss_layer.cpp
    """

    inputs = (Port("P", FLOAT), Port("label", FLOAT))
    outputs = (Port("loss"),)

    def check(self, P: Tensor, label: Tensor, *_: Tensor) -> None:
        if P.dim() < 1 or label.numel() < len(P):
            self.refuse(
                f"probabilities {tuple(P.shape)} need {len(P) if P.dim() else 1} labels, got {label.numel()}."
            )

    def _picked(self, P: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        numbers = label.reshape(-1)[: len(P), None].long()
        return numbers, P.reshape(len(P), -1).gather(1, numbers).clamp_(min=_LOG_FLOOR)

    def kernel(self, P: Tensor, label: Tensor) -> Tensor:
        return self._picked(P, label)[1].log_().sum().neg_() / len(P)

    @gradient("P label dloss -> dP")
    def backward(self, P: Tensor, label: Tensor, dloss: Tensor) -> Tensor:
        numbers, picked = self._picked(P, label)
        made = torch.zeros_like(P).view(len(P), -1)
        return made.scatter_(1, numbers, picked.reciprocal_().mul_(dloss / -len(P))).view(P.shape)


class HingeLoss(Operator):
    """loss = sum of max(0, 1 - X[label]) and max(0, 1 + X[other]) (norm L1), or of their squares (L2), / N.

    Shapes:   X: (N, C, …) with C all of it but N; label: N floats -> loss: ()
    Source:   caffe/layers/hinge_loss_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("label", FLOAT))
    outputs = (Port("loss"),)
    args = (Arg("norm", str, "L1", "of the margins", choices=("L1", "L2")),)

    def _margins(self, X: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Margins (N, C), and the sign of each score in its margin."""
        signs = torch.ones_like(X).view(len(X), -1)
        signs.scatter_(1, label.reshape(-1)[: len(X), None].long(), -1.0)
        return (X.reshape(len(X), -1) * signs).add_(1).clamp_(min=0), signs

    def kernel(self, X: Tensor, label: Tensor) -> Tensor:
        margins = self._margins(X, label)[0]
        return (margins.sum() if self.norm == "L1" else margins.square_().sum()) / len(X)

    @gradient("X label dloss -> dX")
    def backward(self, X: Tensor, label: Tensor, dloss: Tensor) -> Tensor:
        margins, signs = self._margins(X, label)
        slope = margins.sign_() if self.norm == "L1" else margins.mul_(2)
        return slope.mul_(signs).mul_(dloss / len(X)).view(X.shape)


class EuclideanLoss(Operator):
    """loss = sum of (A - B)^2 / (2 N).

    Shapes:   A: (N, …), B: (N, …) of the same count -> loss: ()
    Raises:   ShapeError if they differ in N or in count.
    Source:   caffe/layers/euclidean_loss_layer.cpp
    """

    inputs = (Port("A", FLOAT), Port("B", FLOAT))
    outputs = (Port("loss"),)

    def check(self, A: Tensor, B: Tensor, *_: Tensor) -> None:
        if A.numel() != B.numel() or A.shape[:1] != B.shape[:1]:
            self.refuse(
                f"both inputs must be (N, …) with the same count, got {tuple(A.shape)} and {tuple(B.shape)}."
            )

    def kernel(self, A: Tensor, B: Tensor) -> Tensor:
        return (A - B.reshape(A.shape)).square_().sum() / (2 * len(A))

    @gradient("A B dloss -> dA dB")
    def backward(self, A: Tensor, B: Tensor, dloss: Tensor) -> tuple[Tensor, ...]:
        dA = (A - B.reshape(A.shape)).mul_(dloss / len(A))
        return dA, -dA.reshape(B.shape)


class ContrastiveLoss(Operator):
    """loss = sum over pairs of d^2 if similar, else max(0, margin - d)^2, / (2 N), with d = |A - B|.

    Shapes:   A, B: (N, C) or (N, C, 1, 1); similar: N floats, not 0 for similar pairs -> loss: ()
    Differs:  with legacy_version=1, max(0, margin - d^2) for pairs that are not similar.
    Raises:   ShapeError for features with space, or of different shapes.
    Source:   caffe/layers/contrastive_loss_layer.cpp; Hadsell et al., CVPR 2006
    """

    inputs = (Port("A", FLOAT), Port("B", FLOAT), Port("similar", FLOAT))
    outputs = (Port("loss"),)
    args = (
        Arg("margin", float, 1.0, "how far apart pairs that are not similar should be"),
        Arg("legacy_version", int, 0, "1: the margin is for the squared distance"),
    )

    def check(self, A: Tensor, B: Tensor, similar: Tensor, *_: Tensor) -> None:
        if A.shape != B.shape or A.dim() < 2 or A.numel() != A.shape[0] * A.shape[1]:
            self.refuse(
                f"A and B must both be (N, C) or (N, C, 1, 1), got {tuple(A.shape)} and {tuple(B.shape)}."
            )
        if similar.numel() != len(A):
            self.refuse(f"{len(A)} pairs need {len(A)} labels, got {tuple(similar.shape)}.")

    def _pairs(self, A: Tensor, B: Tensor, similar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        diff = (A - B).reshape(len(A), -1)
        return diff, diff.square().sum(1, keepdim=True), similar.reshape(-1, 1).long() != 0

    def kernel(self, A: Tensor, B: Tensor, similar: Tensor) -> Tensor:
        _, square, alike = self._pairs(A, B, similar)
        if self.legacy_version:
            apart = (self.margin - square).clamp_(min=0)
        else:
            apart = (self.margin - square.sqrt()).clamp_(min=0).square_()
        return torch.where(alike, square, apart).sum() / (2 * len(A))

    @gradient("A B similar dloss -> dA dB")
    def backward(self, A: Tensor, B: Tensor, similar: Tensor, dloss: Tensor) -> tuple[Tensor, ...]:
        diff, square, alike = self._pairs(A, B, similar)
        if self.legacy_version:
            slope = torch.where(self.margin - square > 0, -1.0, 0.0)
        else:
            distance = square.sqrt()
            missing = self.margin - distance
            slope = torch.where(missing > 0, -missing / (distance + 1e-4), 0.0)
        dA = (diff * torch.where(alike, 1.0, slope)).mul_(dloss / len(A)).view(A.shape)
        return dA, -dA


class CaffeAccuracy(Operator):
    """Share of places where fewer than top_k classes score as high as the label's.

    Shapes:   X: (outer, C, inner) with C at ``axis``; label: outer * inner floats -> accuracy: (),
              per_class: (C,), 0 for classes that no label names
    Raises:   ShapeError for a number of labels, or a top_k, that does not fit.
    Source:   caffe/layers/accuracy_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("label", FLOAT))
    outputs = (Port("accuracy"), Port("per_class", optional=True))
    args = (
        _AXIS,
        Arg("ignore_label", int, 0, "a label that does not count; only if given"),
        Arg("top_k", int, 1, ""),
    )
    no_gradient = "accuracy is no loss"

    def check(self, X: Tensor, label: Tensor) -> None:
        _Classes.check(self, X, label)  # type: ignore[arg-type]
        classes = X.shape[self.axis]
        if self.top_k > classes:
            self.refuse(f"top_k is {self.top_k}, and there are only {classes} classes.")

    def kernel(self, X: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        folded = _Classes.folded(self, X)  # type: ignore[arg-type]
        classes = folded.shape[1]
        numbers = label.reshape(folded.shape[0], 1, -1).long()
        counted = torch.ones_like(numbers, dtype=torch.bool)
        if self.has("ignore_label"):
            counted = numbers != self.ignore_label
            numbers = numbers.where(counted, 0)
        as_high = (folded >= folded.gather(1, numbers)).sum(1, keepdim=True)
        right = ((as_high <= self.top_k) & counted).to(X.dtype)
        total = counted.sum()
        accuracy = right.sum() / total.clamp(min=1)
        if self.num_outputs < 2:
            return accuracy, accuracy
        flat = numbers.reshape(-1)
        of_class = X.new_zeros(classes).index_add_(0, flat, counted.reshape(-1).to(X.dtype))
        hits = X.new_zeros(classes).index_add_(0, flat, right.reshape(-1))
        return accuracy, hits / of_class.clamp(min=1)
