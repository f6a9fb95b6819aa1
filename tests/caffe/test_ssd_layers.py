"""The layers of SSD's branch of Caffe, against plain Python written from the paper and the branch's definitions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from fork_layers import check_refusal, numeric, run_layer

import caffe
from freshpot.errors import ArgumentError, FreshpotError, KernelError, NotSupportedError, ShapeError

close = np.testing.assert_allclose
Box = tuple[float, float, float, float]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# ---- layers without boxes ------------------------------------------------------------------------
@pytest.mark.parametrize("order", [[0, 2, 3, 1], [1], [0, 1, 2, 3], [3, 2]])
def test_permute(tmp_path: Path, order: list[int]) -> None:
    x = normal(2, 3, 4, 5)
    axes = order + [i for i in range(4) if i not in order]
    seed = normal(*(x.shape[i] for i in axes), seed=1)
    ran = run_layer(
        tmp_path, f'type: "Permute" permute_param {{ order: {order} }}', {"x": x}, seeds={"y": seed}
    )
    close(ran.top(), x.transpose(axes))
    close(ran.diffs["x"].transpose(axes), seed)


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_normalize(tmp_path: Path, across: bool, shared: bool) -> None:
    x, seed = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)
    scale = np.float32(1.7) if shared else normal(3, seed=2)
    text = f'type: "Normalize" norm_param {{ across_spatial: {across} channel_shared: {shared} }}'.replace(
        "True", "true"
    )
    ran = run_layer(tmp_path, text.replace("False", "false"), {"x": x}, params=[scale], seeds={"y": seed})
    axes = (1, 2, 3) if across else (1,)
    factor = np.reshape(scale, (1, -1, 1, 1))

    def unit(v: np.ndarray) -> np.ndarray:
        return v / np.sqrt((v**2).sum(axes, keepdims=True) + 1e-10)

    close(ran.top(), unit(x) * factor, rtol=1e-5, atol=1e-6)
    # the branch scales the gradient of the unit vector, channel by channel
    close(ran.diffs["x"], factor * numeric(lambda v: (unit(v) * seed).sum(), x), rtol=1e-3, atol=1e-5)
    along = (seed * unit(x)).sum() if shared else (seed * unit(x)).sum((0, 2, 3))
    close(ran.param_diff(0), along, rtol=1e-4, atol=1e-5)


def test_normalize_starts_with_a_scale_of_one(tmp_path: Path) -> None:
    ran = run_layer(tmp_path, 'type: "Normalize"', {"x": normal(2, 3, 4, 5)})
    close((ran.top() ** 2).sum((1, 2, 3)), [1, 1], rtol=1e-5)


# ---- prior boxes -----------------------------------------------------------------------------------
def priors(size, image, min_sizes, max_sizes, ratios, flip, clip, steps, offset) -> np.ndarray:
    known = [1.0]
    for r in ratios:
        if all(abs(r - k) > 1e-6 for k in known):
            known += [r, 1 / r] if flip else [r]
    made = []
    for h in range(size[0]):
        for w in range(size[1]):
            cy, cx = (h + offset) * steps[0], (w + offset) * steps[1]
            for k, least in enumerate(min_sizes):
                boxes = [(least, least)]
                if max_sizes:
                    boxes.append((math.sqrt(least * max_sizes[k]),) * 2)
                boxes += [(least * math.sqrt(r), least / math.sqrt(r)) for r in known[1:]]
                for bw, bh in boxes:
                    made += [
                        (cx - bw / 2) / image[1],
                        (cy - bh / 2) / image[0],
                        (cx + bw / 2) / image[1],
                        (cy + bh / 2) / image[0],
                    ]
    return np.clip(made, 0, 1) if clip else np.array(made)


@pytest.mark.parametrize(
    ("param", "image", "arguments", "variances"),
    [
        ("min_size: 6 variance: [0.1, 0.1, 0.2, 0.2]", (20, 30), ([6], [], [], True, False, (5, 6), 0.5),
         [0.1, 0.1, 0.2, 0.2]),
        ("min_size: 4 max_size: 9 aspect_ratio: [2, 3, 2] clip: true", (20, 30),
         ([4], [9], [2, 3], True, True, (5, 6), 0.5), [0.1]),
        ("min_size: [4, 7] max_size: [9, 12] aspect_ratio: 2 flip: false step: 8 offset: 0.25 variance: 0.3", (20, 30),
         ([4, 7], [9, 12], [2], False, False, (8, 8), 0.25), [0.3]),
        ("min_size: 5 img_h: 100 img_w: 50 step_h: 10 step_w: 7", (100, 50),
         ([5], [], [], True, False, (10, 7), 0.5), [0.1]),
        ("min_size: 5 img_size: 64", (64, 64), ([5], [], [], True, False, (16, 12.8), 0.5), [0.1]),
    ],
)  # fmt: skip
def test_prior_box(
    tmp_path: Path, param: str, image: tuple[int, int], arguments, variances: list[float]
) -> None:
    inputs = {"x": normal(2, 3, 4, 5), "image": normal(2, 3, 20, 30)}
    ran = run_layer(tmp_path, f'type: "PriorBox" prior_box_param {{ {param} }}', inputs)
    want = priors((4, 5), image, *arguments)
    assert ran.top().shape == (1, 2, want.size)
    close(ran.top()[0, 0], want, rtol=1e-5, atol=1e-6)
    close(ran.top()[0, 1], np.resize(variances, want.size), rtol=1e-6)


# ---- boxes in plain Python -------------------------------------------------------------------------
def iou(a: Box, b: Box) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = [0.0 if c[2] < c[0] or c[3] < c[1] else (c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return w * h / (sum(area) - w * h)


def encoded(code: str, box: Box, prior: Box, variance: Box) -> list[float]:
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        made = [b - p for b, p in zip(box, prior, strict=True)]
    elif code == "CORNER_SIZE":
        made = [(b - p) / s for b, p, s in zip(box, prior, (w, h, w, h), strict=True)]
    else:
        made = [
            ((box[0] + box[2]) / 2 - (prior[0] + prior[2]) / 2) / w,
            ((box[1] + box[3]) / 2 - (prior[1] + prior[3]) / 2) / h,
            math.log((box[2] - box[0]) / w), math.log((box[3] - box[1]) / h),
        ]  # fmt: skip
    return [m / v for m, v in zip(made, variance, strict=True)]


def decoded(code: str, coded: np.ndarray, prior: Box, variance: Box) -> Box:
    a, b, c, d = (float(x) * v for x, v in zip(coded, variance, strict=True))
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        return prior[0] + a, prior[1] + b, prior[2] + c, prior[3] + d
    if code == "CORNER_SIZE":
        return prior[0] + a * w, prior[1] + b * h, prior[2] + c * w, prior[3] + d * h
    x, y = (prior[0] + prior[2]) / 2 + a * w, (prior[1] + prior[3]) / 2 + b * h
    w, h = math.exp(c) * w, math.exp(d) * h
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def some_priors(count: int, seed: int = 0) -> tuple[np.ndarray, list[Box], list[Box]]:
    generator = np.random.default_rng(seed)
    corner, size = generator.random((count, 2)) * 0.6, 0.1 + 0.3 * generator.random((count, 2))
    boxes = np.concatenate((corner, corner + size), 1).astype(np.float32)
    variances = np.broadcast_to(np.float32([0.1, 0.1, 0.2, 0.2]), boxes.shape)
    blob = np.stack((boxes.ravel(), variances.ravel()))[None]
    return blob, [tuple(b) for b in boxes.tolist()], [tuple(v) for v in variances.tolist()]


# ---- output ----------------------------------------------------------------------------------------
def detections(
    loc, conf, boxes, variances, code, shared, threshold, nms, top_k, keep, eta=1.0
) -> list[list[float]]:
    rows = []
    P, classes = len(boxes), conf.shape[1] // len(boxes)
    for n in range(len(loc)):
        places = loc[n].reshape(P, -1, 4)
        scores = conf[n].reshape(P, classes)
        kept = []
        for c in range(1, classes):
            found = [decoded(code, places[p, 0 if shared else c], boxes[p], variances[p]) for p in range(P)]
            order = sorted((p for p in range(P) if scores[p, c] > threshold), key=lambda p: -scores[p, c])[
                :top_k
            ]
            mine: list[int] = []
            limit = nms
            for p in order:
                if all(iou(found[p], found[q]) <= limit for q in mine):
                    mine.append(p)
                    if eta < 1 and limit > 0.5:
                        limit *= eta
            kept += [(n, c, scores[p, c], *found[p]) for p in mine]
        if len(kept) > keep:
            best = sorted(kept, key=lambda row: -row[2])[:keep]
            kept = sorted(best, key=lambda row: row[1])
        rows += kept
    return [list(map(float, row)) for row in rows]


@pytest.mark.parametrize("code", ["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
@pytest.mark.parametrize(("shared", "eta"), [(True, 1.0), (False, 1.0), (True, 0.9)])
def test_detection_output(tmp_path: Path, code: str, shared: bool, eta: float) -> None:
    P, classes = 40, 3
    blob, boxes, variances = some_priors(P)
    loc = 0.3 * normal(2, P * 4 * (1 if shared else classes))
    conf = np.random.default_rng(2).random((2, P * classes)).astype(np.float32)
    text = (
        f'type: "DetectionOutput" detection_output_param {{ num_classes: 3 share_location: {str(shared).lower()} '
        f"code_type: {code} keep_top_k: 25 confidence_threshold: 0.2 "
        f"nms_param {{ nms_threshold: 0.55 top_k: 30 eta: {eta} }} }}"
    )
    ran = run_layer(tmp_path, text, {"loc": loc, "conf": conf, "priors": blob}, phase=caffe.TEST)
    want = detections(loc, conf, boxes, variances, code, shared, 0.2, 0.55, 30, 25, eta)
    assert ran.top().shape == (1, 1, len(want), 7)
    close(ran.top()[0, 0], want, rtol=1e-4, atol=1e-5)


def test_nothing_found_is_a_row_for_each_image(tmp_path: Path) -> None:
    blob = some_priors(5)[0]
    text = 'type: "DetectionOutput" detection_output_param { num_classes: 2 confidence_threshold: 2 }'
    ran = run_layer(tmp_path, text, {"loc": normal(3, 20), "conf": normal(3, 10).clip(0, 1), "priors": blob})
    close(ran.top()[0, 0], [[n, *[-1] * 6] for n in range(3)])
    ran.net.blobs["conf"].data[...] = 3  # and the number of rows follows the data
    ran.net.forward()
    assert ran.net.blobs["y"].shape[2] == ran.top().shape[2] > 3


# ---- the loss --------------------------------------------------------------------------------------
def matched(truths: list[Box], boxes: list[Box], threshold: float | None) -> tuple[list[int], list[float]]:
    table = [[iou(b, t) for t in truths] for b in boxes]
    found, best = [-1] * len(boxes), [max(row) if max(row) > 1e-6 else 0.0 for row in table]
    pool = list(range(len(truths)))
    while pool:
        pairs = [
            (table[p][t], -p, -t)
            for p in range(len(boxes))
            for t in pool
            if found[p] == -1 and table[p][t] > 1e-6
        ]
        if not pairs:
            break
        overlap, p, t = max(pairs)
        found[-p], best[-p] = -t, overlap
        pool.remove(-t)
    for p, row in enumerate(table):
        if threshold is not None and found[p] == -1 and max(row) >= threshold:
            found[p] = row.index(max(row))
    return found, best


def multibox(
    loc,
    conf,
    boxes,
    variances,
    truth,
    *,
    code="CENTER_SIZE",
    threshold=0.5,
    ratio=3.0,
    mining="MAX_NEGATIVE",
    neg_overlap=0.5,
    loc_weight=1.0,
    kind="SOFTMAX",
    l2=False,
    sample=64,
    fixed=None,
):
    """The loss, and what it chose (so that it can be differentiated by differences with the choice kept)."""
    P, classes = len(boxes), conf.shape[1] // len(boxes)
    total_loc = total_conf = 0.0
    matches = 0
    chosen = []
    for n in range(len(loc)):
        own = [row for row in truth if row[0] == n]
        scores = conf[n].reshape(P, classes)

        def class_loss(p: int, label: int, scores=scores) -> float:
            if kind == "SOFTMAX":
                e = np.exp(scores[p] - scores[p].max())
                return -math.log(e[label] / e.sum())
            target = np.eye(classes)[label] if label > 0 or mining != "NONE" else np.zeros(classes)
            return float(
                (np.log1p(np.exp(-np.abs(scores[p]))) + np.maximum(scores[p], 0) - scores[p] * target).sum()
            )

        def box_loss(p: int, t: int, n=n, own=own) -> float:
            want = encoded(code, tuple(own[t][3:7]), boxes[p], variances[p])
            made = 0.0
            for got, w in zip(loc[n, 4 * p : 4 * p + 4], want, strict=True):
                d = abs(float(got) - w)
                made += d * d / 2 if l2 or d < 1 else d - 0.5
            return made

        if fixed is not None:
            found, negatives = fixed[n]
        elif not own:
            found, negatives = [-1] * P, []
        else:
            found, best = matched([tuple(row[3:7]) for row in own], boxes, threshold)
            labels = [int(own[t][1]) if t >= 0 else 0 for t in found]
            losses = [class_loss(p, labels[p]) for p in range(P)]
            if mining == "MAX_NEGATIVE":
                pool = sorted(
                    (p for p in range(P) if found[p] == -1 and best[p] < neg_overlap),
                    key=lambda p: -losses[p],
                )
                negatives = sorted(pool[: int(sum(t >= 0 for t in found) * ratio)])
            elif mining == "HARD_EXAMPLE":
                hard = sorted(
                    range(P), key=lambda p: -(losses[p] + (box_loss(p, found[p]) if found[p] >= 0 else 0))
                )[:sample]
                negatives = sorted(p for p in hard if found[p] == -1)
                found = [t if p in hard else -1 for p, t in enumerate(found)]
            else:
                negatives = [p for p in range(P) if found[p] == -1]
        if mining == "NONE" and fixed is None and not own:
            negatives = list(range(P))
        chosen.append((found, negatives))
        for p, t in enumerate(found):
            if t >= 0:
                matches += 1
                total_loc += box_loss(p, t)
                total_conf += class_loss(p, int(own[t][1]))
        total_conf += sum(class_loss(p, 0) for p in negatives)
    return (loc_weight * total_loc + total_conf) / max(1, matches), chosen


LOSSES = [
    ("", {}),
    ("loc_weight: 2 neg_pos_ratio: 1 neg_overlap: 0.3 overlap_threshold: 0.4",
     {"loc_weight": 2, "ratio": 1, "neg_overlap": 0.3, "threshold": 0.4}),
    ("match_type: BIPARTITE loc_loss_type: L2", {"threshold": None, "l2": True}),
    ("mining_type: NONE", {"mining": "NONE"}),
    ("mining_type: HARD_EXAMPLE sample_size: 12", {"mining": "HARD_EXAMPLE", "sample": 12}),
    ("conf_loss_type: LOGISTIC", {"kind": "LOGISTIC"}),
    ("conf_loss_type: LOGISTIC mining_type: NONE", {"kind": "LOGISTIC", "mining": "NONE"}),
]  # fmt: skip


@pytest.mark.parametrize("code", ["CORNER", "CENTER_SIZE"])
@pytest.mark.parametrize(("param", "arguments"), LOSSES)
def test_multibox_loss(tmp_path: Path, code: str, param: str, arguments: dict) -> None:
    P, classes = 30, 4
    blob, boxes, variances = some_priors(P)
    loc, conf = 0.5 * normal(3, P * 4), normal(3, P * classes, seed=1)
    generator = np.random.default_rng(7)
    truth = [[n, generator.integers(1, classes), 0, *(np.float32(b) + 0.02)[:4], 0]
             for n, b in ((0, boxes[3]), (0, boxes[9]), (2, boxes[20]), (0, boxes[3]))]  # fmt: skip
    truth.append([-1] * 8)
    rows = np.array(truth, np.float32)
    text = (
        f'type: "MultiBoxLoss" multibox_loss_param {{ num_classes: {classes} code_type: {code} {param} }} '
        "propagate_down: [true, true, false, false]"
    )
    inputs = {"loc": loc, "conf": conf, "priors": blob, "truth": rows[None, None]}
    ran = run_layer(tmp_path, text, inputs, seeds={})
    want, chosen = multibox(loc, conf, boxes, variances, rows.astype(np.float64), code=code, **arguments)
    close(ran.top(), want, rtol=1e-4)

    def of(loc: np.ndarray, conf: np.ndarray) -> float:
        return multibox(
            loc, conf, boxes, variances, rows.astype(np.float64), code=code, fixed=chosen, **arguments
        )[0]

    close(ran.diffs["loc"], numeric(lambda v: of(v, conf), loc), rtol=1e-3, atol=1e-5)
    close(ran.diffs["conf"], numeric(lambda v: of(loc, v), conf), rtol=1e-3, atol=1e-5)


def test_an_image_batch_without_boxes_has_no_loss(tmp_path: Path) -> None:
    blob = some_priors(6)[0]
    text = 'type: "MultiBoxLoss" multibox_loss_param { num_classes: 2 } propagate_down: [true, true, false, false]'
    inputs = {
        "loc": normal(2, 24),
        "conf": normal(2, 12),
        "priors": blob,
        "truth": np.full((1, 1, 1, 8), -1.0),
    }
    ran = run_layer(tmp_path, text, inputs, seeds={})
    assert ran.top() == 0
    assert not ran.diffs["loc"].any()
    assert not ran.diffs["conf"].any()


def test_a_label_that_is_no_class(tmp_path: Path) -> None:
    blob = some_priors(6)[0]
    truth = np.array([[[[0, 2, 0, 0.1, 0.1, 0.5, 0.5, 0]]]])
    inputs = {"loc": normal(2, 24), "conf": normal(2, 12), "priors": blob, "truth": truth}
    with pytest.raises(KernelError, match=r"must be from 0 to 1 and not the background 0, got \[2\]"):
        run_layer(tmp_path, 'type: "MultiBoxLoss" multibox_loss_param { num_classes: 2 }', inputs)


# ---- evaluation ------------------------------------------------------------------------------------
def test_detection_evaluate(tmp_path: Path) -> None:
    a, b = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]
    found = np.array([
        [0, 1, 0.9, *a], [0, 1, 0.95, 0.12, 0.1, 0.5, 0.5], [0, 1, 0.8, *b], [0, 2, 0.7, *b],
        [1, 1, 0.6, *a], [1, -1, -1, -1, -1, -1, -1], [2, 2, 0.5, *b],
    ], np.float32)  # fmt: skip
    truth = np.array(
        [[0, 1, 0, *a, 0], [0, 2, 0, *b, 1], [2, 2, 0, *b, 0], [-1] * 8, [1, 1, 0, *a, 0]], np.float32
    )
    inputs = {"found": found[None, None], "truth": truth[None, None]}
    head = [[-1, 1, 1, -1, -1], [-1, 2, 1, -1, -1]]
    rows = [
        [0, 1, 0.95, 1, 0], [0, 1, 0.9, 0, 1], [0, 1, 0.8, 0, 1], [0, 2, 0.7, 0, 0],
        [1, 1, 0.6, 0, 1], [2, 2, 0.5, 1, 0],
    ]  # fmt: skip
    text = (
        'type: "DetectionEvaluate" detection_evaluate_param { num_classes: 3 evaluate_difficult_gt: false }'
    )
    ran = run_layer(tmp_path, text, inputs, phase=caffe.TEST)
    close(ran.top()[0, 0], head + rows)


# ---- refusals --------------------------------------------------------------------------------------
BOXES = ((1, 4), (1, 4), (1, 2, 4))
REFUSED = [
    ("Permute", "permute_param { order: [0, 4] }", ((1, 2, 3, 4),), ArgumentError, "order must name axes of bottom"),
    ("Permute", "permute_param { order: [1, 1] }", ((1, 2, 3, 4),), ArgumentError, "each once"),
    ("Normalize", "", ((3,),), ShapeError, "at least 2 axes"),
    ("PriorBox", "", ((1, 2, 3, 4), (1, 3, 9, 9)), ArgumentError, "min_sizes must be given"),
    ("PriorBox", "prior_box_param { min_size: 3 max_size: 2 }", ((1, 2, 3, 4), (1, 3, 9, 9)), ArgumentError,
     "max_sizes must be one for each of min_sizes"),
    ("PriorBox", "prior_box_param { min_size: 3 step: 2 step_h: 2 }", ((1, 2, 3, 4), (1, 3, 9, 9)), ArgumentError,
     "give step, or step_h and step_w, not both"),
    ("PriorBox", "prior_box_param { min_size: 3 variance: [1, 2] }", ((1, 2, 3, 4), (1, 3, 9, 9)), ArgumentError,
     "variances must be 1 or 4"),
    ("DetectionOutput", "", BOXES, ArgumentError, "give num_classes"),
    ("DetectionOutput", "detection_output_param { num_classes: 3 }", BOXES, ShapeError, "the prior boxes must be"),
    ("DetectionOutput", "detection_output_param { num_classes: 4 nms_param { eta: 2 } }", BOXES, ArgumentError, "eta"),
    ("DetectionOutput", 'detection_output_param { num_classes: 4 save_output_param { output_directory: "o" '
     'label_map_file: "m" name_size_file: "s" } }', BOXES, NotSupportedError, "result files in 'o'"),
    ("MultiBoxLoss", "", (*BOXES, (1, 1, 1, 8)), ArgumentError, "give num_classes"),
    ("MultiBoxLoss", "multibox_loss_param { num_classes: 4 }", (*BOXES, (1, 1, 1, 7)), ShapeError,
     r"must be \(1, 1, G, 8\)"),
    ("MultiBoxLoss", "multibox_loss_param { num_classes: 4 share_location: false }", (*BOXES, (1, 1, 1, 8)),
     ArgumentError, "mining needs share_location"),
    ("MultiBoxLoss", "multibox_loss_param { num_classes: 4 do_neg_mining: false }", (*BOXES, (1, 1, 1, 8)),
     ArgumentError, "contradicts mining_type MAX_NEGATIVE"),
    ("DetectionEvaluate", 'detection_evaluate_param { num_classes: 2 name_size_file: "f" }',
     ((1, 1, 2, 7), (1, 1, 2, 8)), NotSupportedError, "leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "param", "shapes", "error", "words"), REFUSED, ids=[f"{r[0]}-{i}" for i, r in enumerate(REFUSED)]
)
def test_refusals(
    tmp_path: Path,
    kind: str,
    param: str,
    shapes: tuple[tuple[int, ...], ...],
    error: type[FreshpotError],
    words: str,
) -> None:
    check_refusal(tmp_path, kind, param, shapes, error, words)


# ---- a small detector, whole -----------------------------------------------------------------------
HEAD = """
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 24 kernel_size: 13 pad: 5
  stride: 4 weight_filler { type: "xavier" } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "n" type: "Normalize" bottom: "c" top: "n" norm_param { across_spatial: false channel_shared: false
  scale_filler { type: "constant" value: 5 } } }
layer { name: "pb" type: "PriorBox" bottom: "n" bottom: "data" top: "pb" prior_box_param { min_size: 8 max_size: 14
  aspect_ratio: 2 variance: [0.1, 0.1, 0.2, 0.2] } }
layer { name: "l" type: "Convolution" bottom: "n" top: "l" convolution_param { num_output: 16 kernel_size: 1
  weight_filler { type: "xavier" } } }
layer { name: "lp" type: "Permute" bottom: "l" top: "lp" permute_param { order: [0, 2, 3, 1] } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "k" type: "Convolution" bottom: "n" top: "k" convolution_param { num_output: 8 kernel_size: 1
  weight_filler { type: "xavier" } } }
layer { name: "kp" type: "Permute" bottom: "k" top: "kp" permute_param { order: [0, 2, 3, 1] } }
layer { name: "kf" type: "Flatten" bottom: "kp" top: "kf" }
layer { name: "loss" type: "MultiBoxLoss" bottom: "lf" bottom: "kf" bottom: "pb" bottom: "truth" top: "loss"
  include { phase: TRAIN } propagate_down: [true, true, false, false]
  multibox_loss_param { num_classes: 2 code_type: CENTER_SIZE } }
layer { name: "kr" type: "Reshape" bottom: "kf" top: "kr" include { phase: TEST }
  reshape_param { shape { dim: [0, -1, 2] } } }
layer { name: "ks" type: "Softmax" bottom: "kr" top: "ks" softmax_param { axis: 2 } include { phase: TEST } }
layer { name: "ksf" type: "Flatten" bottom: "ks" top: "ksf" include { phase: TEST } }
layer { name: "found" type: "DetectionOutput" bottom: "lf" bottom: "ksf" bottom: "pb" top: "found"
  include { phase: TEST }
  detection_output_param { num_classes: 2 code_type: CENTER_SIZE keep_top_k: 1 nms_param { nms_threshold: 0.45 } } }
"""


def test_a_small_detector_learns_to_find_squares(tmp_path: Path) -> None:
    data = 'input: "data" input_shape { dim: [8, 1, 32, 32] }\ninput: "truth" input_shape { dim: [1, 1, 8, 8] }\n'
    (tmp_path / "net.prototxt").write_text(data + HEAD)
    (tmp_path / "solver.prototxt").write_text(
        f'train_net: "{tmp_path}/net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" random_seed: 3'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    generator = np.random.default_rng(0)

    def batch(net: caffe.Net) -> np.ndarray:
        places = generator.integers(0, 20, size=(8, 2))
        net.blobs["data"].data[...] = 0.1 * generator.normal(size=(8, 1, 32, 32))
        boxes = np.zeros((8, 4))
        for n, (y, x) in enumerate(places):
            net.blobs["data"].data[n, 0, y : y + 10, x : x + 10] = 1
            boxes[n] = np.array([x, y, x + 10, y + 10]) / 32
        return boxes

    losses = []
    for _ in range(300):
        boxes = batch(solver.net)
        solver.net.blobs["truth"].data[0, 0] = [[n, 1, 0, *b, 0] for n, b in enumerate(boxes)]
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
    tester = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    tester.share_with(solver.net)
    boxes = batch(tester)
    tester.forward()
    found = tester.blobs["found"].data[0, 0]
    assert len(found) == 8
    assert np.mean([iou(tuple(row[3:7]), tuple(b)) for row, b in zip(found, boxes, strict=True)]) > 0.6
