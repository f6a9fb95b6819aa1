"""What ``caffe classify`` and ``caffe detect`` share: their flags, and the net those describe."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe import _mode
from caffe._cli.flags import Flag, UsageError
from freshpot.errors import FormatError

FLAGS = (
    Flag("model_def", "", "prototxt of the net"),
    Flag("pretrained_model", "", "its weights"),
    Flag("gpu", False, "run on the GPU"),
    Flag("mean_file", "", "mean to subtract, an .npy file"),
    Flag("input_scale", 0.0, "factor of the prepared input; 0: none"),
    Flag("raw_scale", 255.0, "factor of the image as it was loaded, whose values are 0 to 1"),
    Flag("channel_swap", "2,1,0", "order of the channels; '' leaves them as they are"),
)


def net_options(flags: dict[str, Any], usage: str) -> dict[str, Any]:
    """Keyword arguments of Classifier and Detector; sets the mode.

    Raises:
        UsageError: no net or no weights named, or numbers that are none.
        FormatError: a mean that is no array.
    """
    if not flags["model_def"] or not flags["pretrained_model"]:
        raise UsageError(f"-model_def and -pretrained_model are needed. {usage}")
    (_mode.set_mode_gpu if flags["gpu"] else _mode.set_mode_cpu)()
    print("GPU mode" if flags["gpu"] else "CPU mode")
    return {
        "mean": read_array(flags["mean_file"]) if flags["mean_file"] else None,
        "input_scale": flags["input_scale"] or None,
        "raw_scale": flags["raw_scale"],
        "channel_swap": numbers(flags["channel_swap"], "channel_swap") if flags["channel_swap"] else None,
    }


def numbers(text: str, flag: str) -> list[int]:
    """Whole numbers parted by commas."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"-{flag} must be whole numbers parted by commas, got '{text}'") from None


def read_array(path: str) -> np.ndarray:
    """An array from an .npy file; nothing in it is executed.

    Raises:
        FormatError: it is no such file.
    """
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FormatError(f"not an .npy file of numbers: {error}", path=path) from error
