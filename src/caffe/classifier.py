"""`caffe.Classifier`: a net that classifies images of any size.

Source: BVLC/caffe python/caffe/classifier.py (behaviour).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe import _before_2015, io
from caffe.proto.caffe_pb2 import TEST
from caffe.pycaffe import Net


class Classifier(Net):
    """A net with a `Transformer` before its (one) input.

    Args:
        model_file, pretrained_file: net and weights.
        image_dims: (height, width) that images are resized to before crops are taken; default the net's own.
        mean, input_scale, raw_scale, channel_swap: of `caffe.io.Transformer`.
        old: ``mean_file`` and ``gpu``, of 2014.
    """

    def __init__(
        self,
        model_file: Any,
        pretrained_file: Any,
        image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        **old: Any,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        _before_2015.keywords(self, old, "Classifier")
        self.crop_dims = np.array(self.blobs[self.inputs[0]].data.shape[2:])
        self.image_dims = image_dims if image_dims is not None and len(image_dims) else self.crop_dims

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """Probabilities (N, classes) of N images (H, W, K).

        Args:
            oversample: average over ten crops (`caffe.io.oversample`) instead of taking the middle one.
        """
        size = tuple(int(n) for n in self.image_dims)
        images = np.stack([io.resize_image(image, size) for image in inputs])
        if oversample:
            crops = io.oversample(images, self.crop_dims)
        else:
            top, left = ((np.array(size) - self.crop_dims) / 2.0).astype(int)
            crops = images[:, top : top + self.crop_dims[0], left : left + self.crop_dims[1]]
        name = self.inputs[0]
        batch = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        predictions = self.forward_all(None, **{name: batch})[self.outputs[0]]
        if oversample:
            predictions = predictions.reshape(len(predictions) // 10, 10, -1).mean(1)
        return predictions


def transformer_of(
    net: Net,
    mean: np.ndarray | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """A Transformer for a net's first input that takes images (H, W, K)."""
    name = net.inputs[0]
    made = io.Transformer({name: net.blobs[name].data.shape})
    made.set_transpose(name, (2, 0, 1))
    if mean is not None:
        made.set_mean(name, mean)
    if input_scale is not None:
        made.set_input_scale(name, input_scale)
    if raw_scale is not None:
        made.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        made.set_channel_swap(name, channel_swap)
    return made
