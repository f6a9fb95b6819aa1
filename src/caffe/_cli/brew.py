"""The flags that train, test, time and device_query share, and what they mean.

Owned here: GPUs, phases and stages from flags. Who calls it: those four.
"""

from __future__ import annotations

from typing import Any

import torch

from caffe import _log, _mode
from caffe._cli.flags import CommandError, Flag
from caffe.proto import caffe_pb2
from freshpot.engine.device import torch_device
from freshpot.net.op import CUDA, Device

FLAGS = (
    Flag("gpu", "", "run on the GPU of this number, or on 'all'; several numbers are separated by commas"),
    Flag("solver", "", "solver prototxt"),
    Flag("model", "", "net prototxt"),
    Flag("phase", "", "for time: the phase of the net, TRAIN (the default) or TEST"),
    Flag("level", 0, "level of the net, for its include and exclude rules"),
    Flag("stage", "", "stages of the net, for the same rules, separated by commas"),
    Flag("snapshot", "", "for train: solver state to go on from"),
    Flag("weights", "", "weights to begin with, or to test; several files are separated by commas"),
    Flag("iterations", 50, "batches to run"),
    Flag("sigint_effect", "stop", "what Ctrl-C does while training: snapshot, stop or none"),
    Flag("sighup_effect", "snapshot", "what a hang-up signal does while training: snapshot, stop or none"),
    Flag("csv", "", "for train: file for a table of iteration, loss, learning rate and test scores"),
    Flag("plot", "", "for train: PNG file for curves of loss, learning rate and test scores"),
    Flag("tensorboard", "", "for train: folder for TensorBoard's event files of the same curves"),
    Flag("progress", True, "for train: show a progress bar when standard error is a terminal"),
)


def gpus(text: str) -> list[int]:
    """Numbers of the GPUs that the flag names.

    Raises:
        CommandError: it is no list of numbers.
        DeviceError: it is ``all``, there are none, and ``FRESHPOT_STRICT_DEVICE=1`` forbids the CPU instead.
    """
    if text == "all":
        if not torch.cuda.device_count():
            torch_device(Device(CUDA, 0))  # says that there is none, or refuses to go on
        return list(range(torch.cuda.device_count()))
    try:
        return [int(word) for word in text.split(",")] if text else []
    except ValueError:
        raise CommandError(
            "caffe.cpp:98", f"-gpu takes numbers separated by commas, or all; got '{text}'"
        ) from None


def stages(text: str) -> list[str]:
    """The stages that the flag names; without it one that is empty, as in the original."""
    return text.split(",")


def phase(text: str) -> int:
    """The phase that the flag names; TRAIN without it.

    Raises:
        CommandError: there is no such phase.
    """
    if text not in ("", "TRAIN", "TEST"):
        raise CommandError("caffe.cpp:120", 'phase must be "TRAIN" or "TEST"')
    return caffe_pb2.TEST if text == "TEST" else caffe_pb2.TRAIN


def choose_device(text: str, line: int) -> None:
    """CPU or the first GPU that the flag names, and the original's line about it."""
    numbers = gpus(text)
    if not numbers:
        _log.info(f"caffe.cpp:{line}", "Use CPU.")
        _mode.set_mode_cpu()
        return
    _log.info(f"caffe.cpp:{line - 7}", f"Use GPU with device ID {numbers[0]}")
    _mode.set_device(numbers[0])
    _mode.set_mode_gpu()


def need(flags: dict[str, Any], name: str, line: int, why: str) -> str:
    """A flag that cannot be left out.

    Raises:
        CommandError: it was.
    """
    if not flags[name]:
        raise CommandError(f"caffe.cpp:{line}", f"Check failed: FLAGS_{name}.size() > 0 (0 vs. 0) {why}")
    return flags[name]
