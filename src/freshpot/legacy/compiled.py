"""What programs of Fast and Faster R-CNN compiled for themselves: overlaps of boxes, and suppression of boxes by them.

Served where a program imports such a module, its Cython source lies in the program's folder, and nobody compiled it.
Boxes are (x1, y1, x2, y2) in whole pixels, both ends included, as in those programs. Who calls it: `binding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["bbox_overlaps", "find", "nms"]


def bbox_overlaps(boxes: np.ndarray, query_boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of (N, 4) with (K, 4) boxes: (N, K), float64."""
    boxes, others = np.asarray(boxes, np.float64)[:, None], np.asarray(query_boxes, np.float64)[None]
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2]) + 1
    shared = sides.clip(0).prod(-1)
    return shared / (_areas(boxes) + _areas(others) - shared)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:4] - boxes[..., :2] + 1).prod(-1)


def nms(dets: np.ndarray, thresh: float) -> list[int]:
    """Rows of the boxes with scores (N, 5) that overlap no better one by ``thresh`` or more, the best first."""
    return _suppress(dets, np.nextafter(np.float64(thresh), -np.inf))


def _gpu_nms(dets: np.ndarray, thresh: float, device_id: int = 0) -> list[int]:
    """The same by more than ``thresh``, as the program's kernel for GPUs has it."""
    return _suppress(dets, np.float64(thresh))


def _suppress(dets: np.ndarray, most: np.float64) -> list[int]:
    boxes = np.ascontiguousarray(dets[:, :4], np.float32)
    order = dets[:, 4].argsort()[::-1]
    areas = _areas(boxes)
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        rest = boxes[order]
        low, high = np.maximum(rest[:, :2], boxes[best, :2]), np.minimum(rest[:, 2:], boxes[best, 2:])
        shared = (high - low + 1).clip(0).prod(1)
        order = order[shared / (areas[best] + areas[order] - shared) <= most]
    return kept


#: module -> its Cython source, and the functions that it has
_MODULES: dict[str, tuple[str, dict[str, Any]]] = {
    "utils.cython_bbox": ("bbox.pyx", {"bbox_overlaps": bbox_overlaps}),
    "utils.cython_nms": ("nms.pyx", {"nms": nms}),
    "nms.cpu_nms": ("cpu_nms.pyx", {"cpu_nms": nms}),
    "nms.gpu_nms": ("gpu_nms.pyx", {"gpu_nms": _gpu_nms}),
}


def find(name: str, folders: Sequence[str] | None) -> ModuleType | None:
    """The module in place of one that a program in these folders would have compiled; None if it is none of those."""
    source, functions = _MODULES.get(name, ("", {}))
    if not functions or not any((Path(folder) / source).is_file() for folder in folders or ()):
        return None
    made = ModuleType(name)
    vars(made).update(functions)
    return made
