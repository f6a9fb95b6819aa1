"""WindowData: windows of images for training detectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caffe import _log
from caffe._layers import _feeding
from caffe._net.layer import Lowering, layer
from freshpot.data.windows import Cutter, WindowBatches, WindowFile, read_window_file, window_values
from freshpot.errors import ArgumentError


@layer("WindowData", bottoms=0, tops=2)
def window_data(low: Lowering) -> None:
    if low.layer.state is not None:
        return
    p, t = low.param.window_data_param, low.param.transform_param
    _check(low, p, t)
    _say_settings(p)
    windows = read_window_file(p.source, p.fg_threshold, p.bg_threshold)
    if windows.channels != 3:
        low.refuse(f"{p.source} says {windows.channels} channels; images are read with 3.", ArgumentError)
    _say_windows(p, windows)
    batches = WindowBatches(
        windows,
        p.root_folder,
        p.batch_size,
        p.fg_fraction,
        Cutter(t.crop_size, p.context_pad, p.crop_mode == "square"),
        t.crop_size,
        window_values(p.scale, _mean(low, t), np.array(t.mean_value, np.float32), t.crop_size),
        mirror=t.mirror,
        cache=p.cache_images,
        seed=_feeding.draw_seed(),
    )
    shape = (p.batch_size, 3, t.crop_size, t.crop_size)
    _feeding.say_size("window_data_layer.cpp:180", shape)
    _feeding.start(low, batches, [shape, shape[:1]])


def _check(low: Lowering, p: Any, t: Any) -> None:
    _feeding.need_batch_size(low, p.batch_size)
    if t.crop_size < 1:
        low.refuse(
            "crop_size of transform_param must be given: the size that windows are warped to.", ArgumentError
        )
    if t.HasField("mean_file") and t.mean_value:
        low.refuse("mean_file and mean_value exclude each other; give one of them.", ArgumentError)
    if len(t.mean_value) not in (0, 1, 3):
        low.refuse(
            f"{len(t.mean_value)} mean_value for images of 3 channels: give one, or one a channel.",
            ArgumentError,
        )
    if not 0 <= p.fg_fraction <= 1 or math.isnan(p.fg_fraction):
        low.refuse(f"fg_fraction must be from 0 to 1, got {p.fg_fraction:g}.", ArgumentError)


def _mean(low: Lowering, t: Any) -> np.ndarray | None:
    if not t.HasField("mean_file"):
        return None
    mean = _feeding.read_mean(t.mean_file)
    _, height, width = mean.shape
    margin = (width - t.crop_size) // 2  # the original takes it for both axes
    if len(mean) != 3 or margin < 0 or margin + t.crop_size > height:
        low.refuse(
            f"the mean image has shape {mean.shape}; expected 3 channels of {t.crop_size} x {t.crop_size} "
            "pixels or more."
        )
    return mean


def _say_settings(p: Any) -> None:
    _log.info(
        "window_data_layer.cpp:53",
        "Window data layer:\n"
        f"  foreground (object) overlap threshold: {p.fg_threshold:g}\n"
        f"  background (non-object) overlap threshold: {p.bg_threshold:g}\n"
        f"  foreground sampling fraction: {p.fg_fraction:g}\n"
        f"  cache_images: {int(p.cache_images)}\n"
        f"  root_folder: {p.root_folder}",
    )


def _say_windows(p: Any, windows: WindowFile) -> None:
    _log.info("window_data_layer.cpp:157", f"Number of images: {len(windows.images)}")
    for label, count in windows.counts().items():
        _log.info("window_data_layer.cpp:161", f"class {label} has {count} samples")
    _log.info("window_data_layer.cpp:165", f"Amount of context padding: {p.context_pad}")
    _log.info("window_data_layer.cpp:168", f"Crop mode: {p.crop_mode}")
