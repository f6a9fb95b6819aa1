"""`caffe.Detector`: a net that classifies windows of images.

Source: BVLC/caffe python/caffe/detector.py (behaviour); Girshick et al., "Rich feature hierarchies for accurate
object detection and semantic segmentation", CVPR 2014.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from caffe import _before_2015, io
from caffe.classifier import transformer_of
from caffe.proto.caffe_pb2 import TEST
from caffe.pycaffe import Net
from freshpot.errors import ArgumentError, NotSupportedError, ShapeError

Window = Sequence[int]


class Detector(Net):
    """A net with a `Transformer` before its (one) input, for windows (ymin, xmin, ymax, xmax).

    Args:
        model_file, pretrained_file: net and weights.
        mean, input_scale, raw_scale, channel_swap: of `caffe.io.Transformer`.
        old: ``mean_file`` and ``gpu``, of 2014.
        context_pad: pixels of the net's input, on each side, that show what is around the window.
    """

    def __init__(
        self,
        model_file: Any,
        pretrained_file: Any,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
        **old: Any,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        _before_2015.keywords(self, old, "Detector")
        self.configure_crop(context_pad)

    def detect_windows(
        self, images_windows: Iterable[tuple[Any, Sequence[Window] | np.ndarray]]
    ) -> list[dict[str, Any]]:
        """Classify windows of images.

        Args:
            images_windows: (image file, its windows) pairs.

        Returns:
            a dict with ``window``, ``prediction`` and ``filename`` for each window.
        """
        found: list[dict[str, Any]] = []
        crops = []
        for filename, windows in images_windows:
            image = io.load_image(filename).astype(np.float32)
            for window in windows:
                crops.append(self.crop(image, window))
                found.append({"window": window, "filename": filename})
        if not found:
            return found
        name = self.inputs[0]
        batch = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        predictions = self.forward_all(None, **{name: batch})[self.outputs[0]]
        for entry, prediction in zip(found, predictions, strict=True):
            entry["prediction"] = prediction
        return found

    def detect_selective_search(self, image_fnames: Iterable[str]) -> list[dict[str, Any]]:
        """`detect_windows` of what the package selective_search_ijcv_with_python proposes.

        Raises:
            NotSupportedError: that package is not installed.
        """
        try:
            import selective_search_ijcv_with_python as selective_search
        except ImportError as error:
            raise NotSupportedError(
                f"windows by selective search need a package of its own ({error}); give windows to"
                " detect_windows instead."
            ) from error
        paths = [os.path.abspath(name) for name in image_fnames]
        windows = selective_search.get_windows(paths, cmd="selective_search_rcnn")
        return self.detect_windows(list(zip(paths, windows, strict=True)))

    def crop(self, im: np.ndarray, window: Window) -> np.ndarray:
        """A window of an image (H, W, K); with ``context_pad``, with what is around it, at the net's input size.

        Differs: the original fails here with a recent numpy, which wants whole numbers.
        """
        top, left, bottom, right = (int(n) for n in window)
        if not self.context_pad:
            return im[top:bottom, left:right]
        size = int(self.blobs[self.inputs[0]].width)
        box = self._with_context((top, left, bottom, right), size)
        scale = size / (box[2:] - box[:2] + 1)
        pad = np.round(np.maximum(0, -box[:2]) * scale).astype(int)
        inside = np.clip(box, 0, [*im.shape[:2], *im.shape[:2]])
        if np.any(inside[2:] <= inside[:2]):
            raise ShapeError(f"window {tuple(window)} is outside its image of {im.shape[0]} x {im.shape[1]}.")
        shown = np.minimum(np.round((inside[2:] - inside[:2] + 1) * scale).astype(int), size - pad)
        part = io.resize_image(im[inside[0] : inside[2], inside[1] : inside[3]], shown)
        made = np.ones(self.crop_dims, np.float32) * self.crop_mean
        made[pad[0] : pad[0] + shown[0], pad[1] : pad[1] + shown[1]] = part
        return made

    def _with_context(self, window: tuple[int, ...], size: int) -> np.ndarray:
        """The window, widened so that its context fills the border of the net's input."""
        box = np.array(window, float)
        half = (box[2:] - box[:2] + 1) / 2
        centre = box[:2] + half
        reach = half * (size / (size - 2.0 * (self.context_pad or 0)))
        return np.round(np.concatenate([centre - reach, centre + reach])).astype(int)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context, and what is shown where a window's context is outside the image: the mean."""
        name = self.inputs[0]
        order = np.argsort(self.transformer.transpose[name])
        self.crop_dims = np.array(self.blobs[name].data.shape[1:])[order]
        self.context_pad = context_pad
        if not context_pad:
            return
        width = int(self.blobs[name].width)
        if 2 * context_pad >= width:
            raise ArgumentError(
                f"context_pad must be less than half the input's width of {width}, got {context_pad}."
            )
        mean = self.transformer.mean.get(name)
        if mean is None:
            self.crop_mean = np.zeros(self.crop_dims, np.float32)
            return
        crop_mean = mean.transpose(order)
        if (swap := self.transformer.channel_swap.get(name)) is not None:
            crop_mean = crop_mean[:, :, np.argsort(swap)]
        self.crop_mean = crop_mean / self.transformer.raw_scale.get(name, 1)
