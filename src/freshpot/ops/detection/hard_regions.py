"""Regions with the greatest loss, to learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


class HardRegions(Operator):
    """Labels and weights of each image's ``regions`` regions with the greatest loss; ignore_label and 0 of the others.

    Shapes:   rois: (R, 5, …) with the image's number first, loss, labels: R * (…) elements; weights: (R, K, …)
              -> kept_labels: (R, 1, …), kept_weights: as weights
    Raises:   ShapeError if they do not fit; ArgumentError unless regions is greater than 0.
    Source:   Shrivastava et al., 2016; Dai et al., R-FCN, 2016: the layer BoxAnnotatorOHEM
    """

    inputs = (Port("rois", FLOAT), Port("loss", FLOAT), Port("labels", FLOAT), Port("weights", FLOAT))
    outputs = (Port("kept_labels"), Port("kept_weights"))
    args = (
        Arg("regions", int, doc="how many regions of an image are kept"),
        Arg("ignore_label", int, -1, "label of the others"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if self.regions < 1:
            self.refuse(f"regions must be greater than 0, got {self.regions}.", ArgumentError)

    def check(self, rois: Tensor, loss: Tensor, labels: Tensor, weights: Tensor) -> None:
        places = (rois.shape[0], *rois.shape[2:])
        count = rois.numel() // 5 if rois.dim() > 1 and rois.shape[1] == 5 else -1
        fits = loss.numel() == labels.numel() == count and weights.dim() > 1
        if not fits or (weights.shape[0], *_without_ones(weights.shape[2:])) != (
            places[0],
            *_without_ones(places[1:]),
        ):
            self.refuse(
                f"rois {tuple(rois.shape)} must be (R, 5, …), with a loss {tuple(loss.shape)}, a label "
                f"{tuple(labels.shape)} and weights {tuple(weights.shape)} for each."
            )

    def infer(self, rois: Tensor, loss: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        return rois.new_empty(rois.shape[0], 1, *weights.shape[2:]), weights

    def kernel(self, rois: Tensor, loss: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        images = rois.flatten(2)[:, 0].flatten() if rois.dim() > 2 else rois[:, 0]
        order = loss.flatten().argsort(descending=True, stable=True)
        kept = torch.zeros(len(order), dtype=torch.bool, device=order.device)
        for image in images.unique():
            kept[order[images[order] == image][: self.regions]] = True
        kept_labels = torch.where(kept, labels.flatten(), float(self.ignore_label))
        places = kept.view(len(rois), 1, -1)
        kept_weights = weights.flatten(2) if weights.dim() > 2 else weights[:, :, None]
        return kept_labels.view(len(rois), 1, *weights.shape[2:]), (kept_weights * places).view(weights.shape)


def _without_ones(sizes: torch.Size | tuple[int, ...]) -> list[int]:
    return [size for size in sizes if size != 1]
