"""What tests of one's own operators are made with: drawn inputs, and checks against numpy, slopes and devices.

::

    import caffe2.python.hypothesis_test_util as hu

    class TestSoftsign(hu.HypothesisTestCase):
        @given(X=hu.tensor(), **hu.gcs)
        def test_softsign(self, X, gc, dc):
            op = core.CreateOperator("Softsign", ["X"], ["Y"])
            self.assertReferenceChecks(gc, op, [X], lambda X: (X / (1 + np.abs(X)),))
            self.assertGradientChecks(gc, op, [X], 0, [0])

Needs the package hypothesis. How it works: `_hypothesis`.

Source: caffe2/python/hypothesis_test_util.py.
"""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import hypothesis.strategies as st

from caffe2.proto import caffe2_pb2
from caffe2.python import workspace
from caffe2.python._hypothesis.checks import (
    HypothesisTestCase,
    runOpBenchmark,
    runOpOnInput,
    temp_workspace,
)
from caffe2.python._hypothesis.strategies import (
    arrays,
    dims,
    elements_of_type,
    floats,
    lengths,
    lengths_tensor,
    segment_ids,
    segmented_tensor,
    sparse_lengths_tensor,
    sparse_segmented_tensor,
    tensor,
    tensor1d,
    tensors,
    tensors1d,
    to_float32,
)

__all__ = [
    "HypothesisTestCase",
    "arrays",
    "cpu_do",
    "cuda_do",
    "device_checker_device_options",
    "device_options",
    "dims",
    "elements_of_type",
    "expanded_device_options",
    "floats",
    "gcs",
    "gcs_cpu_only",
    "gcs_cuda_only",
    "gcs_gpu_only",
    "gcs_no_hip",
    "gpu_do",
    "gradient_checker_device_option",
    "hip_do",
    "is_sandcastle",
    "is_travis",
    "lengths",
    "lengths_tensor",
    "runOpBenchmark",
    "runOpOnInput",
    "segment_ids",
    "segmented_tensor",
    "settings",
    "sparse_lengths_tensor",
    "sparse_segmented_tensor",
    "temp_workspace",
    "tensor",
    "tensor1d",
    "tensors",
    "tensors1d",
    "to_float32",
]


def is_sandcastle() -> bool:
    """True where the original's makers ran their tests."""
    return os.getenv("SANDCASTLE") == "1" or os.getenv("TW_JOB_USER") == "sandcastle"


def is_travis() -> bool:
    """True on Travis CI."""
    return "TRAVIS" in os.environ


def settings(*args: Any, **kwargs: Any) -> Any:
    """`hypothesis.settings`, with what older versions knew: ``timeout`` in seconds becomes ``deadline``."""
    kwargs.pop("min_satisfying_examples", None)
    if "timeout" in kwargs:
        seconds = kwargs.pop("timeout")
        kwargs.setdefault("deadline", seconds * 1e3 if seconds > 0 else None)
    return hypothesis.settings(*args, **kwargs)


def _register(name: str, examples: int, deadline: int, **kwargs: Any) -> None:
    made = settings(
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        database=None,
        max_examples=examples,
        deadline=deadline,
        **kwargs,
    )
    hypothesis.settings.register_profile(name, made)


_register("sandcastle", 50, 10000, derandomize=True)
_register("dev", 10, 10000)
_register("debug", 1000, 50000)
hypothesis.settings.load_profile(
    "sandcastle" if is_sandcastle() else os.getenv("CAFFE2_HYPOTHESIS_PROFILE", "dev")
)

cpu_do = caffe2_pb2.DeviceOption()
cuda_do = caffe2_pb2.DeviceOption(device_type=caffe2_pb2.CUDA)
hip_do = caffe2_pb2.DeviceOption(device_type=caffe2_pb2.HIP)
gpu_do = caffe2_pb2.DeviceOption(device_type=workspace.GpuDeviceType)
_gpus = [gpu_do] if workspace.has_gpu_support else []
device_options = [cpu_do, *_gpus]
#: one device option for each GPU
expanded_device_options = [cpu_do] + [
    caffe2_pb2.DeviceOption(device_type=workspace.GpuDeviceType, device_id=i)
    for i in range(workspace.NumGpuDevices())
]


def device_checker_device_options() -> Any:
    """All devices."""
    return st.just(device_options)


def gradient_checker_device_option() -> Any:
    """One of the devices."""
    return st.sampled_from(device_options)


def _devices(options: list[Any]) -> dict[str, Any]:
    """``gc``, one of some devices, and ``dc``, all of them, for `hypothesis.given`."""
    return {"gc": st.sampled_from(options), "dc": st.just(options)}


gcs = _devices(device_options)
gcs_cpu_only = _devices([cpu_do])
gcs_cuda_only = _devices(_gpus)
gcs_gpu_only = _devices(_gpus)
gcs_no_hip = _devices(device_options)
