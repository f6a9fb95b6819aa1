"""Which of a detector's boxes are right."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.detection import _multibox


class DetectionEvaluate(Operator):
    """Rows of -1, label, number of true boxes, -1, -1 for each class, then image, label, confidence, right, wrong.

    A box is right if the true box of its label that it overlaps most is overlapped by at least ``overlap`` and was not
    found by a better one; wrong if it is not; neither if that true box is difficult and these do not count.

    Shapes:   found: (1, 1, D, 7) of DetectionOutput, truth: (1, 1, G, 8) -> rows: (1, 1, classes + D', 5)
    Raises:   ShapeError if they do not fit.
    Source:   Liu et al., SSD, 2016: the layer DetectionEvaluate
    """

    inputs = (Port("found", FLOAT, "1 1 * 7"), Port("truth", FLOAT, "1 1 * 8"))
    outputs = (Port("rows"),)
    args = (
        Arg("classes", int, doc="number of classes with the background"),
        Arg("background", int, 0, "the class that is not evaluated"),
        Arg("overlap", float, 0.5, "least overlap of a box that is right"),
        Arg("use_difficult", int, 1, "1: difficult true boxes count"),
    )
    gradient_stops = True

    def infer(self, found: Tensor, truth: Tensor) -> tuple[Tensor, ...]:
        return (
            found.new_empty(1, 1, self.classes + found.shape[2], 5),
        )  # how many are valid is known after the run

    def kernel(self, found: Tensor, truth: Tensor) -> Tensor:
        boxes, true = found[0, 0].cpu(), truth[0, 0].cpu()
        ends = (true[:, 0] == -1).nonzero()
        true = true[: int(ends[0])] if len(ends) else true
        counted = true if self.use_difficult else true[true[:, 7] == 0]
        rows = [
            torch.tensor([-1.0, label, float((counted[:, 1] == label).sum()), -1.0, -1.0])
            for label in range(self.classes)
            if label != self.background
        ]
        boxes = boxes[(boxes[:, 0] != -1) & (boxes[:, 1] != -1)]
        for image in boxes[:, 0].unique():
            mine, theirs = boxes[boxes[:, 0] == image], true[true[:, 0] == image]
            for label in mine[:, 1].unique():
                rows += self._of_label(mine[mine[:, 1] == label], theirs[theirs[:, 1] == label])
        made = torch.stack(rows) if rows else found.new_zeros(0, 5)
        return made[None, None].to(found.device)

    def _of_label(self, found: Tensor, true: Tensor) -> list[Tensor]:
        made = torch.cat((found[:, :3], found.new_tensor([[0.0, 1.0]]).expand(len(found), 2)), 1)
        if not len(true):
            return list(made)
        order = found[:, 2].argsort(descending=True, stable=True)
        found, made = found[order], made[order]
        most, at = _multibox.overlaps(found[:, 3:7], true[:, 3:7]).max(1)
        seen: set[int] = set()
        for i, (overlap, place) in enumerate(zip(most.tolist(), at.tolist(), strict=True)):
            if overlap < self.overlap:
                continue
            if not self.use_difficult and true[place, 7]:
                made[i, 3:] = 0
            elif place not in seen:
                seen.add(place)
                made[i, 3:] = torch.tensor([1.0, 0.0])
        return list(made)
