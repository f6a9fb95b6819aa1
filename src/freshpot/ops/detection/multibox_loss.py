"""The loss of a detector: boxes and classes of prior boxes that match true ones, and of hard ones that do not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from freshpot.errors import ArgumentError, KernelError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient
from freshpot.ops.detection import _multibox
from freshpot.ops.detection.detection_output import check_predictions

_TINY = torch.finfo(torch.float32).tiny


@dataclass
class _Matched:
    """What one image's prior boxes learn, for one set of locations: all of one row each."""

    image: int
    sets: int  # which set of locations
    truths: Tensor  # (G, 4)
    labels: Tensor  # (G,)
    found: Tensor  # (P,): number of the true box; -1 none, -2 ignored
    best: Tensor  # (P,): greatest overlap
    negatives: Tensor  # (n,): prior boxes that learn to be background

    @property
    def positives(self) -> Tensor:
        return (self.found > -1).nonzero()[:, 0]

    @property
    def taken(self) -> Tensor:
        """The numbers of the positives' true boxes."""
        return self.found[self.found > -1]


class MultiBoxLoss(Operator):
    """loss = (loc_weight * loss of the matched boxes' locations + loss of classes) / normalizer.

    A prior box matches the true box that it overlaps most, if by at least ``overlap``, and each true box has the
    prior box that overlaps it most (`_multibox.match`). Classes are learnt by the matched boxes and, with mining, by
    the ``neg_pos_ratio`` times as many others of an image whose loss is greatest (HARD_EXAMPLE: by the
    ``sample_size`` boxes whose loss is greatest); without, by all.

    Shapes:   loc: (N, P * 4) or (N, P * classes * 4), conf: (N, P * classes), priors: (1, 2, P * 4),
              truth: (1, 1, G, 8) of image, label, instance, x1, y1, x2, y2, difficult (image -1: no box)
              -> loss: (); of_loc, of_conf: the gradients for a dloss of 1
    Raises:   ShapeError if they do not fit; KernelError for a label that is the background or no class;
              ArgumentError for mining with share_location 0.
    Differs:  with encode_variance_in_target the gradient lacks the division by the variances, as the original's.
    Source:   Liu et al., SSD, 2016: the layer MultiBoxLoss
    """

    inputs = (Port("loc", FLOAT), Port("conf", FLOAT), Port("priors", FLOAT), Port("truth", FLOAT))
    outputs = (Port("loss"), Port("of_loc"), Port("of_conf"))
    args = (
        Arg("classes", int, doc="number of classes with the background"),
        Arg("share_location", int, 1, "1: one box for all classes; 0: one for each"),
        Arg("background", int, 0, "the class of boxes that match nothing"),
        Arg("loc_loss", str, "SMOOTH_L1", "of locations", choices=("L2", "SMOOTH_L1")),
        Arg("conf_loss", str, "SOFTMAX", "of classes", choices=("SOFTMAX", "LOGISTIC")),
        Arg("loc_weight", float, 1.0, "factor of the locations' loss"),
        Arg("match", str, "PER_PREDICTION", "which boxes match", choices=("BIPARTITE", "PER_PREDICTION")),
        Arg("overlap", float, 0.5, "least overlap of boxes that match"),
        Arg("match_priors", int, 1, "1: the prior boxes are matched; 0: the predicted ones"),
        Arg("use_difficult", int, 1, "1: difficult boxes count"),
        Arg("mining", str, "MAX_NEGATIVE", "choice", choices=("NONE", "MAX_NEGATIVE", "HARD_EXAMPLE")),
        Arg("neg_pos_ratio", float, 3.0, "boxes without a match for one with"),
        Arg("neg_overlap", float, 0.5, "overlap from which on a box without a match is not mined"),
        Arg("sample_size", int, 64, "boxes of an image that HARD_EXAMPLE keeps"),
        Arg("code", str, "CORNER", "how boxes are coded", choices=_multibox.CODES),
        Arg("variance_in_target", int, 0, "1: the variances divide predictions and targets alike"),
        Arg("agnostic", int, 0, "1: every true box has the class after the background"),
        Arg("ignore_crossing", int, 0, "1: boxes that reach out of the image do not learn"),
        Arg("inside_only", int, 0, "1: coordinates outside the image do not learn"),
        Arg(
            "nms_threshold", float, 0.0, "if > 0: mined boxes that overlap a harder one by more do not count"
        ),
        Arg("nms_top_k", int, -1, "boxes looked at for that; -1: all"),
        Arg("nms_priors", int, 0, "1: prior boxes overlap there, not the predicted ones"),
        Arg("normalization", str, "VALID", "of the sum", choices=("FULL", "VALID", "BATCH_SIZE", "NONE")),
        Arg("learn", [int], [1, 1], "whether the loss has the part of locations, of classes"),
    )

    def setup(self) -> None:
        if self.classes < 1 or not -1 <= self.background < self.classes:
            self.refuse(
                f"background must be one of {self.classes} classes, got {self.background}.", ArgumentError
            )
        if self.mining != "NONE" and not self.share_location:
            self.refuse("mining needs share_location.", ArgumentError)

    def check(self, loc: Tensor, conf: Tensor, priors: Tensor, truth: Tensor) -> None:
        check_predictions(self, loc, conf, priors)
        if truth.dim() != 4 or truth.shape[:2] != (1, 1) or truth.shape[3] != 8:
            self.refuse(f"the true boxes must be (1, 1, G, 8), got {tuple(truth.shape)}.")

    def infer(self, loc: Tensor, conf: Tensor, priors: Tensor, truth: Tensor) -> tuple[Tensor, ...]:
        return loc.new_empty(()), loc, conf

    # ---- the pass ----------------------------------------------------------------------------------
    def kernel(self, loc: Tensor, conf: Tensor, priors: Tensor, truth: Tensor) -> tuple[Tensor, ...]:
        count = priors.shape[2] // 4
        boxes, variances = priors.view(2, count, 4)
        locations = loc.reshape(len(loc), count, -1, 4)
        scores = conf.reshape(len(conf), count, self.classes)
        matched = self._match(locations, boxes, variances, truth)
        if self.mining != "NONE":
            self._mine(matched, locations, scores, boxes, variances)
        matches = sum(len(m.taken) for m in matched)
        scale = 1.0 / self._normalizer(len(loc), count, matches)
        of_loc, of_conf = torch.zeros_like(locations), torch.zeros_like(scores)
        loss = loc.new_zeros(())
        if self.learn[0] and matches:
            pairs = [(m, self._location_errors(m, locations, boxes, variances)) for m in matched]
            loss = loss + self.loc_weight * sum(self._loc_loss(e).sum() for _, e in pairs) * scale
            for m, errors in pairs:
                slope = errors.clamp(-1, 1) if self.loc_loss == "SMOOTH_L1" else errors
                of_loc[m.image, m.positives, m.sets] = slope * (self.loc_weight * scale)
        if self.learn[1]:
            rows, columns, targets = self._targets(matched, scores)
            terms, slope = self._conf_loss(scores[rows, columns], targets)
            loss = loss + terms.sum() * scale
            of_conf[rows, columns] = slope * scale
        return loss, of_loc.view(loc.shape), of_conf.view(conf.shape)

    @gradient("of_loc of_conf dloss -> dloc dconf")
    def backward(self, of_loc: Tensor, of_conf: Tensor, dloss: Tensor) -> tuple[Tensor, Tensor]:
        return of_loc * dloss, of_conf * dloss

    def _normalizer(self, images: int, priors: int, matches: int) -> float:
        counts = {"FULL": images * priors, "VALID": matches, "BATCH_SIZE": images, "NONE": 1}
        return max(1.0, counts[self.normalization])

    # ---- matching and mining -----------------------------------------------------------------------
    def _match(self, locations: Tensor, boxes: Tensor, variances: Tensor, truth: Tensor) -> list[_Matched]:
        rows = truth[0, 0]
        rows = rows[rows[:, 0] != -1]
        labels = rows[:, 1].long()
        if len(labels) and bool(
            ((labels == self.background) | (labels < 0) | (labels >= self.classes)).any()
        ):
            self.refuse(
                f"labels of true boxes must be from 0 to {self.classes - 1} and not the background {self.background}, "
                f"got {sorted(set(labels.tolist()))}.",
                KernelError,
            )
        if not self.use_difficult:
            rows = rows[rows[:, 7] == 0]
        matched = []
        for image in range(len(locations)):
            own = rows[rows[:, 0].long() == image]
            if len(own):
                matched += self._match_image(image, locations[image], boxes, variances, own)
        return matched

    def _match_image(
        self, image: int, locations: Tensor, boxes: Tensor, variances: Tensor, rows: Tensor
    ) -> list[_Matched]:
        truths, labels = rows[:, 3:7], rows[:, 1].long()
        threshold = self.overlap if self.match == "PER_PREDICTION" else None
        none = labels.new_zeros(0)
        priors_found = (
            _multibox.match(boxes, truths, threshold, bool(self.ignore_crossing))
            if self.match_priors
            else None
        )
        made = []
        for k in range(locations.shape[1]):
            if not self.share_location and k == self.background:
                continue
            if priors_found is None:
                predicted = self._decoded(locations[:, k], boxes, variances)
                wanted = torch.arange(len(truths)) if self.share_location else (labels == k).nonzero()[:, 0]
                found, best = _multibox.match(
                    predicted, truths[wanted], threshold, bool(self.ignore_crossing)
                )
                found = torch.where(found > -1, wanted[found.clamp(min=0)], found) if len(wanted) else found
            else:
                found, best = (t.clone() for t in priors_found)
                if not self.share_location:
                    found[(found > -1) & (labels[found.clamp(min=0)] != k)] = -1
                    found[found < -1] = -1
            made.append(_Matched(image, k, truths, labels, found, best, none))
        return made

    def _decoded(self, coded: Tensor, boxes: Tensor, variances: Tensor) -> Tensor:
        return _multibox.decode(self.code, coded, boxes, None if self.variance_in_target else variances)

    def _mine(
        self, matched: list[_Matched], locations: Tensor, scores: Tensor, boxes: Tensor, variances: Tensor
    ) -> None:
        """Choose the boxes without a match that learn; HARD_EXAMPLE also chooses among those with one."""
        hard = self.mining == "HARD_EXAMPLE"
        for m in matched:
            wanted = torch.full_like(m.found, self.background)
            wanted[m.positives] = m.labels[m.taken]
            loss = self._loss_of_labels(scores[m.image], wanted)
            if hard:
                errors = self._location_errors(m, locations, boxes, variances)
                loss[m.positives] += self._loc_loss(errors).sum(1)
            eligible = torch.ones_like(wanted, dtype=torch.bool)
            most = self.sample_size
            if not hard:
                eligible = (m.found == -1) & (m.best < self.neg_overlap)
                most = int(len(m.taken) * self.neg_pos_ratio)
            places = eligible.nonzero()[:, 0]
            order = places[loss[places].argsort(descending=True, stable=True)]
            if self.nms_threshold > 0:
                at = boxes if self.nms_priors else self._decoded(locations[m.image, :, 0], boxes, variances)
                looked_at = order[: self.nms_top_k] if self.nms_top_k > -1 else order
                kept = _multibox.suppress(at.cpu().numpy(), looked_at.cpu().numpy(), self.nms_threshold)
                order = order.new_tensor(kept)
            chosen = torch.zeros_like(eligible)
            chosen[order[:most]] = True
            m.negatives = (chosen & (m.found == -1)).nonzero()[:, 0]
            if hard:
                m.found[(m.found > -1) & ~chosen] = -1

    def _loss_of_labels(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss of each box (P, classes) if that were its label."""
        if self.conf_loss == "SOFTMAX":
            return scores.softmax(1).gather(1, labels[:, None])[:, 0].clamp(min=_TINY).log().neg()
        targets = functional.one_hot(labels.clamp(min=0), self.classes).to(scores.dtype)
        targets *= (labels >= 0)[:, None]
        return functional.binary_cross_entropy_with_logits(scores, targets, reduction="none").sum(1)

    # ---- the two losses ----------------------------------------------------------------------------
    def _location_errors(self, m: _Matched, locations: Tensor, boxes: Tensor, variances: Tensor) -> Tensor:
        """Predicted less wanted locations of the positives, (n, 4)."""
        at = m.positives
        predicted, own = locations[m.image, at, m.sets], variances[at]
        wanted = _multibox.encode(
            self.code, m.truths[m.taken], boxes[at], None if self.variance_in_target else own
        )
        errors = predicted - wanted
        if self.inside_only:
            box = boxes[at] if self.match_priors else self._decoded(predicted, boxes[at], own)
            errors = torch.where((box < 0) | (box > 1), 0.0, errors)
        return errors / own if self.variance_in_target else errors

    def _loc_loss(self, errors: Tensor) -> Tensor:
        if self.loc_loss == "L2":
            return errors.square() / 2
        return functional.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none")

    def _targets(self, matched: list[_Matched], scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which boxes learn their class (images, boxes), and what: labels, or (LOGISTIC) rows of targets."""
        rows, columns, labels, positive = [], [], [], []
        for m in matched:
            wanted = torch.full_like(m.taken, self.background + 1) if self.agnostic else m.labels[m.taken]
            places = torch.cat((m.positives, m.negatives))
            rows.append(torch.full_like(places, m.image))
            columns.append(places)
            labels.append(torch.cat((wanted, torch.full_like(m.negatives, self.background))))
            positive.append(torch.arange(len(places)) < len(wanted))
        empty = [torch.zeros(0, dtype=torch.long, device=scores.device)]
        at, box, label = (torch.cat([*empty, *parts]) for parts in (rows, columns, labels))
        if self.mining == "NONE":
            every = torch.full(scores.shape[:2], self.background, dtype=torch.long, device=scores.device)
            every[at, box] = label
            at, box = (
                t.flatten() for t in torch.meshgrid(*map(torch.arange, scores.shape[:2]), indexing="ij")
            )
            at, box, label = at.to(scores.device), box.to(scores.device), every.flatten()
        if self.conf_loss == "SOFTMAX":
            return at, box, label
        targets = scores.new_zeros(len(label), self.classes)
        learnt = label >= 0 if self.mining != "NONE" else (label >= 0) & (label != self.background)
        targets[learnt.nonzero()[:, 0], label[learnt]] = 1
        return at, box, targets

    def _conf_loss(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Losses, and their gradients for the scores."""
        if self.conf_loss == "LOGISTIC":
            losses = functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
            return losses, scores.sigmoid() - targets
        shares = scores.softmax(1)
        losses = shares.gather(1, targets[:, None]).clamp(min=_TINY).log().neg()
        return losses, shares - functional.one_hot(targets, self.classes).to(shares.dtype)
