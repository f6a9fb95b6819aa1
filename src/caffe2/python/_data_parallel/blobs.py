"""Names and devices of blobs that every device has one of.

Owned here: grouping them, and which device each blob is on. Who calls it: the other parts of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core, scope
from caffe2.python._errors import require


def prefix_of(model: Any, device: int) -> str:
    """What names of a device's blobs begin with: "cpu_0/"."""
    return f"{model._device_prefix}_{device}/"


def stripBlobName(param: Any) -> str:
    """A blob's name without its device: "a/b/c" -> "b/c"; of a sparse gradient "indices:values"."""
    if isinstance(param, core.GradientSlice):
        return f"{stripBlobName(param.indices)}:{stripBlobName(param.values)}"
    name = str(param)
    return name[name.index(scope._NAMESCOPE_SEPARATOR) + 1 :]


def group_by_device(
    model: Any, devices: Sequence[int], params: Sequence[Any], non_data_params: Sequence[Any]
) -> dict[str, dict[int, Any]]:
    """Name without device -> device -> blob, in their order; the first ``len(non_data_params)`` are left out.

    Raises:
        MisuseError: something that is no blob, or that has no device in its name.
    """
    grouped: dict[str, dict[int, Any]] = {}
    for param in params[len(non_data_params) :]:
        sparse = isinstance(param, core.GradientSlice)
        require(
            sparse or isinstance(param, core.BlobReference),
            f"Param {param} is not BlobReference or GradientSlice",
        )
        parts = [param.indices, param.values] if sparse else [param]
        device = int(parts[0].GetNameScope().split("_")[1].split("/")[0])
        for part in parts:
            require(
                prefix_of(model, device) in part.GetNameScope(),
                f"Param {part} expected to have namescope '{model._device_prefix}_{device}'",
            )
        grouped.setdefault(stripBlobName(param), {})[device] = param
    return grouped


def validate_params(params: Sequence[Any]) -> None:
    """Raise MisuseError if a parameter is there twice."""
    twice = sorted({str(p) for p in params if list(params).count(p) > 1})
    require(not twice, f"Duplicate entries in params: {twice}")


def infer_devices(model: Any) -> None:
    """Note for each blob the device of the first operator that has it."""
    found: dict[str, Any] = {}

    def look(operators: Iterable[Any]) -> None:
        for op in operators:
            device = op.device_option
            if op.type == "Iter":
                device = caffe2_pb2.DeviceOption(device_type=caffe2_pb2.CPU)
            for name in [*op.input, *op.output]:
                found.setdefault(name, device)
            if op.type.startswith("RecurrentNetwork"):
                for arg in op.arg:
                    if arg.name.endswith("step_net"):
                        look(arg.n.op)

    look(model.param_init_net.Proto().op)
    look(model.net.Proto().op)
    model._blob_to_device = found


def _type_of(model: Any, name: Any) -> int:
    """Device type of a blob, named with or without its device."""
    found = model._blob_to_device
    device = found.get(name) or found.get(prefix_of(model, model._devices[0]) + str(name))
    return int(model._device_type if device is None else device.device_type)


def is_gpu_blob(model: Any, name: Any) -> bool:
    """True if a blob is on a GPU."""
    return bool(core.IsGPUDeviceType(_type_of(model, name)))


def is_ideep_blob(model: Any, name: Any) -> bool:
    """True if a blob is for Intel's kernels."""
    return _type_of(model, name) == caffe2_pb2.IDEEP


def blobs_to_sync(model: Any) -> tuple[list[Any], set[str]]:
    """Blobs that the initialising net makes on devices, by device and name; and their names without device.

    Raises:
        MisuseError: a parameter is not initialised there.
    """
    if model._shared_model:
        blobs = [str(p) for p in model.GetComputedParams("")]
        names = {stripBlobName(p) for p in blobs}
    else:
        start = f"{model._device_prefix}_"
        blobs = [o for op in model.param_init_net.Proto().op for o in op.output if o.startswith(start)]
        names = {stripBlobName(o) for o in blobs}
        missing = set(model._param_names) - names
        require(not missing, f"Some params not instantiated in param init net: {missing}")
    at = len(model._device_prefix) + 1

    def key(blob: str) -> tuple[int, str]:
        return int(blob[at : blob.index(scope._NAMESCOPE_SEPARATOR)]), blob

    return [core.BlobReference(b) for b in sorted(set(blobs), key=key)], names


def check_devices(model: Any) -> None:
    """Refuse an operator on a GPU that has a blob of another one.

    Raises:
        MisuseError: with the operator and the blob.
    """
    for op in model.Proto().op:
        if any(word in op.type for word in ("NCCL", "Copy", "Concat")) or (
            op.type == "Sum" and op.name == "dpm"
        ):
            continue
        if "Allreduce" in op.type and "GLOO" in op.engine:
            continue
        if not core.IsGPUDeviceType(op.device_option.device_type):
            continue
        own = prefix_of(model, op.device_option.device_id)
        for name in [*op.input, *op.output]:
            require(
                not name.startswith(f"{model._device_prefix}_") or name.startswith(own),
                f"Blob {name} of op {op.type}, should have namescope {own}. Op: {op}",
            )
