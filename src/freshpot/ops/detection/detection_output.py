"""What a detector found: boxes decoded, the doubtful and the doubled left out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.detection import _multibox


def check_predictions(op: Operator, loc: Tensor, conf: Tensor, priors: Tensor) -> int:
    """Refuse predictions that do not fit the prior boxes; returns how many of these there are."""
    count = (
        priors.shape[2] // 4
        if priors.dim() == 3 and priors.shape[1] == 2 and priors.shape[2] % 4 == 0
        else -1
    )
    sets = 1 if op.share_location else op.classes
    wanted = (count * sets * 4, count * op.classes)
    got = tuple(t.shape[1:].numel() if t.dim() > 1 else -1 for t in (loc, conf))
    if count < 0 or wanted != got or loc.shape[0] != conf.shape[0]:
        op.refuse(
            f"the prior boxes must be (1, 2, 4 P), the locations (N, P * {sets} * 4) and the confidences "
            f"(N, P * {op.classes}); got {tuple(priors.shape)}, {tuple(loc.shape)}, {tuple(conf.shape)}."
        )
    return count


class DetectionOutput(Operator):
    """Rows of image, label, confidence, x1, y1, x2, y2, best first within an image and label.

    Of every class but the background: the ``nms_top_k`` boxes with the highest confidence above the threshold, less
    those that overlap a better one by more than ``nms_threshold``; of an image the ``keep_top_k`` best. Where nothing
    was found, a row of -1 for each image, with its number first.

    Shapes:   loc: (N, P * 4) or (N, P * classes * 4), conf: (N, P * classes), priors: (1, 2, P * 4)
              -> found: (1, 1, rows, 7)
    Raises:   ShapeError if they do not fit; ArgumentError unless classes > 0, nms_threshold >= 0 and 0 < eta <= 1.
    Source:   Liu et al., SSD, 2016: the layer DetectionOutput
    """

    inputs = (Port("loc", FLOAT), Port("conf", FLOAT), Port("priors", FLOAT))
    outputs = (Port("found"),)
    args = (
        Arg("classes", int, doc="number of classes with the background"),
        Arg("share_location", int, 1, "1: one box for all classes; 0: one for each"),
        Arg("background", int, 0, "the class that is not looked for; -1: none"),
        Arg("code", str, "CORNER", "how boxes are coded", choices=_multibox.CODES),
        Arg("variance_in_target", int, 0, "1: the predictions are not divided by the variances"),
        Arg("confidence", float, float("-inf"), "least confidence (not included)"),
        Arg("nms_threshold", float, 0.3, "overlap above which the worse box goes"),
        Arg("nms_top_k", int, -1, "boxes of a class that are looked at; -1: all"),
        Arg("eta", float, 1.0, "below 1, the threshold falls with every box kept"),
        Arg("keep_top_k", int, -1, "boxes of an image that are kept; -1: all"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if self.classes < 1 or self.nms_threshold < 0 or not 0 < self.eta <= 1:
            self.refuse(
                f"classes must be greater than 0, nms_threshold not less than 0, and eta greater than 0 and at most 1; "
                f"got {self.classes}, {self.nms_threshold}, {self.eta}.",
                ArgumentError,
            )

    def check(self, loc: Tensor, conf: Tensor, priors: Tensor) -> None:
        check_predictions(self, loc, conf, priors)

    def infer(self, loc: Tensor, conf: Tensor, priors: Tensor) -> tuple[Tensor, ...]:
        return (loc.new_empty(1, 1, 1, 7),)  # how many there are is known after the run

    def kernel(self, loc: Tensor, conf: Tensor, priors: Tensor) -> Tensor:
        count = priors.shape[2] // 4
        boxes, variances = priors.view(2, count, 4).cpu()
        coded = loc.reshape(len(loc), count, -1, 4).cpu()
        scores = conf.reshape(len(conf), count, self.classes).cpu().numpy()
        scale = None if self.variance_in_target else variances
        rows = []
        for image in range(len(coded)):
            decoded = [
                _multibox.decode(self.code, coded[image, :, k], boxes, scale).numpy()
                for k in range(coded.shape[2])
            ]
            rows += self._of_image(image, decoded, scores[image])
        if not rows:
            made = np.full((len(coded), 7), -1, np.float32)
            made[:, 0] = np.arange(len(coded))
        else:
            made = np.array(rows, np.float32)
        return torch.from_numpy(made[None, None]).to(loc.device)

    def _of_image(self, image: int, decoded: list[np.ndarray], scores: np.ndarray) -> list[list[float]]:
        kept: list[tuple[int, int]] = []  # class and box
        for label in range(self.classes):
            if label == self.background:
                continue
            boxes = decoded[0] if self.share_location else decoded[label]
            order = np.argsort(-scores[:, label], kind="stable")
            order = order[scores[order, label] > self.confidence]
            order = order[: self.nms_top_k] if self.nms_top_k > -1 else order
            kept += [(label, box) for box in _multibox.suppress(boxes, order, self.nms_threshold, self.eta)]
        if -1 < self.keep_top_k < len(kept):
            kept.sort(key=lambda pair: -scores[pair[1], pair[0]])
            kept = sorted(kept[: self.keep_top_k], key=lambda pair: pair[0])
        return [
            [image, label, scores[box, label], *decoded[0 if self.share_location else label][box]]
            for label, box in kept
        ]
