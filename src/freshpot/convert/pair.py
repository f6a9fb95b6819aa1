"""A net and its parameters as Caffe2's predictor pair: ``predict_net.pb`` and ``init_net.pb``.

Owned here: which fill holds which parameter, and the files. Who calls it: `freshpot convert`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from freshpot.convert.netdef import net_to_proto
from freshpot.errors import FormatError, NetError
from freshpot.formats import protobuf
from freshpot.formats.atomic import write_bytes
from freshpot.formats.packed import put_packed
from freshpot.net import Net

_PB = protobuf.load("caffe2")
#: the operator that fills a blob with numbers of a type
_FILLS = {
    torch.float32: "GivenTensorFill",
    torch.int32: "GivenTensorIntFill",
    torch.int64: "GivenTensorInt64Fill",
    torch.bool: "GivenTensorBoolFill",
}
#: the most that a protobuf message may hold, bytes
_LIMIT = 2**31 - 1


def init_net(name: str, parameters: Mapping[str, torch.Tensor]) -> Any:
    """A NetDef that fills the parameters.

    Raises:
        NetError: a parameter of a type that no fill has.
    """
    made = _PB.NetDef(name=name, external_output=list(parameters))
    for blob, value in parameters.items():
        if value.dtype not in _FILLS:
            raise NetError(f"parameter '{blob}' is {value.dtype}, which no init_net holds.", blob=blob)
        op = made.op.add(type=_FILLS[value.dtype], output=[blob])
        op.arg.add(name="shape", ints=list(value.shape))
        values = op.arg.add(name="values")
        if value.dtype == torch.float32:
            put_packed_floats(values, value)
        else:
            values.ints.extend(int(v) for v in value.reshape(-1).tolist())
    return made


def put_packed_floats(arg: Any, value: torch.Tensor) -> None:
    """The numbers of a tensor as an argument's floats, all at once."""
    put_packed(arg, "floats", value.detach().cpu().contiguous().numpy().astype("<f4", copy=False).tobytes())


def write_pair(folder: Path, net: Net, parameters: Mapping[str, torch.Tensor]) -> None:
    """Write both files into a folder, which is made if it is not there; each is written atomically.

    Raises:
        NetError: a parameter of a type that no fill has. FormatError: the parameters are more than 2 GiB.
        OSError: the folder is not writable.
    """
    init = init_net(f"{net.name}_init", parameters)
    if init.ByteSize() > _LIMIT:
        raise FormatError(f"{init.ByteSize()} bytes are more than an init_net can hold.", path=folder)
    predict = net_to_proto(net).SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "init_net.pb", init.SerializeToString())
    write_bytes(folder / "predict_net.pb", predict)
