"""Boxes proposed by a network: decoded, cut, suppressed, told apart by size."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError, NotSupportedError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.detection._boxes import area, clip, suppress, suppress_softly, transform

_LEGACY = Arg(
    "legacy_plus_one", int, 1, "1: a box from x to x is one pixel wide; 0: it is empty", choices=(0, 1)
)
_ANGLES = (
    Arg("angle_bound_on", bool, True, "for rotated boxes"),
    Arg("angle_bound_lo", int, -90, "for rotated boxes, degrees"),
    Arg("angle_bound_hi", int, 90, "for rotated boxes, degrees"),
    Arg("clip_angle_thresh", float, 1.0, "for rotated boxes, degrees"),
)


def _no_rotation(operator: Operator) -> NotSupportedError:
    return NotSupportedError(f"{operator.op}: rotated boxes are not done; use upright ones.")


class BBoxTransform(Operator):
    """box_out = rois moved by deltas, for each class, and cut to the image.

    Shapes:   rois: (R, 4), or (R, 5) with the image's number first; deltas: (R, 4 * classes); im_info: (N, 3) of
              height, width, scale -> box_out: as deltas; roi_batch_splits: (N,), boxes of each image
    Raises:   ShapeError if they do not fit; NotSupportedError for rotated boxes.
    Source:   caffe2/operators/bbox_transform_op.h
    """

    inputs = (Port("rois", FLOAT, "R *"), Port("deltas", FLOAT, "R *"), Port("im_info", FLOAT, "N 3"))
    outputs = (Port("box_out"), Port("roi_batch_splits", optional=True))
    args = (
        Arg("weights", [float], [1.0, 1.0, 1.0, 1.0], "the deltas are divided by them"),
        Arg("apply_scale", bool, True, "1: boxes are in the scaled image, as rois are; 0: in the original"),
        Arg("rotated", bool, False, "boxes have an angle"),
        *_ANGLES,
        _LEGACY,
    )

    def setup(self) -> None:
        if self.rotated:
            raise _no_rotation(self)
        if len(self.weights) != 4:
            self.refuse(f"argument 'weights' must be 4 numbers, got {len(self.weights)}.", ArgumentError)

    def check(self, rois: Tensor, deltas: Tensor, info: Tensor) -> None:
        if rois.shape[1] not in (4, 5) or deltas.shape[1] % 4 or (rois.shape[1] == 4 and info.shape[0] != 1):
            self.refuse("rois must be (R, 4) for one image or (R, 5), and deltas (R, 4 * classes).")

    def kernel(self, rois: Tensor, deltas: Tensor, info: Tensor) -> tuple[Tensor, Tensor]:
        images = rois[:, 0].long() if rois.shape[1] == 5 else rois.new_zeros(len(rois), dtype=torch.int64)
        if len(images) and not 0 <= int(images.min()) <= int(images.max()) < len(info):
            self.refuse(f"a box names an image that is not one of {len(info)}.")
        made = torch.zeros_like(deltas)
        for n, (height, width, scale) in enumerate(info.tolist()):
            mine = images == n
            bounds = (int(height / scale + 0.5), int(width / scale + 0.5))
            boxes = rois[mine][:, -4:] / scale
            for part in range(0, deltas.shape[1], 4):
                moved = transform(boxes, deltas[mine][:, part : part + 4], self.weights, self.legacy_plus_one)
                cut = clip(moved, *bounds, self.legacy_plus_one)
                made[mine, part : part + 4] = cut * scale if self.apply_scale else cut
        return made, torch.bincount(images, minlength=len(info)).float()

    def infer(self, rois: Tensor, deltas: Tensor, info: Tensor) -> tuple[Tensor, ...]:
        return torch.empty_like(deltas), info.new_empty(info.shape[0])


class GenerateProposals(Operator):
    """The best boxes of each image: anchors moved by deltas, cut to the image, suppressed.

    Shapes:   scores: (N, A, H, W); bbox_deltas: (N, 4 * A, H, W); im_info: (N, 3) of height, width, scale;
              anchors: (A, 4) -> rois: (R, 5) of image number and box; rois_probs: (R,)
    Raises:   ShapeError if they do not fit; NotSupportedError for rotated anchors.
    Source:   caffe2/operators/generate_proposals_op.h
    """

    inputs = (
        Port("scores", FLOAT, "N A H W"),
        Port("bbox_deltas", FLOAT, "N * H W"),
        Port("im_info", FLOAT, "N 3"),
        Port("anchors", FLOAT, "A *"),
    )
    outputs = (Port("rois"), Port("rois_probs"))
    args = (
        Arg("spatial_scale", float, 1 / 16, "pixels of scores for a pixel of the image"),
        Arg("pre_nms_topN", int, 6000, "boxes of an image before suppression; 0 or less: all"),
        Arg("post_nms_topN", int, 300, "boxes of an image after it; 0 or less: all"),
        Arg("nms_thresh", float, 0.7, "overlap above which the worse box goes; 0 or less: none go"),
        Arg("min_size", float, 16.0, "least width and height, pixels of the original image"),
        *_ANGLES,
        _LEGACY,
    )

    def check(self, scores: Tensor, deltas: Tensor, info: Tensor, anchors: Tensor) -> None:
        if anchors.shape[1] == 5:
            raise _no_rotation(self)
        if anchors.shape[1] != 4 or deltas.shape[1] != 4 * anchors.shape[0]:
            self.refuse(
                f"anchors must be (A, 4) and bbox_deltas (N, 4 * A, H, W); got {tuple(anchors.shape)}."
            )

    def kernel(self, scores: Tensor, deltas: Tensor, info: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        height, width = scores.shape[2:]
        y, x = (torch.arange(n, device=scores.device) / self.spatial_scale for n in (height, width))
        shifts = torch.stack(torch.broadcast_tensors(x, y[:, None]), -1).repeat(1, 1, 2)
        everywhere = (shifts[:, :, None] + anchors).reshape(-1, 4)
        found = []
        for n in range(len(scores)):
            mine = deltas[n].reshape(-1, 4, height, width).permute(2, 3, 0, 1).reshape(-1, 4)
            boxes, probs = self._image(
                scores[n].permute(1, 2, 0).reshape(-1), mine, info[n].tolist(), everywhere
            )
            found.append((torch.cat((boxes.new_full((len(boxes), 1), n), boxes), 1), probs))
        if not found:
            return scores.new_zeros(0, 5), scores.new_zeros(0)
        return torch.cat([boxes for boxes, _ in found]), torch.cat([probs for _, probs in found])

    def _image(
        self, scores: Tensor, deltas: Tensor, info: list[float], anchors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Boxes of one image and their scores, best first."""
        one = self.legacy_plus_one
        scores, order = torch.sort(scores, descending=True, stable=True)
        if 0 < self.pre_nms_topN < len(order):
            scores, order = scores[: self.pre_nms_topN], order[: self.pre_nms_topN]
        boxes = transform(anchors[order], deltas[order], [1.0] * 4, one)
        boxes = clip(boxes, int(info[0]), int(info[1]), one)
        sizes = boxes[:, 2:] - boxes[:, :2] + one
        centres = boxes[:, :2] + sizes / 2
        inside = (centres < centres.new_tensor([info[1], info[0]])).all(1)
        kept = ((sizes >= self.min_size * info[2]).all(1) & inside).nonzero().reshape(-1)
        most = self.post_nms_topN if self.post_nms_topN > 0 else -1
        if self.nms_thresh > 0:
            kept = suppress(boxes, kept, self.nms_thresh, most, one)
        elif most >= 0:
            kept = kept[:most]
        return boxes[kept], scores[kept]

    def infer(self, *_: Tensor) -> None:
        return None


class GenerateProposalsCPP(GenerateProposals):
    """Another name of GenerateProposals.

    Source:   caffe2/operators/generate_proposals_op.h
    """


class BoxWithNMSLimit(Operator):
    """The best boxes of each image and class: above a score, suppressed, and no more than so many an image.

    Shapes:   scores: (R, classes), class 0 the background; boxes: (R, 4 * classes); batch_splits: (N,), boxes of each
              image, all one image if left out -> scores: (D,); boxes: (D, 4); classes: (D,); batch_splits: (N,);
              keeps: (D,) int32, rows within their image; keeps_size: (N, classes) int32
    Raises:   ShapeError if they do not fit; ArgumentError for an unknown method; NotSupportedError for rotated boxes.
    Source:   caffe2/operators/box_with_nms_limit_op.h
    """

    inputs = (
        Port("scores", FLOAT, "R *"),
        Port("boxes", FLOAT, "R *"),
        Port("batch_splits", FLOAT, "N", optional=True),
    )
    outputs = (
        Port("scores"),
        Port("boxes"),
        Port("classes"),
        Port("batch_splits", optional=True),
        Port("keeps", optional=True),
        Port("keeps_size", optional=True),
    )
    args = (
        Arg("score_thresh", float, 0.05, "scores up to this do not count"),
        Arg("nms", float, 0.3, "overlap above which the worse box of a class goes"),
        Arg("detections_per_im", int, 100, "boxes of an image; 0 or less: all"),
        Arg("soft_nms_enabled", bool, False, "1: worse boxes lose score instead"),
        Arg("soft_nms_method", str, "linear", "how they lose it", choices=("linear", "gaussian")),
        Arg("soft_nms_sigma", float, 0.5, "width of the Gaussian"),
        Arg("soft_nms_min_score_thres", float, 0.001, "boxes of less score go"),
        Arg("rotated", bool, False, "boxes have an angle"),
        Arg("cls_agnostic_bbox_reg", bool, False, "1: all classes share one box"),
        Arg("input_boxes_include_bg_cls", bool, True, "0: boxes have no background class"),
        Arg("output_classes_include_bg_cls", bool, True, "0: classes are counted without the background"),
        _LEGACY,
    )

    def setup(self) -> None:
        if self.rotated:
            raise _no_rotation(self)
        self.one = self.legacy_plus_one

    def check(self, scores: Tensor, boxes: Tensor, *splits: Tensor) -> None:
        wanted = self._place(scores.shape[1] - 1) + 4
        if boxes.shape[1] != wanted:
            self.refuse(
                f"boxes must have {wanted} columns for {scores.shape[1]} classes, got {boxes.shape[1]}."
            )

    def kernel(self, scores: Tensor, boxes: Tensor, *splits: Tensor) -> tuple[Tensor, ...]:
        sizes = [int(n) for n in splits[0].tolist()] if splits else [len(scores)]
        if sum(sizes) != len(scores) or min(sizes, default=0) < 0:
            self.refuse(f"batch_splits add up to {sum(sizes)}, but there are {len(scores)} boxes.")
        images = [self._image(s, b) for s, b in zip(scores.split(sizes), boxes.split(sizes), strict=True)]
        first = 0 if self.output_classes_include_bg_cls else 1
        columns: list[list[Tensor]] = [[], [], [], []]
        counts = torch.zeros(len(sizes), scores.shape[1], dtype=torch.int32)
        for n, (image, mine) in enumerate(zip(images, boxes.split(sizes), strict=True)):
            for j, (rows, values) in enumerate(image, start=1):
                counts[n, j] = len(rows)
                columns[0].append(values)
                columns[1].append(mine[rows, self._place(j) : self._place(j) + 4])
                columns[2].append(values.new_full((len(rows),), j - first))
                columns[3].append(rows.int())
        blank = (
            scores.new_zeros(0),
            scores.new_zeros(0, 4),
            scores.new_zeros(0),
            scores.new_zeros(0, dtype=torch.int32),
        )
        joined = [torch.cat(c) if c else e for c, e in zip(columns, blank, strict=True)]
        counts = counts.to(scores.device)
        return (*joined[:3], counts.sum(1).float(), joined[3], counts)

    def _place(self, j: int) -> int:
        """First column of class j's boxes."""
        if self.cls_agnostic_bbox_reg:
            return 0
        return 4 * (j if self.input_boxes_include_bg_cls else j - 1)

    def _image(self, scores: Tensor, boxes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each class but the background: rows of its boxes, and their scores."""
        # without a background among the boxes, its scores are the last column
        first = 0 if self.input_boxes_include_bg_cls else 1
        found = [
            self._class(scores[:, j - first], boxes[:, self._place(j) :][:, :4])
            for j in range(1, scores.shape[1])
        ]
        limit = self.detections_per_im
        if 0 < limit < sum(len(rows) for rows, _ in found):
            values = torch.cat([values for _, values in found])
            kept = torch.zeros(len(values), dtype=torch.bool, device=values.device)
            kept[values.sort(descending=True, stable=True).indices[:limit]] = True
            masks = kept.split([len(rows) for rows, _ in found])
            found = [(rows[mask], of[mask]) for (rows, of), mask in zip(found, masks, strict=True)]
        return found

    def _class(self, scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        high = (scores > self.score_thresh).nonzero().reshape(-1)
        if self.soft_nms_enabled:
            limits = (self.soft_nms_sigma, self.nms, self.soft_nms_min_score_thres)
            kept, scores = suppress_softly(boxes, scores, high, self.soft_nms_method, limits, self.one)
        else:
            order = high[torch.argsort(scores[high], descending=True, stable=True)]
            kept = suppress(boxes, order, self.nms, -1, self.one)
        return kept, scores[kept]

    def infer(self, *_: Tensor) -> None:
        return None


_LEVELS = (
    Arg("roi_canonical_scale", int, 224, "size of boxes of the canonical level, pixels"),
    Arg("roi_canonical_level", int, 4, "their level"),
    Arg("roi_max_level", int, 5, "the last level"),
    Arg("roi_min_level", int, 2, "the first level"),
    _LEGACY,
)
_COLLECT = (
    Arg("rpn_max_level", int, 6, "the last level of proposals"),
    Arg("rpn_min_level", int, 2, "the first level of proposals"),
    Arg("rpn_post_nms_topN", int, 2000, "boxes to keep"),
)


class _Levels(Operator, abstract=True):
    def collect(self, *inputs: Tensor) -> Tensor:
        """The best boxes of all levels, by falling score."""
        half = len(inputs) // 2
        rois, probs = torch.cat(inputs[:half]), torch.cat([p.reshape(-1) for p in inputs[half:]])
        if len(rois) != len(probs):
            self.refuse(f"there are {len(probs)} probabilities for {len(rois)} boxes.")
        return rois[torch.argsort(probs, descending=True, stable=True)[: self.rpn_post_nms_topN]]

    def check_collected(self) -> None:
        """Refuse another number of inputs than two for each level."""
        levels = self.rpn_max_level - self.rpn_min_level + 1
        if self.num_inputs != 2 * levels:
            self.refuse(f"takes {2 * levels} inputs, boxes and probabilities of {levels} levels.", ArityError)

    def distribute(self, rois: Tensor) -> list[Tensor]:
        """The boxes of each level, then the place of each box among them."""
        size = area(rois[:, 1:], self.legacy_plus_one).clamp(min=0).sqrt()
        level = self.roi_canonical_level + torch.log2(size / self.roi_canonical_scale + 1e-6)
        level = level.floor().clamp(self.roi_min_level, self.roi_max_level).long()
        order = torch.argsort(level, stable=True)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        return [*(rois[level == k] for k in range(self.roi_min_level, self.roi_max_level + 1)), back.int()]

    def check_distributed(self, others: int) -> None:
        """Refuse another number of outputs than one for each level, and ``others``."""
        wanted = self.roi_max_level - self.roi_min_level + 1 + others
        if self.num_outputs != wanted:
            self.refuse(f"makes {wanted} outputs for these levels, got {self.num_outputs}.", ArityError)

    def check(self, *inputs: Tensor) -> None:
        half = len(inputs) if len(inputs) == 1 else len(inputs) // 2
        if any(rois.dim() != 2 or rois.shape[1] != 5 for rois in inputs[:half]):
            self.refuse("boxes must be (R, 5): image number and box.")

    def infer(self, *_: Tensor) -> None:
        return None


class CollectRpnProposals(_Levels):
    """rois = the best boxes of all levels, by falling score.

    Shapes:   boxes: (R, 5) for each level, then probabilities: (R,) -> (up to rpn_post_nms_topN, 5)
    Source:   caffe2/operators/collect_and_distribute_fpn_rpn_proposals_op.h
    """

    inputs: ClassVar[tuple[Port, ...]] = (Port("rois_and_probs", FLOAT, many=True, at_least=2),)
    outputs = (Port("rois"),)
    args = _COLLECT

    def setup(self) -> None:
        self.check_collected()

    def kernel(self, *inputs: Tensor) -> Tensor:
        return self.collect(*inputs)


class DistributeFpnProposals(_Levels):
    """The boxes of each level, by their size; and the place of each box among them.

    level = floor(canonical level + log2(sqrt(area) / canonical scale)), within the levels there are.

    Shapes:   rois: (R, 5) -> (r, 5) for each level; rois_idx_restore: (R,) int32
    Source:   caffe2/operators/collect_and_distribute_fpn_rpn_proposals_op.h
    """

    inputs = (Port("rois", FLOAT),)
    outputs = (Port("rois_and_index", many=True, at_least=2),)
    args = _LEVELS

    def setup(self) -> None:
        self.check_distributed(1)

    def kernel(self, rois: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.distribute(rois))


class CollectAndDistributeFpnRpnProposals(_Levels):
    """CollectRpnProposals, then DistributeFpnProposals.

    Shapes:   boxes: (R, 5) for each level of proposals, then probabilities: (R,) -> rois: (R', 5);
              (r, 5) for each level; rois_idx_restore: (R',) int32
    Source:   caffe2/operators/collect_and_distribute_fpn_rpn_proposals_op.h
    """

    inputs = CollectRpnProposals.inputs
    outputs = (Port("rois_and_index", many=True, at_least=3),)
    args = (*_LEVELS, *_COLLECT)

    def setup(self) -> None:
        self.check_collected()
        self.check_distributed(2)

    def kernel(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        rois = self.collect(*inputs)
        return (rois, *self.distribute(rois))
