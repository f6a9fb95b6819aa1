"""Long lists of floats in a net's bytes: they stay there, and everything else is as with a list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from freshpot.convert.netdef import net_from_bytes, net_from_proto, net_to_proto
from freshpot.engine import Workspace
from freshpot.errors import ArgumentError, FormatError, ShapeError
from freshpot.formats import protobuf, wire
from freshpot.net import Net
from freshpot.net.floats import Floats

_PB = protobuf.load("caffe2")
COUNT = 20000
VALUES = (np.arange(COUNT) / 7).astype(np.float32)


def _message(type: str = "GivenTensorFill", shape: tuple[int, ...] = (COUNT,)) -> Any:
    """Two fills, one of few numbers and one of many, and a Copy."""
    proto = _PB.NetDef(name="init")
    for name, count in (("few", 3), ("many", COUNT)):
        op = proto.op.add(type=type if name == "many" else "GivenTensorFill", output=[name])
        op.arg.add(name="shape", ints=shape if name == "many" else [3])
        op.arg.add(name="values").floats.extend(VALUES[:count].tolist())
    proto.op.add(type="Copy", input=["many"], output=["y"])
    return proto


def _run(net: Net) -> torch.Tensor:
    workspace = Workspace()
    workspace.run_once(net)
    return workspace.find("many").value


def test_the_net_is_the_same() -> None:
    proto = _message()
    net = net_from_bytes(proto.SerializeToString())
    found = net.ops[1].args["values"]
    assert isinstance(found, Floats)
    assert net == net_from_proto(proto)
    assert list(net.ops[1].args) == ["shape", "values"]
    assert net_to_proto(net) == net_to_proto(net_from_proto(proto)) == proto
    assert type(net.ops[0].args["values"]) is list
    wanted = VALUES.tolist()
    assert (list(found), found[7], found[-1], found[5:9]) == (wanted, wanted[7], wanted[-1], wanted[5:9])
    assert found != wanted[1:]
    assert found == net_from_bytes(proto.SerializeToString()).ops[1].args["values"]


@pytest.mark.parametrize(
    ("type", "dtype"), [("GivenTensorFill", torch.float32), ("GivenTensorDoubleFill", torch.float64)]
)
def test_the_tensor_is_the_same(type: str, dtype: torch.dtype) -> None:
    net = net_from_bytes(_message(type, (2, COUNT // 2)).SerializeToString())
    made = _run(net)
    assert made.dtype == dtype
    assert torch.equal(made, torch.from_numpy(VALUES).to(dtype).reshape(2, -1))
    made.zero_()
    assert torch.equal(_run(net), torch.from_numpy(VALUES).to(dtype).reshape(2, -1))


def test_refusals_are_those_of_a_list() -> None:
    with pytest.raises(ShapeError, match=f"has {COUNT - 1} elements, argument 'values' has {COUNT}"):
        _run(net_from_bytes(_message(shape=(COUNT - 1,)).SerializeToString()))
    with pytest.raises(ArgumentError, match="'values' holds float, which does not suit int32"):
        _run(net_from_bytes(_message("GivenTensorIntFill").SerializeToString()))


@pytest.mark.parametrize("cut", [1, 7, COUNT, 5 * COUNT + 40])
def test_bytes_that_end_early_are_refused(cut: int) -> None:
    data = _message().SerializeToString()[:-cut]
    with pytest.raises(FormatError, match=f"{len(data)} bytes are not a complete caffe2.NetDef"):
        net_from_bytes(data)


def _numbers(values: np.ndarray) -> bytes:
    return b"".join(bytes([wire.FIXED32 | 5 << 3]) + value.tobytes() for value in values)


_NAME = wire.bytes_field(1, b"values")


@pytest.mark.parametrize(
    "argument",
    [
        [_NAME + _numbers(VALUES)],
        [_numbers(VALUES) + _NAME],
        [_numbers(VALUES[:9000]) + _NAME + _numbers(VALUES[9000:])],
        [_NAME + wire.bytes_field(5, VALUES.tobytes())],
        [_NAME + b"\x15" + VALUES[:1].tobytes() + _numbers(VALUES)],
        [_NAME + _numbers(VALUES), _NAME + _numbers(VALUES[:3])],
        [_NAME + _numbers(VALUES[:3]), _NAME + _numbers(VALUES)],
        [wire.bytes_field(1, b"other") + b"\x30\x05" * 20000, _NAME + _numbers(VALUES)],
    ],
    ids=["usual", "name last", "two runs", "packed", "one, too", "twice", "twice, other", "other"],
)
def test_any_layout_of_an_argument(argument: list[bytes]) -> None:
    op = wire.bytes_field(4, b"GivenTensorFill") + b"".join(wire.bytes_field(5, one) for one in argument)
    data = wire.bytes_field(1, b"init") + wire.bytes_field(2, op)
    proto = _PB.NetDef()
    proto.ParseFromString(data)
    assert net_from_bytes(data) == net_from_proto(proto)
