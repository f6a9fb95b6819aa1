"""What training adds to a net: iteration counter, accuracy, weight decay."""

from __future__ import annotations

from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core, scope


def iter(model: Any, blob_out: Any, **kwargs: Any) -> Any:
    """A counter that is 0 at first and goes up by one in each run."""
    kwargs.pop("device_option", None)
    cpu = core.DeviceOption(caffe2_pb2.CPU, 0)
    model.param_init_net.ConstantFill(
        [], blob_out, shape=[1], value=0, dtype=core.DataType.INT64, device_option=cpu, **kwargs
    )
    return model.net.Iter(blob_out, blob_out, **kwargs)


def accuracy(model: Any, blob_in: Any, blob_out: Any, **kwargs: Any) -> Any:
    """Part of the samples whose label has the highest score.

    Differs from what one expects as the original does: on the CPU all other arguments (also ``top_k``)
    are dropped. Call ``model.net.Accuracy(…, top_k=5)`` for the top five.
    """
    device = kwargs.get("device_option", scope.CurrentDeviceScope())
    on_cpu = device is None or device.device_type == caffe2_pb2.CPU
    if on_cpu or kwargs.get("top_k", 1) <= 1:
        return model.net.Accuracy(blob_in, blob_out)
    kwargs["device_option"] = core.DeviceOption(caffe2_pb2.CPU, 0)
    on_host = [model.net.CopyGPUToCPU(blob, blob + "_host") for blob in blob_in[:2]]
    return model.net.Accuracy(on_host, blob_out, **kwargs)


def add_weight_decay(model: Any, weight_decay: float) -> None:
    """Add ``weight_decay`` times each weight of the current name scope to its gradient."""
    if weight_decay <= 0.0:
        return
    decay = model.param_init_net.ConstantFill([], "wd", shape=[1], value=weight_decay)
    one = model.param_init_net.ConstantFill([], "ONE", shape=[1], value=1.0)
    namescope = scope.CurrentNameScope()
    for param in list(model.weights):
        if namescope in ("", param.GetNameScope()):
            grad = model.param_to_grad[param]
            model.net.WeightedSum([grad, one, param, decay], grad)
