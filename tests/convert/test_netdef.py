"""NetDef and OperatorDef to the IR and back, without loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from conftest import SHARED, needs_shared
from freshpot.convert import netdef
from freshpot.errors import ArgumentError, FormatError
from freshpot.formats import protobuf
from freshpot.net import Device, Net, Op

PB = protobuf.load("caffe2")

FULL = """
name: "n" type: "dag" num_workers: 4 device_option { device_type: 1 device_id: 2 random_seed: 3 node_name: "x" }
op { input: "a" output: "b" name: "" type: "T" engine: "CUDNN" control_input: "c" is_gradient_op: true
     debug_info: "d" domain: "e" op_version: 7
     device_option { extra_info: "k:1" numa_node_id: 0 }
     arg { name: "i" i: 0 } arg { name: "f" f: 0.5 } arg { name: "s" s: "text" } arg { name: "raw" s: "\\377" }
     arg { name: "none" } arg { name: "is" ints: 1 ints: 2 } arg { name: "fs" floats: 1 }
     arg { name: "ss" strings: "a" }
     arg { name: "n" n { name: "inner" op { type: "U" } } } arg { name: "ns" nets { name: "x" } nets { name: "y" } }
     arg { name: "t" t { dims: 1 data_type: FLOAT float_data: 2 } } arg { name: "ts" tensors { name: "q" } }
     arg { name: "qs" qtensors { precision: 8 scale: 1 bias: 0 is_signed: false } } }
op { type: "unnamed" device_option { } }
arg { name: "x" i: 1 } external_input: "a" external_output: "b" partition_info { name: "p" device_id: 1 }
"""


def test_everything_survives() -> None:
    proto = text_format.Parse(FULL, PB.NetDef())
    net = netdef.net_from_proto(proto)
    assert netdef.net_to_proto(net) == proto
    assert netdef.net_to_proto(net).SerializeToString() == proto.SerializeToString()


def test_values() -> None:
    op = netdef.op_from_proto(text_format.Parse(FULL, PB.NetDef()).op[0])
    assert list(op.args)[:5] == ["i", "f", "s", "raw", "none"]
    assert [op.args[k] for k in ("i", "f", "s", "raw", "none", "is")] == [0, 0.5, "text", b"\xff", [], [1, 2]]
    assert op.args["n"] == Net("inner", [Op("U", name=None)])
    assert op.device == Device(numa_node_id=0, extra_info=["k:1"])


@needs_shared
@pytest.mark.parametrize(
    "path", sorted((SHARED or Path()).glob("reference/caffe2/programs/*.pbtxt")), ids=lambda p: p.name
)
def test_recorded_nets_survive(path: Path) -> None:
    proto = text_format.Parse(path.read_text(encoding="utf-8"), PB.NetDef())
    assert netdef.net_to_proto(netdef.net_from_proto(proto)) == proto


def test_remembered_nets_are_the_same_object() -> None:
    data = text_format.Parse(FULL, PB.NetDef()).SerializeToString()
    assert netdef.cached_net(data) is netdef.cached_net(bytes(bytearray(data)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "argument 'x' cannot be stored: no argument holds a object."),
        ([1, "a"], "argument 'x' cannot be stored: a list of mixed kinds: int, str."),
        (1 << 70, "argument 'x' cannot be stored: "),
    ],
)
def test_what_cannot_be_stored(value: object, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        netdef.arg_to_proto("x", value)
    assert message in str(caught.value)


def test_bytes_that_are_no_net() -> None:
    with pytest.raises(FormatError, match=r"are not a complete caffe2\.NetDef message"):
        netdef.net_from_bytes(b"\xff\xff\xff")
    with pytest.raises(FormatError, match=r"are not a complete caffe2\.OperatorDef message"):
        netdef.op_from_bytes(b"\xff\xff\xff")
