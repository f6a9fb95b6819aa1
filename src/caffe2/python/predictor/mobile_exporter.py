"""A net and its weights as two messages, init_net and predict_net.

Source: caffe2/python/predictor/mobile_exporter.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core, utils
from freshpot.errors import DTypeError

_FILLS = {
    np.dtype("float32"): "GivenTensorFill",
    np.dtype("int32"): "GivenTensorIntFill",
    np.dtype("int64"): "GivenTensorInt64Fill",
    np.dtype("uint8"): "GivenTensorByteStringToUInt8Fill",
    np.dtype("O"): "GivenTensorStringFill",
}


def add_tensor(net: Any, name: str, blob: np.ndarray) -> None:
    """Append to the message ``net`` an operator that fills blob ``name`` with an array.

    Raises:
        DTypeError: there is no fill for the array's type, or an array of objects holds more than bytes.
    """
    if blob.dtype not in _FILLS:
        known = ", ".join("bytes" if t == "O" else str(t) for t in _FILLS)
        raise DTypeError(f"arrays of {blob.dtype} cannot be stored in a net; these can: {known}.", blob=name)
    if blob.dtype == np.dtype("O") and not all(isinstance(value, bytes) for value in blob):
        raise DTypeError(
            "an array of objects can be stored in a net only if it is a list of bytes.", blob=name
        )
    values: Any = [blob.tobytes()] if blob.dtype == np.dtype("uint8") else blob
    arguments = [utils.MakeArgument("shape", blob.shape), utils.MakeArgument("values", values)]
    net.op.extend([core.CreateOperator(_FILLS[blob.dtype], [], [name], arg=arguments)])


def Export(workspace: Any, net: Any, params: Iterable[Any]) -> tuple[Any, Any]:
    """The messages init_net (fills parameters and inputs) and predict_net (with inputs and outputs set).

    Args:
        workspace: where the parameters are: the module `workspace`, or an object with ``FetchBlob``.
        net: a `core.Net` or its message.
        params: the blobs to store.

    Raises:
        MissingBlobError: a parameter is not in the workspace. DTypeError: as `add_tensor`.
    """
    proto = net if isinstance(net, caffe2_pb2.NetDef) else net.Proto()
    params = [str(name) for name in params]
    ssa, versions = core.get_ssa(net)
    read = {name for inputs, _ in ssa for name, _ in inputs}
    inputs = [name for name, version in versions.items() if version == 0 and name not in params]
    outputs = [name for name, version in versions.items() if version != 0 and name not in read]

    init_net = caffe2_pb2.NetDef()
    for name in params:
        add_tensor(init_net, name, workspace.FetchBlob(name))
    for name in inputs:
        add_tensor(init_net, name, np.zeros((1, 1), np.float32))

    predict_net = caffe2_pb2.NetDef()
    predict_net.CopyFrom(proto)
    del predict_net.external_input[:]
    predict_net.external_input.extend(dict.fromkeys([*inputs, *proto.external_input]))
    del predict_net.external_output[:]
    predict_net.external_output.extend(outputs)
    return init_net, predict_net
