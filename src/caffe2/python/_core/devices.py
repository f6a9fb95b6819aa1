"""Element types and device options.

Owned here: `DataType`, `DeviceOption` and comparing devices. Who calls it: `core`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from caffe2.proto import caffe2_pb2
from caffe2.python._errors import require


class DataType:
    """The numbers of element types: ``DataType.FLOAT`` and so on, as in ``TensorProto.DataType``."""

    if TYPE_CHECKING:
        FLOAT: int
        INT32: int
        BYTE: int
        STRING: int
        BOOL: int
        UINT8: int
        INT8: int
        UINT16: int
        INT16: int
        INT64: int
        FLOAT16: int
        DOUBLE: int


for _name, _number in caffe2_pb2.TensorProto.DataType.items():
    setattr(DataType, _name, _number)


def IsGPUDeviceType(device_type: int) -> bool:
    """True if the number of a device type names GPUs."""
    return device_type in (caffe2_pb2.CUDA, caffe2_pb2.HIP)


def DeviceOption(
    device_type: int,
    device_id: int = 0,
    random_seed: int | None = None,
    node_name: str | None = None,
    numa_node_id: int | None = None,
    extra_info: Iterable[str] | None = None,
) -> Any:
    """A DeviceOption message.

    Raises:
        MisuseError: a NUMA node for a device that is not a CPU.
    """
    option = caffe2_pb2.DeviceOption(device_type=device_type, device_id=device_id)
    if node_name is not None:
        option.node_name = node_name
    if random_seed is not None:
        option.random_seed = random_seed
    if numa_node_id is not None:
        require(device_type == caffe2_pb2.CPU, "only a CPU has a numa_node_id.")
        option.numa_node_id = numa_node_id
    option.extra_info.extend(extra_info or ())
    return option


def device_option_equal(
    opt1: Any, opt2: Any, ignore_node_name: bool = True, ignore_random_seed: bool = True
) -> bool:
    """True if two device options name the same device; the index of a CPU does not count."""
    if not opt1 or not opt2:
        return bool(opt1 == opt2)
    if not ignore_node_name and opt1.node_name != opt2.node_name:
        return False
    if not ignore_random_seed and opt1.random_seed != opt2.random_seed:
        return False
    if not (opt1.device_type and opt2.device_type):
        return opt1.device_type == opt2.device_type
    return bool(opt1.device_id == opt2.device_id)


def device_equal(src: Any, dst: Any) -> bool:
    """True if type and index of two device options are equal, said or not."""
    return bool(src.device_type == dst.device_type and src.device_id == dst.device_id)


def InferBlobDevices(net: Any) -> dict[str, Any]:
    """Blob -> DeviceOption of the operator that writes it last."""
    return {blob: op.device_option for op in net.Proto().op for blob in op.output}


#: operators that do not keep all their blobs where they run: numbers of the inputs and of the outputs
#: that are on the CPU all the same; None means all of them
_ON_CPU: dict[str, tuple[tuple[int, ...] | None, tuple[int, ...] | None]] = {
    "Concat": ((), (1,)),
    "CopyCPUToGPU": (None, ()),
    "CopyFromCPUInput": (None, ()),
    "CopyGPUToCPU": ((), None),
    "EnsureCPUOutput": ((), None),
    "LearningRate": (None, ()),
    "Split": ((1,), ()),
}


def InferOpBlobDevices(op: Any) -> tuple[list[Any], list[Any]]:
    """Device options of an operator's inputs and of its outputs."""
    cpu_inputs, cpu_outputs = _ON_CPU.get(op.type, ((), ()))

    def places(blobs: Sequence[str], on_cpu: tuple[int, ...] | None) -> list[Any]:
        options = [caffe2_pb2.DeviceOption() for _ in blobs]
        for i, option in enumerate(options):
            if on_cpu is None or i in on_cpu:
                option.device_type = caffe2_pb2.CPU
            else:
                option.CopyFrom(op.device_option)
        return options

    return places(op.input, cpu_inputs), places(op.output, cpu_outputs)


def InferOpBlobDevicesAsDict(op: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `InferOpBlobDevices`, by blob name."""
    inputs, outputs = InferOpBlobDevices(op)
    return dict(zip(op.input, inputs, strict=True)), dict(zip(op.output, outputs, strict=True))


def InferOpDeviceAsBlobDevices(op: Any) -> tuple[list[Any], list[Any]]:
    """The operator's own device for each of its inputs and outputs."""
    return [op.device_option] * len(op.input), [op.device_option] * len(op.output)
