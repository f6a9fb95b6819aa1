"""Scores of test nets that find boxes: the mean over classes of the average precision, as SSD's branch counts it.

Owned here: adding up the rows of DetectionEvaluate, average precision, the printed line. Who calls it: `solver`, for a
solver with ``eval_type: "detection"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from caffe import _log
from caffe._net.net import CaffeNet
from caffe._solver import report
from freshpot.errors import ArgumentError, ShapeError, near_matches

_EPS = 1e-6


def check(param: Any) -> None:
    """Refuse words that name no way of scoring.

    Raises:
        ArgumentError: eval_type or ap_version is not known.
    """
    for field, known in (("eval_type", ("classification", "detection")), ("ap_version", AVERAGES)):
        word = getattr(param, field)
        if word not in known:
            raise ArgumentError(
                f"there is no {field} '{word}'. Known: {', '.join(known)}.{near_matches(word, known)}"
            )


def scores_of(param: Any, net: CaffeNet) -> report.Scores | Precisions:
    """What adds up a test net's outputs, as the solver's eval_type says."""
    return Precisions(net, param) if param.eval_type == "detection" else report.Scores(net)


class Precisions:
    """Boxes that were found and true boxes, output by output and class by class, over batches."""

    def __init__(self, net: CaffeNet, param: Any) -> None:
        self._net, self._param = net, param
        self._rows: list[list[np.ndarray]] = [[] for _ in net.output_ids]
        self.loss = 0.0

    def add(self, loss: float) -> None:
        """Take in the outputs as they are now.

        Raises:
            ShapeError: an output is not (1, 1, rows, 5), as DetectionEvaluate makes it.
        """
        self.loss += loss
        for rows, blob in zip(self._rows, self._net.output_ids, strict=True):
            found = self._net.blob_list[blob].data_array()
            if found.shape[-1:] != (5,):
                raise ShapeError(
                    f'eval_type "detection" needs outputs of DetectionEvaluate, (1, 1, rows, 5); '
                    f"'{self._net.blob_names[blob]}' is {found.shape}.",
                    net=self._net.name or None,
                )
            rows.append(found.reshape(-1, 5).copy())

    def means(self, count: int) -> dict[str, float]:
        """Mean average precision of every output, by name."""
        return {name: self._mean(self._by_class(rows)) for name, rows in self._outputs()}

    def say(self, where: str, lead: str, count: int = 1) -> None:
        """Print the mean average precision of every output; ``lead`` goes before each, with its number for ``{i}``."""
        for i, (name, rows) in enumerate(self._outputs()):
            classes = self._by_class(rows)
            for label, precision in classes.items():
                if precision is None:
                    _log.warning("solver.cpp:540", f"Missing true_pos for label: {label}")
                elif self._param.show_per_class_result:
                    _log.info("solver.cpp:555", f"class{label}: {precision:g}")
            _log.info(where, f"{lead.format(i=i)}{name} = {self._mean(classes):g}")

    def _outputs(self) -> list[tuple[str, np.ndarray]]:
        names = [self._net.blob_names[blob] for blob in self._net.output_ids]
        return [
            (name, np.concatenate([np.zeros((0, 5), np.float32), *rows]))
            for name, rows in zip(names, self._rows, strict=True)
        ]

    def _by_class(self, rows: np.ndarray) -> dict[int, float | None]:
        """Average precision of each class; None where no box was found."""
        true, found = rows[rows[:, 0] == -1], rows[rows[:, 0] != -1]
        found = found[(found[:, 3] != 0) | (found[:, 4] != 0)]  # neither right nor wrong: a difficult one
        made: dict[int, float | None] = {}
        for label in np.unique(true[:, 1]).astype(int).tolist():
            mine = found[found[:, 1] == label]
            count = int(true[true[:, 1] == label, 2].sum())
            made[label] = (
                average_precision(mine[:, 2], mine[:, 3] != 0, count, self._param.ap_version)
                if len(mine)
                else None
            )
        return made

    @staticmethod
    def _mean(classes: dict[int, float | None]) -> float:
        return sum(precision or 0.0 for precision in classes.values()) / max(1, len(classes))


def average_precision(scores: np.ndarray, right: np.ndarray, count: int, version: str) -> float:
    """Average precision of the boxes of one class.

    Args:
        scores, right: (D,) confidence of each box, and whether it is right.
        count: number of true boxes.
        version: one of :data:`AVERAGES`.
    """
    if not len(scores) or not count:
        return 0.0
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits.astype(np.float32) / np.arange(1, len(hits) + 1, dtype=np.float32)
    return AVERAGES[version](precision, hits.astype(np.float32) / np.float32(count))


def _eleven_points(precision: np.ndarray, recall: np.ndarray) -> float:
    """VOC 2007: the mean of the best precisions at recalls of at least 0, 0.1 … 1."""
    return float(sum(precision[recall >= j / 10].max(initial=0.0) / 11 for j in range(11)))


def _best_integral(precision: np.ndarray, recall: np.ndarray) -> float:
    """VOC 2012: below the best precision at each recall or a higher one, read from the last box to the first."""
    total, at, best = 0.0, float(recall[-1]), float(precision[-1])
    for p, r in zip(precision[-2::-1].tolist(), recall[-2::-1].tolist(), strict=True):
        best = max(best, p)
        if abs(at - r) > _EPS:
            total += best * abs(at - r)
        at = r
    return total + at * best


def _integral(precision: np.ndarray, recall: np.ndarray) -> float:
    """Below the precision as it is."""
    steps = np.abs(np.diff(recall, prepend=np.float32(0)))
    return float((precision * steps)[steps > _EPS].sum())


#: ap_version -> average precision of precisions and recalls (D,), the surest box first
AVERAGES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "Integral": _integral,
    "MaxIntegral": _best_integral,
    "11point": _eleven_points,
}
