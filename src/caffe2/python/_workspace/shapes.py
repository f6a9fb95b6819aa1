"""Shapes and types of the blobs of nets, without running them.

Owned here: `InferShapesAndTypes` over the engine's inference. Who calls it: `workspace`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python._workspace import nets as _nets
from caffe2.python._workspace import state, values
from freshpot.engine.infer import Spec, infer_shapes
from freshpot.ops.dtypes import NUMBER, TORCH, torch_dtype

_NUMBER_OF = {dtype: number_name for number_name, dtype in TORCH.items()}


def infer(
    nets: Sequence[Any],
    blob_dimensions: Mapping[str, Sequence[int]] | None = None,
    blob_types: Mapping[str, int] | None = None,
) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Shape and `TensorProto.DataType` of every blob for which they can be known.

    Args:
        nets: Nets or NetDefs that run one after the other.
        blob_dimensions: shapes to start from; if not given, those of the workspace.
        blob_types: types to start from, by blob; float where not given.

    Raises:
        NetError: the shapes do not fit an operator.
    """
    known = _from_workspace() if blob_dimensions is None else _given(blob_dimensions, blob_types or {})
    told: dict[str, int] = {}
    for net in nets:
        read = _nets.read_net(net)
        known = infer_shapes(read, known)
        for op in read.ops:
            # the original tells int32 of TopK's indices, though they are int64 when it runs
            told.update({name: caffe2_pb2.TensorProto.INT32 for name in op.outputs[1:] if op.type == "TopK"})
    shapes = {name: list(shape) for name, (shape, _) in known.items()}
    types = {name: data_type(dtype) for name, (_, dtype) in known.items()}
    return shapes, types | {name: number for name, number in told.items() if name in types}


def data_type(dtype: Any) -> int:
    """The `TensorProto.DataType` of a torch type; 0 (UNDEFINED) where it has none."""
    name = _NUMBER_OF.get(dtype)
    number = NUMBER.get(name) if name else None
    return caffe2_pb2.TensorProto.UNDEFINED if number is None else int(number)


def _from_workspace() -> dict[str, Spec]:
    ws = state.current()
    found = {}
    for name in ws.names():
        blob = ws.find(name)
        spec = values.spec(blob.value) if blob else None
        if spec is not None:
            found[name] = spec
    return found


def _given(dimensions: Mapping[str, Sequence[int]], types: Mapping[str, int]) -> dict[str, Spec]:
    return {
        str(name): (tuple(int(n) for n in shape), torch_dtype(types.get(name, caffe2_pb2.TensorProto.FLOAT)))
        for name, shape in dimensions.items()
    }
