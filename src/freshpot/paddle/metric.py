"""``paddle.metric``: measures gathered over batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._missing import missing
from freshpot.paddle._tensor import Tensor, lifted, wrap

__all__ = ["Accuracy", "Auc", "Metric", "Precision", "Recall", "accuracy"]


@lifted
def accuracy(
    input: Any, label: Any, k: int = 1, correct: Any = None, total: Any = None, name: Any = None
) -> Any:
    """The share of samples whose label is among the ``k`` greatest scores; label (N, 1) or (N,)."""
    best = torch.topk(input.detach(), min(k, input.shape[-1]), dim=-1)[1]
    return (best == label.reshape(-1, 1)).any(-1).float().mean()


def _array(value: Any) -> np.ndarray[Any, Any]:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


class Metric:
    """Base class: ``compute`` on tensors, ``update`` with what it gave, ``accumulate`` for the result."""

    def reset(self) -> None:
        """Begin anew."""
        raise NotImplementedError(f"{type(self).__name__} must define reset()")

    def update(self, *args: Any) -> Any:
        """Take in a batch."""
        raise NotImplementedError(f"{type(self).__name__} must define update()")

    def accumulate(self) -> Any:
        """The result so far."""
        raise NotImplementedError(f"{type(self).__name__} must define accumulate()")

    def name(self) -> Any:
        """Its name, or one for each number."""
        raise NotImplementedError(f"{type(self).__name__} must define name()")

    def compute(self, *args: Any) -> Any:
        """From outputs and labels to what ``update`` takes; by default unchanged."""
        return args


class Accuracy(Metric):
    """Shares of samples whose label is among the best ``topk`` scores."""

    def __init__(self, topk: Any = (1,), name: str | None = None) -> None:
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        base = name or "acc"
        self._names = [base] if self.topk == (1,) else [f"{base}_top{k}" for k in self.topk]
        self.reset()

    def compute(self, pred: Tensor, label: Tensor, *args: Any) -> Tensor:
        """(N, max k): 1 where a guess is right."""
        scores, wanted = pred.data_.detach(), label.data_
        best = torch.topk(scores, max(self.topk), dim=-1)[1]
        if wanted.dim() == scores.dim() and wanted.shape[-1] == scores.shape[-1] > 1:
            wanted = wanted.argmax(-1)
        return wrap((best == wanted.reshape(*best.shape[:-1], 1)).float())

    def update(self, correct: Any, *args: Any) -> Any:
        """Take in what ``compute`` gave; the shares of this batch."""
        hits = _array(correct)
        count = int(np.prod(hits.shape[:-1]))
        shares = []
        for i, k in enumerate(self.topk):
            right = float(hits[..., :k].sum())
            self.total[i] += right
            self.count[i] += count
            shares.append(right / count)
        return shares[0] if len(shares) == 1 else shares

    def reset(self) -> None:
        """Begin anew."""
        self.total, self.count = [0.0] * len(self.topk), [0] * len(self.topk)

    def accumulate(self) -> Any:
        """The shares so far."""
        shares = [
            right / count if count else 0.0 for right, count in zip(self.total, self.count, strict=True)
        ]
        return shares[0] if len(shares) == 1 else shares

    def name(self) -> list[str]:
        """``acc``, or ``acc_top1``, ``acc_top5`` …"""
        return self._names


class Precision(Metric):
    """Of those taken for 1 (probability 0.5 or more), how many are."""

    def __init__(self, name: str = "precision") -> None:
        self._name = name
        self.reset()

    def update(self, preds: Any, labels: Any) -> None:
        """Take in probabilities and labels."""
        guess, truth = self._guess(_array(preds)).astype(int).ravel(), _array(labels).ravel()
        self._right += int(((guess == 1) & (truth == 1)).sum())
        self._all += int(self._counted(guess, truth))

    def _guess(self, preds: Any) -> Any:
        return np.floor(preds + 0.5)

    def _counted(self, guess: Any, truth: Any) -> int:
        return int((guess == 1).sum())

    def reset(self) -> None:
        """Begin anew."""
        self._right = self._all = 0

    def accumulate(self) -> float:
        """The share so far."""
        return self._right / self._all if self._all else 0.0

    def name(self) -> str:
        """Its name."""
        return self._name


class Recall(Precision):
    """Of those that are 1, how many are taken for it (probability above 0.5)."""

    def __init__(self, name: str = "recall") -> None:
        super().__init__(name)

    def _guess(self, preds: Any) -> Any:
        return np.rint(preds)

    def _counted(self, guess: Any, truth: Any) -> int:
        return int((truth == 1).sum())


class Auc(Metric):
    """The area under the ROC curve, from ``num_thresholds`` bins."""

    def __init__(self, curve: str = "ROC", num_thresholds: int = 4095, name: str = "auc") -> None:
        if curve != "ROC":
            raise ArgumentError(f"Auc: curve {curve!r}; only 'ROC' is defined")
        self._thresholds, self._name = num_thresholds, name
        self.reset()

    def update(self, preds: Any, labels: Any) -> None:
        """Take in probabilities (N, 2) or (N,) and labels."""
        scores, truth = _array(preds), _array(labels).ravel()
        ones = scores[:, 1] if scores.ndim == 2 and scores.shape[1] == 2 else scores.ravel()
        bins = (ones * self._thresholds).astype(int)
        np.add.at(self._positive, bins[truth != 0], 1)
        np.add.at(self._negative, bins[truth == 0], 1)

    def reset(self) -> None:
        """Begin anew."""
        self._positive, self._negative = np.zeros(self._thresholds + 1), np.zeros(self._thresholds + 1)

    def accumulate(self) -> float:
        """The area so far."""
        up = np.concatenate([[0], np.cumsum(self._positive[::-1])])
        across = np.concatenate([[0], np.cumsum(self._negative[::-1])])
        area = float(((up[1:] + up[:-1]) / 2 * np.diff(across)).sum())
        return area / (up[-1] * across[-1]) if up[-1] and across[-1] else 0.0

    def name(self) -> str:
        """Its name."""
        return self._name


def __getattr__(name: str) -> Any:
    raise missing("metric", name, __all__)
