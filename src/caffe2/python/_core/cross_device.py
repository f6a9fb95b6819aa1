"""Copies between devices, put into nets where a blob is needed elsewhere.

Owned here: `InjectCrossDeviceCopies` and its kin. Who calls it: `core`, programs that mix devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from caffe2.proto import caffe2_pb2
from caffe2.python._core.blobs import BlobReference
from caffe2.python._core.devices import (
    InferOpBlobDevices,
    InferOpDeviceAsBlobDevices,
    IsGPUDeviceType,
    device_equal,
)
from caffe2.python._core.net import Net
from caffe2.python._core.remap import remap_input
from caffe2.python._errors import require
from caffe2.python.scope import DeviceScope


class _Place(NamedTuple):
    blob: str
    device: str


def RemapEntry(blob: str, device: Any) -> _Place:
    """The key of a blob on a device in the maps of `InjectCrossDeviceCopies`."""
    return _Place(str(blob), str(device))


def copy_func_between_devices(src: Any, dst: Any) -> Callable[..., Any] | None:
    """A function ``(net, blob, name)`` that adds a copy from one device to another; None if they are one.

    Raises:
        ValueError: devices between which nothing can be copied.
    """
    from_gpu, to_gpu = IsGPUDeviceType(src.device_type), IsGPUDeviceType(dst.device_type)
    from_cpu, to_cpu = src.device_type == caffe2_pb2.CPU, dst.device_type == caffe2_pb2.CPU
    if (from_cpu and to_cpu) or (from_gpu and to_gpu and src.device_id == dst.device_id):
        return None
    if not ((from_cpu or from_gpu) and (to_cpu or to_gpu)):
        raise ValueError(f"nothing can be copied from device {src} to device {dst}.")
    op_type = "CopyGPUToCPU" if to_cpu else "CopyCPUToGPU" if from_cpu else "Copy"
    device = src if to_cpu else dst

    def copy(net: Net, *args: Any, **kwargs: Any) -> BlobReference:
        with DeviceScope(device):
            return net._CreateAndAddToSelf(op_type, *args, **kwargs)

    return copy


def update_placeholder_op_output(op: Any, blob_to_device: dict[str, Any]) -> None:
    """Rename outputs of an operator that runs on the CPU where the blob lives elsewhere: add ``_cpu``."""
    op.output[:] = [
        name + "_cpu"
        if name in blob_to_device and blob_to_device[name].device_type != caffe2_pb2.CPU
        else name
        for name in op.output
    ]


class _Injector:
    """One net on its way to a copy of it with copies between devices."""

    def __init__(
        self,
        net: Net,
        blob_to_device: dict[str, Any],
        blob_remap: dict[_Place, str],
        placeholders: Iterable[str],
    ) -> None:
        self.net = net
        self.places = blob_to_device
        self.copies = blob_remap
        self.placeholders = set(placeholders)
        self.made = net.Clone(f"{net.Name()}_cross_device", keep_schema=True)
        del self.made._net.op[:]
        known = [copy for place, copy in blob_remap.items() if place.blob in net._net.external_input]
        self.made._net.external_input.extend(known)

    def run(self) -> Net:
        for op in self.net._net.op:
            self._add(op)
        return self.made

    def _add(self, op: Any) -> None:
        placeholder = op.type in self.placeholders
        inputs, outputs = (InferOpDeviceAsBlobDevices if placeholder else InferOpBlobDevices)(op)
        renames = {}
        for device, name in zip(inputs, op.input, strict=True):
            if not device_equal(self._place_of(name), device):
                renames[name] = self._copy_to(name, device)
        if placeholder:
            update_placeholder_op_output(op, self.places)
        self._refuse_moves(op, outputs)
        new = caffe2_pb2.OperatorDef()
        new.CopyFrom(op)
        remap_input(new, renames)
        in_place = dict(zip(reversed(op.input), reversed(new.input), strict=True))
        new.output[:] = [in_place.get(name, name) for name in new.output]
        self.places.update(zip(new.output, outputs, strict=True))
        self.made.extend_ops([new])

    def _place_of(self, name: str) -> Any:
        require(self.net.BlobIsDefined(name), f"net '{self.net.Name()}' does not define blob '{name}'.")
        if name not in self.places:
            if not self.net.is_external_input(name):
                raise AttributeError(f"net '{self.net.Name()}': the device of blob '{name}' is not known.")
            self.places[name] = self.net._net.device_option
        return self.places[name]

    def _copy_to(self, name: str, device: Any) -> str:
        place = RemapEntry(name, device)
        if place in self.copies and self.places[self.copies[place]] == device:
            return self.copies[place]
        copied = name + _suffix(device)
        copy = copy_func_between_devices(self.places[name], device)
        if copy is not None:
            copy(self.made, BlobReference(name), BlobReference(copied))
        self.copies[place] = copied
        self.places[copied] = device
        return copied

    def _refuse_moves(self, op: Any, devices: list[Any]) -> None:
        for device, name in zip(devices, op.output, strict=True):
            known = self.places.get(name)
            if known is not None and name not in op.input and not device_equal(known, device):
                raise RuntimeError(
                    f"net '{self.net.Name()}': blob '{name}' is written on two devices "
                    f"({known or 'cpu'} and {device or 'cpu'}). Use two names.\nOperator:\n{op}"
                )


def _suffix(device: Any) -> str:
    if device.device_type == caffe2_pb2.CPU:
        return "_cpu"
    if IsGPUDeviceType(device.device_type):
        return f"_gpu_{device.device_id}"
    raise RuntimeError(f"nothing can be copied to device type {device.device_type}.")


def InjectCrossDeviceCopies(
    net: Net,
    blob_to_device: dict[str, Any] | None = None,
    blob_remap: dict[_Place, str] | None = None,
    placeHolderOps: Iterable[str] | None = None,
) -> tuple[Net, dict[str, Any]]:
    """A copy of a net with copies between devices wherever an operator needs a blob from another one.

    Args:
        blob_to_device: device of each blob known so far; external inputs that are not in it are where
            the net runs. Changed.
        blob_remap: copies that exist already: `RemapEntry` -> name. Changed.
        placeHolderOps: types of operators whose blobs are all on the operator's own device.

    Returns:
        the new net and ``blob_to_device``.

    Raises:
        RuntimeError: a blob is written on two devices.
        AttributeError: the device of a blob is not known.
    """
    places = {} if blob_to_device is None else blob_to_device
    copies = {} if blob_remap is None else blob_remap
    return _Injector(net, places, copies, placeHolderOps or ()).run(), places


def InjectDeviceCopiesAmongNets(
    nets: list[Net], blob_to_device_init: dict[str, Any] | None = None
) -> tuple[list[Net], dict[str, Any]]:
    """`InjectCrossDeviceCopies` for nets that run one after the other, in that order."""
    require(
        isinstance(nets, list) and all(isinstance(net, Net) for net in nets),
        "InjectDeviceCopiesAmongNets wants a list of Nets.",
    )
    places = blob_to_device_init or {}
    copies: dict[_Place, str] = {}
    return [InjectCrossDeviceCopies(net, places, copies)[0] for net in nets], places


def InjectDeviceCopiesAmongNetsWithoutB2D(
    nets: list[Net], blob_to_device_init: dict[str, Any] | None = None
) -> list[Net]:
    """As `InjectDeviceCopiesAmongNets`, without the map of devices."""
    return InjectDeviceCopiesAmongNets(nets, blob_to_device_init)[0]
