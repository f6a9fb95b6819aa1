"""Names that pycaffe had in 2014 and dropped: `Net.set_mean`, `Net.preprocess`, `Net.set_phase_test` …

Owned here: what they did, in terms of `caffe.io.Transformer`. Who calls it: `Net` and the package, for names that are
theirs no more; ``dir()`` does not show them.

Source: BVLC/caffe python/caffe/pycaffe.py and classifier.py of 2014 (behaviour).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from caffe import _mode, io
from caffe.proto.caffe_pb2 import TEST, TRAIN
from freshpot.errors import ArgumentError

#: the phase of nets that are made without one: `set_phase_train` and `set_phase_test` set it
phase: int = TEST


def set_phase_train() -> None:
    """Make nets that name no phase for training."""
    global phase
    phase = TRAIN


def set_phase_test() -> None:
    """Make nets that name no phase for testing."""
    global phase
    phase = TEST


def _transformer(net: Any, input_: str) -> io.Transformer:
    """The net's own, if it has one, else one that is kept with it."""
    if input_ not in net.inputs:
        raise Exception(f"Input not in {net.inputs}")
    made = getattr(net, "transformer", None)
    if made is None:
        made = net.transformer = io.Transformer({name: net.blobs[name].data.shape for name in net.inputs})
        for name in net.inputs:
            made.set_transpose(name, (2, 0, 1))
    return made


def set_mean(net: Any, input_: str, mean: Any, mode: str = "elementwise") -> None:
    """Subtract a mean (K, H, W) from an input's images.

    Args:
        mean: the array, or the .npy file that holds it. With a file, the scale of `set_input_scale` comes before the
            mean, as it did when files were taken.
        mode: "elementwise", resized to the input's size; or "channel", the mean of each channel.

    Raises:
        Exception: no such input, or no such mode, as in the original.
    """
    transformer = _transformer(net, input_)
    if isinstance(mean, str | os.PathLike):
        mean = np.load(mean, allow_pickle=False)
        net._scale_before_mean = True
        if input_ in transformer.input_scale:
            transformer.raw_scale[input_] = transformer.input_scale.pop(input_)
    size = tuple(net.blobs[input_].data.shape[1:])
    mean = np.asarray(mean)
    if mode == "channel":
        mean = mean.mean(1).mean(1)
    elif mode != "elementwise":
        raise Exception("Mode not in ['elementwise', 'channel']")
    elif mean.ndim == 3 and mean.shape != size:
        mean = io.resize_image(mean.transpose(1, 2, 0), size[1:]).transpose(2, 0, 1)
    transformer.set_mean(input_, mean)


def set_input_scale(net: Any, input_: str, scale: float) -> None:
    """Multiply an input's images; after the mean, unless that came from a file."""
    transformer = _transformer(net, input_)
    if getattr(net, "_scale_before_mean", False):
        transformer.set_raw_scale(input_, scale)
    else:
        transformer.set_input_scale(input_, scale)


def set_raw_scale(net: Any, input_: str, scale: float) -> None:
    """Multiply an input's images before the mean is subtracted."""
    _transformer(net, input_).set_raw_scale(input_, scale)


def set_channel_swap(net: Any, input_: str, order: Sequence[int]) -> None:
    """Reorder the channels of an input's images."""
    _transformer(net, input_).set_channel_swap(input_, order)


def preprocess(net: Any, input_name: str, input_: np.ndarray) -> np.ndarray:
    """An image (H, W, K) as the input wants it, (K, H, W)."""
    return _transformer(net, input_name).preprocess(input_name, input_)


def deprocess(net: Any, input_name: str, input_: np.ndarray) -> np.ndarray:
    """The image (H, W, K) of what `preprocess` gave."""
    return _transformer(net, input_name).deprocess(input_name, input_)


#: methods that `Net` had
METHODS: dict[str, Callable[..., Any]] = {
    "deprocess": deprocess,
    "preprocess": preprocess,
    "set_channel_swap": set_channel_swap,
    "set_device": lambda net, number: _mode.set_device(number),
    "set_input_scale": set_input_scale,
    "set_mean": set_mean,
    "set_mode_cpu": lambda net: _mode.set_mode_cpu(),
    "set_mode_gpu": lambda net: _mode.set_mode_gpu(),
    "set_phase_test": lambda net: _same_phase(net, TEST),
    "set_phase_train": lambda net: _same_phase(net, TRAIN),
    "set_raw_scale": set_raw_scale,
}


def _same_phase(net: Any, wanted: int) -> None:
    """A net is made for one phase."""
    if net._net.phase != wanted:
        name = "TEST" if wanted == TEST else "TRAIN"
        raise ArgumentError(
            f"net '{net._net.name}' was made for the other phase; make it with caffe.Net(file, weights, caffe.{name})."
        )


def keywords(net: Any, given: dict[str, Any], owner: str) -> None:
    """``mean_file`` and ``gpu``, which `Classifier` and `Detector` took.

    Raises:
        TypeError: any other keyword, as Python raises it.
    """
    for name in given:
        if name not in ("mean_file", "gpu"):
            raise TypeError(f"{owner}.__init__() got an unexpected keyword argument '{name}'")
    if "gpu" in given:
        (_mode.set_mode_gpu if given["gpu"] else _mode.set_mode_cpu)()
    if given.get("mean_file"):
        set_mean(net, net.inputs[0], given["mean_file"])
