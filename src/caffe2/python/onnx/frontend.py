"""Caffe2 nets as ONNX models.

Owned here: the calls that programs make. Who does the work: `freshpot.convert.onnx`, which writes opset 13. With the
package ``onnx`` installed the messages are its own, without it freshpot's: ``SerializeToString()`` either way.

Source: caffe2/python/onnx/frontend.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from caffe2.python import core
from caffe2.python.onnx._messages import as_users
from caffe2.python.onnx.helper import c2_native_run_net
from freshpot.convert.netdef import net_from_proto
from freshpot.convert.onnx import to_onnx
from freshpot.errors import ArgumentError, MissingBlobError
from freshpot.formats.onnx import tensor
from freshpot.formats.onnx_file import TYPES

__all__ = [
    "Caffe2Frontend",
    "caffe2_init_net_to_initializer",
    "caffe2_net_to_onnx_graph",
    "caffe2_net_to_onnx_model",
    "ssa_rewrite",
]

#: blob -> ONNX's number of its type, sizes
ValueInfo = Mapping[str, tuple[int, Sequence[int]]]


class Caffe2Frontend:
    """The conversion, as class methods."""

    target_opset_version = 13

    @classmethod
    def caffe2_net_to_onnx_model(
        cls, predict_net: Any, init_net: Any = None, value_info: ValueInfo | None = None
    ) -> Any:
        """A net as an ONNX ModelProto.

        Args:
            predict_net: the NetDef; it is not changed.
            init_net: the NetDef that fills its parameters, or None.
            value_info: type and sizes of its inputs: ``{"data": (onnx.TensorProto.FLOAT, (1, 3, 224, 224))}``.

        Raises:
            ArgumentError: value_info is no dictionary, or has a type that nets have not.
            MissingBlobError: an input that is neither filled nor in value_info. NotSupportedError: operators without
                a converter, all of them named.
        """
        return as_users(cls._model(predict_net, init_net, value_info))

    @classmethod
    def caffe2_net_to_onnx_graph(
        cls, predict_net: Any, init_net: Any = None, value_info: ValueInfo | None = None
    ) -> Any:
        """A net as an ONNX GraphProto; see `caffe2_net_to_onnx_model`."""
        return as_users(cls._model(predict_net, init_net, value_info).graph)

    @classmethod
    def _model(cls, predict_net: Any, init_net: Any, value_info: ValueInfo | None) -> Any:
        if value_info is not None and not isinstance(value_info, dict):
            raise ArgumentError("Please pass value_info as a name -> (type, shape) dictionary")
        inputs = {name: _spec(name, *spec) for name, spec in (value_info or {}).items()}
        parameters = {}
        if init_net is not None:
            filled = {name for op in init_net.op for name in op.output}
            # what value_info speaks of is data, though an init net fills it for predictors' sake
            parameters = {
                name: v for name, v in _filled(init_net).items() if name in filled and name not in inputs
            }
        missing = [n for n in predict_net.external_input if n not in inputs and n not in parameters]
        if missing:
            raise MissingBlobError(
                f"Could not find value info of inputs: {', '.join(missing)}", net=predict_net.name or None
            )
        net = net_from_proto(predict_net)
        used = {name: spec for name, spec in inputs.items() if name in predict_net.external_input}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in parameters.items()}
        return to_onnx(net, tensors, used, list(predict_net.external_output))

    @classmethod
    def caffe2_init_net_to_initializer(cls, init_net: Any) -> list[Any]:
        """What an init net fills, as TensorProtos in the order of their names."""
        filled = _filled(init_net)
        return [as_users(tensor(name, filled[name])) for name in sorted(filled)]

    @classmethod
    def ssa_rewrite(cls, net: Any, init_net: Any, value_info: Any) -> None:
        """Give each value of a net a name of its own: a blob that is written more than once gets versions.

        Args:
            net: the NetDef; its operators and external outputs are changed.
            init_net: its init net, which may only fill with given numbers; or None.
            value_info: taken for programs' sake.

        Raises:
            AssertionError: the init net has another operator.
        """
        for op in init_net.op if init_net else ():
            if not re.match("GivenTensor.*Fill", op.type) or len(op.output) != 1:
                raise AssertionError(f"type is {op.type}, \n{op}")
        ssa, last = core.get_ssa(net)
        versions: dict[str, set[int]] = {}
        for pair in ssa:
            for name, version in (*pair[0], *pair[1]):
                versions.setdefault(name, set()).add(version)

        def named(name: str, version: int) -> str:
            once = version == 0 or len(versions.get(name, ())) <= 1
            return name if once else f"{name}_{version}"

        for op, (read, written) in zip(net.op, ssa, strict=True):
            op.input[:] = [named(*each) for each in read]
            op.output[:] = [named(*each) for each in written]
        net.external_output[:] = [named(name, last[name]) for name in net.external_output]


def _spec(name: str, number: int, shape: Sequence[int]) -> tuple[tuple[int, ...], torch.dtype]:
    if number not in TYPES:
        raise ArgumentError(f"value_info of '{name}': {number} is no element type of ONNX that nets have.")
    dtype = torch.from_numpy(np.zeros(1, TYPES[number][0])).dtype
    return tuple(int(n) for n in shape), dtype


def _filled(init_net: Any) -> dict[str, Any]:
    """Values of what an init net fills."""
    ws, _ = c2_native_run_net(None, init_net, [])
    return {name: ws.FetchBlob(name) for op in init_net.op for name in op.output}


caffe2_net_to_onnx_graph = Caffe2Frontend.caffe2_net_to_onnx_graph
caffe2_net_to_onnx_model = Caffe2Frontend.caffe2_net_to_onnx_model
caffe2_init_net_to_initializer = Caffe2Frontend.caffe2_init_net_to_initializer
ssa_rewrite = Caffe2Frontend.ssa_rewrite
