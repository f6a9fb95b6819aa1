"""Checks that operators and nets give the same results on several devices.

Source: caffe2/python/device_checker.py.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from caffe2.python import workspace
from caffe2.python.core import InferOpBlobDevicesAsDict

_WORKSPACE = "_device_check_"


@contextlib.contextmanager
def _own_workspace() -> Iterator[None]:
    before = workspace.CurrentWorkspace()
    workspace.SwitchWorkspace(_WORKSPACE, True)
    try:
        yield
    finally:
        workspace.ResetWorkspace()
        workspace.SwitchWorkspace(before)


class DeviceChecker:
    """Runs the same on several devices, in a workspace of its own.

    Args:
        threshold: absolute and relative tolerance.
        device_options: the devices; results are compared with those of the first.
    """

    def __init__(self, threshold: float, device_options: Sequence[Any]) -> None:
        self._threshold = threshold
        self._device_options = device_options

    def CheckSimple(
        self,
        op: Any,
        inputs: Sequence[Any],
        outputs_to_check: Sequence[int],
        input_device_options: Mapping[str, Any] | None = None,
    ) -> bool:
        """Run an operator on every device; False if the outputs differ, which is printed.

        Args:
            op: the OperatorDef.
            inputs: arrays for its inputs.
            outputs_to_check: positions of the outputs.
            input_device_options: blob -> device, where it is another.
        """
        op = copy.deepcopy(op)
        names = [op.output[i] for i in outputs_to_check]
        results = []
        with _own_workspace():
            for device in self._device_options:
                op.device_option.CopyFrom(device)
                devices = input_device_options or InferOpBlobDevicesAsDict(op)[0]
                for name, array in zip(op.input, inputs, strict=False):
                    workspace.FeedBlob(name, np.array(array), devices.get(name, device))
                workspace.RunOperatorOnce(op)
                results.append([workspace.FetchBlob(name) for name in names])
                workspace.ResetWorkspace()
        return self._same(names, results)

    def CheckNet(
        self,
        net: Any,
        inputs: Mapping[str, Any] | None = None,
        blobs_to_check: Sequence[str] | None = None,
        ignore: Collection[str] | None = None,
    ) -> bool:
        """Run a net on every device; False if blobs differ, which is printed.

        Args:
            net: the NetDef.
            inputs: blob -> array to feed.
            blobs_to_check: by default all that operators write.
            ignore: blobs not to check.
        """
        net = copy.deepcopy(net)
        names = blobs_to_check or [name for op in net.op for name in op.output]
        names = [name for name in names if name not in (ignore or ())]
        results = []
        with _own_workspace():
            for device in self._device_options:
                for name, array in (inputs or {}).items():
                    workspace.FeedBlob(name, array, device)
                for op in net.op:
                    op.device_option.CopyFrom(device)
                workspace.RunNetOnce(net)
                results.append([workspace.FetchBlob(name) for name in names])
        return self._same(names, results)

    def _same(self, names: Sequence[str], results: Sequence[Sequence[np.ndarray]]) -> bool:
        success = True
        for i, result in enumerate(results[1:], 1):
            for name, value, first in zip(names, result, results[0], strict=True):
                if np.allclose(value, first, atol=self._threshold, rtol=self._threshold):
                    continue
                success = False
                print(f"Failure in checking device option {i} and output {name}. The outputs are:")
                print(value.flatten(), first.flatten(), np.max(np.abs(value - first)), sep="\n")
        return success
