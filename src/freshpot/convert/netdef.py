"""Caffe2's protobuf messages to and from the IR: NetDef, OperatorDef, Argument, DeviceOption.

Owned here: the mapping, both ways and without loss (a repeated argument name keeps its last value, as
it is read). Who calls it: the Caffe2 door, readers and writers of exported nets.

How an argument's kind is kept: ``i`` is an ``int``, ``f`` a ``float``, ``s`` a ``str`` (``bytes`` where
it is not UTF-8), ``n`` a `Net`, a repeated field a list of these; ``t``, ``tensors`` and ``qtensors``
stay messages; an argument that says nothing is an empty list. Long lists of floats in bytes stay there (`Floats`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from freshpot.errors import ArgumentError
from freshpot.formats import protobuf
from freshpot.formats.long_floats import without_long_floats
from freshpot.formats.packed import put_packed
from freshpot.net import ArgValue, Device, Net, Op
from freshpot.net.floats import Floats

_PB = protobuf.load("caffe2")


# ---- reading ---------------------------------------------------------------------------------------
def device_from_proto(proto: Any) -> Device:
    """A device from a DeviceOption; what it does not say stays None."""

    def said(field: str) -> Any:
        return getattr(proto, field) if proto.HasField(field) else None

    return Device(
        said("device_type"),
        said("device_id"),
        said("random_seed"),
        said("node_name"),
        said("numa_node_id"),
        list(proto.extra_info),
    )


def arg_from_proto(proto: Any) -> ArgValue:
    """The value of an Argument."""
    for field, value in proto.ListFields():
        if field.name in _READERS:
            return _READERS[field.name](value)
    return []


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _copies(messages: Iterable[Any]) -> list[Any]:
    return [_copy(message) for message in messages]


def _copy(message: Any) -> Any:
    made = type(message)()
    made.CopyFrom(message)
    return made


def op_from_proto(proto: Any) -> Op:
    """An operator from an OperatorDef."""
    has = proto.HasField
    return Op(
        proto.type,
        list(proto.input),
        list(proto.output),
        {arg.name: arg_from_proto(arg) for arg in proto.arg},
        device_from_proto(proto.device_option) if has("device_option") else None,
        proto.engine if has("engine") else None,
        proto.name if has("name") else None,
        list(proto.control_input),
        proto.is_gradient_op if has("is_gradient_op") else None,
        proto.debug_info,
        proto.domain,
        proto.op_version if has("op_version") else None,
    )


def net_from_proto(proto: Any) -> Net:
    """A net from a NetDef."""
    return Net(
        proto.name,
        [op_from_proto(op) for op in proto.op],
        list(proto.external_input),
        list(proto.external_output),
        proto.type,
        proto.num_workers if proto.HasField("num_workers") else None,
        device_from_proto(proto.device_option) if proto.HasField("device_option") else None,
        {arg.name: arg_from_proto(arg) for arg in proto.arg},
        _copies(proto.partition_info),
    )


_READERS: dict[str, Callable[[Any], ArgValue]] = {
    "f": float,
    "i": int,
    "s": _text,
    "t": _copy,
    "n": net_from_proto,
    "floats": list,
    "ints": list,
    "strings": lambda values: [_text(v) for v in values],
    "tensors": _copies,
    "nets": lambda nets: [net_from_proto(n) for n in nets],
    "qtensors": _copies,
}


def net_from_bytes(data: bytes, *, path: object = None) -> Net:
    """A net from a serialised NetDef.

    Raises:
        FormatError: the bytes are not a NetDef.
    """
    rest, places = without_long_floats(data)
    proto = protobuf.parse_message(_PB.NetDef, rest, path=path)
    net = net_from_proto(proto)
    for place in places:
        given = [arg.name for arg in proto.op[place.op].arg]
        name = given[place.arg]
        if name not in given[place.arg + 1 :]:  # the last of a name counts
            net.ops[place.op].args[name] = Floats(data, place.begin, place.floats)
    return net


def op_from_bytes(data: bytes, *, path: object = None) -> Op:
    """An operator from a serialised OperatorDef.

    Raises:
        FormatError: the bytes are not an OperatorDef.
    """
    return op_from_proto(protobuf.parse_message(_PB.OperatorDef, data, path=path))


@functools.lru_cache(maxsize=256)
def cached_net(data: bytes) -> Net:
    """As `net_from_bytes`, remembered: the same bytes give the same object, which must not be changed."""
    return net_from_bytes(data)


@functools.lru_cache(maxsize=1024)
def cached_op(data: bytes) -> Net:
    """A net of one operator from a serialised OperatorDef, remembered; it must not be changed."""
    return Net(ops=[op_from_bytes(data)])


# ---- writing ---------------------------------------------------------------------------------------
def device_to_proto(device: Device) -> Any:
    """A DeviceOption that says what the device says."""
    proto = _PB.DeviceOption(extra_info=device.extra_info)
    for field, value in (
        ("device_type", device.type),
        ("device_id", device.index),
        ("random_seed", device.random_seed),
        ("node_name", device.node_name),
        ("numa_node_id", device.numa_node_id),
    ):
        if value is not None:
            setattr(proto, field, value)
    return proto


def arg_to_proto(name: str, value: ArgValue) -> Any:
    """An Argument.

    Raises:
        ArgumentError: the value is of a kind that arguments do not have, or a number is out of range.
    """
    proto = _PB.Argument(name=name)
    try:
        _set_arg(proto, value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"argument '{name}' cannot be stored: {error}.") from error
    return proto


def _set_arg(proto: Any, value: Any) -> None:
    if isinstance(value, Floats):
        put_packed(proto, "floats", value.array().astype("<f4", copy=False).tobytes())
    elif isinstance(value, (list, tuple)):
        _set_list(proto, value)
    elif isinstance(value, int):
        proto.i = value
    elif isinstance(value, float):
        proto.f = value
    elif isinstance(value, (str, bytes)):
        proto.s = _bytes(value)
    elif isinstance(value, Net):
        proto.n.CopyFrom(net_to_proto(value))
    elif isinstance(value, _PB.TensorProto):
        proto.t.CopyFrom(value)
    else:
        raise TypeError(f"no argument holds a {type(value).__name__}")


def _set_list(proto: Any, values: list[Any] | tuple[Any, ...]) -> None:
    for kinds, field, write in (
        (int, "ints", int),
        ((int, float), "floats", float),
        ((str, bytes), "strings", _bytes),
        (Net, "nets", net_to_proto),
        (_PB.TensorProto, "tensors", _same),
        (_PB.QTensorProto, "qtensors", _same),
    ):
        if all(isinstance(v, kinds) for v in values):
            getattr(proto, field).extend([write(v) for v in values])
            return
    raise TypeError("a list of mixed kinds: " + ", ".join(sorted({type(v).__name__ for v in values})))


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else value


def _same(value: Any) -> Any:
    return value


def op_to_proto(op: Op) -> Any:
    """An OperatorDef.

    Raises:
        ArgumentError: an argument that cannot be stored.
    """
    proto = _PB.OperatorDef(
        input=op.inputs,
        output=op.outputs,
        type=op.type,
        arg=[arg_to_proto(name, value) for name, value in op.args.items()],
        control_input=op.control_inputs,
    )
    for field, value in (
        ("name", op.name),
        ("engine", op.engine),
        ("is_gradient_op", op.is_gradient),
        ("op_version", op.version),
    ):
        if value is not None:
            setattr(proto, field, value)
    for field, text in (("debug_info", op.debug_info), ("domain", op.domain)):
        if text:
            setattr(proto, field, text)
    if op.device is not None:
        proto.device_option.CopyFrom(device_to_proto(op.device))
    return proto


def net_to_proto(net: Net) -> Any:
    """A NetDef.

    Raises:
        ArgumentError: an argument that cannot be stored.
    """
    proto = _PB.NetDef(
        op=[op_to_proto(op) for op in net.ops],
        external_input=net.inputs,
        external_output=net.outputs,
        arg=[arg_to_proto(name, value) for name, value in net.args.items()],
        partition_info=net.partitions,
    )
    if net.name:
        proto.name = net.name
    if net.type:
        proto.type = net.type
    if net.num_workers is not None:
        proto.num_workers = net.num_workers
    if net.device is not None:
        proto.device_option.CopyFrom(device_to_proto(net.device))
    return proto
