"""How well the pixels of images were classified."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


class SegmentationAccuracy(Operator):
    """Share of pixels that are right; mean share over the classes that occur; mean intersection over union.

    All from counts[label, guess], to which the batch is added, after they are set to 0 unless reset is 0. A class
    with intersection equal to union, as with none, has 1. Of equal scores the last one is the guess.

    Shapes:   X: (N, C, H, W), label: N * H * W floats, counts: (C, C) -> accuracy: (1, 1, 1, 3); counts, which the
              output of that name must overwrite
    Raises:   ShapeError for a number of labels that does not fit, and for a label that is neither ignored nor a class.
    Source:   Chen et al., DeepLab, 2014: the layer SegAccuracy
    """

    inputs = (Port("X", FLOAT, "* C * *"), Port("label", FLOAT), Port("counts", FLOAT, "C C"))
    outputs = (Port("accuracy"), Port("counts"))
    args = (
        Arg("ignore_labels", [int], [], "labels that do not count"),
        Arg("reset", int, 1, "0: go on counting from run to run"),
    )
    must_inplace = ((2, 1),)
    no_gradient = "accuracy is no loss"

    def check(self, X: Tensor, label: Tensor, counts: Tensor) -> None:
        if label.numel() * X.shape[1] != X.numel():
            self.refuse(f"the scores {tuple(X.shape)} need a label a pixel, got {tuple(label.shape)}.")

    def infer(self, X: Tensor, label: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        return X.new_empty(1, 1, 1, 3), counts

    def kernel(self, X: Tensor, label: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        classes = X.shape[1]
        guesses = (classes - 1 - X.flip(1).argmax(1)).flatten()
        labels = label.flatten().long()
        if self.ignore_labels:
            counted = torch.isin(labels, torch.tensor(self.ignore_labels, device=labels.device), invert=True)
            labels, guesses = labels[counted], guesses[counted]
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            self.refuse(
                f"labels must be from 0 to {classes - 1} or ignored, got {int(labels.min())} to {int(labels.max())}."
            )
        found = torch.bincount(labels * classes + guesses, minlength=classes * classes).view(classes, classes)
        total = found.to(counts.dtype) if self.reset else counts + found
        return self._shares(total.double()).to(X.dtype).view(1, 1, 1, 3), total

    def _shares(self, counts: Tensor) -> Tensor:
        right, given = counts.diagonal(), counts.sum(1)
        union = given + counts.sum(0) - right
        occurs = given > 0
        accuracy = right.sum() / counts.sum().clamp(min=1)
        recall = (right / given.clamp(min=1)).sum() / occurs.sum().clamp(min=1)
        overlap = torch.where(right == union, 1.0, right / union.clamp(min=1)).mean()
        return torch.stack((accuracy, recall, overlap))
