"""Blobs, nets and running: the module that programs drive the engine with.

Owned here: the public names; the work is done in `_workspace`, one idea a module, and by freshpot's engine.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import Message

from freshpot._loading import no_garbage as _no_garbage

with _no_garbage():
    import caffe2.python._import_c_extension as C
    from caffe2.proto import caffe2_pb2
    from caffe2.python import scope
    from caffe2.python._core.tracebacks import operator_tracebacks
    from caffe2.python._errors import require
    from caffe2.python._workspace import nets as _nets
    from caffe2.python._workspace import run_plan as _run_plan
    from caffe2.python._workspace import shapes, state, values
    from caffe2.python._workspace.cpp import Predictor, Workspace
    from caffe2.python._workspace.immediate import (
        FeedImmediate,
        FetchImmediate,
        ImmediateBlobs,
        IsImmediate,
        RunOperatorImmediate,
        StartImmediate,
        StopImmediate,
        WorkspaceGuard,
    )
    from freshpot.errors import DTypeError, NotSupportedError
    from freshpot.formats import protobuf
    from freshpot.formats.blob_proto import Int8Tensor

__all__ = [
    "BenchmarkNet",
    "BenchmarkNetOnce",
    "Blobs",
    "C",
    "CreateBlob",
    "CreateNet",
    "CurrentWorkspace",
    "DeserializeBlob",
    "FeedBlob",
    "FeedImmediate",
    "FetchBlob",
    "FetchBlobs",
    "FetchImmediate",
    "FetchInt8Blob",
    "FetchInt8BlobRealVal",
    "FetchTorch",
    "FillRandomNetworkInputs",
    "GetBlobNUMANode",
    "GetBlobSizeBytes",
    "GetCUDAVersion",
    "GetCuDNNVersion",
    "GetDeviceProperties",
    "GetGPUMemoryInfo",
    "GetGpuPeerAccessPattern",
    "GetNameScope",
    "GetNetName",
    "GetNumNUMANodes",
    "GetStats",
    "GlobalInit",
    "GpuDeviceType",
    "HasBlob",
    "ImmediateBlobs",
    "InferShapesAndTypes",
    "Int8Tensor",
    "IsImmediate",
    "IsNUMAEnabled",
    "NumCudaDevices",
    "NumGpuDevices",
    "Predictor",
    "RegisteredOperators",
    "ResetBlob",
    "ResetWorkspace",
    "RootFolder",
    "RunNet",
    "RunNetOnce",
    "RunOperatorImmediate",
    "RunOperatorMultiple",
    "RunOperatorOnce",
    "RunOperatorsOnce",
    "RunPlan",
    "RunPlanInBackground",
    "SerializeBlob",
    "StartImmediate",
    "StopImmediate",
    "StringifyBlobName",
    "StringifyNetName",
    "StringifyProto",
    "SwitchWorkspace",
    "Workspace",
    "WorkspaceGuard",
    "Workspaces",
    "blobs",
    "has_cuda_support",
    "has_gpu_support",
    "has_hip_support",
    "is_asan",
    "operator_tracebacks",
]

Blobs = C.blobs
ResetBlob = C.reset_blob
CreateBlob = C.create_blob
CurrentWorkspace = C.current_workspace
DeserializeBlob = C.deserialize_blob
GlobalInit = C.global_init
HasBlob = C.has_blob
RegisteredOperators = C.registered_operators
SerializeBlob = C.serialize_blob
SwitchWorkspace = C.switch_workspace
RootFolder = C.root_folder
Workspaces = C.workspaces
GetStats = C.get_stats
GetBlobSizeBytes = C.get_blob_size_bytes
GetBlobNUMANode = C.get_blob_numa_node
IsNUMAEnabled = C.is_numa_enabled
GetNumNUMANodes = C.get_num_numa_nodes
NumCudaDevices = NumGpuDevices = C.num_cuda_devices
GetCUDAVersion = C.get_cuda_version
GetCuDNNVersion = C.get_cudnn_version
GetDeviceProperties = C.get_device_properties
GetGPUMemoryInfo = C.get_gpu_memory_info

GpuDeviceType: int = caffe2_pb2.CUDA
has_cuda_support = C.has_cuda_support
has_gpu_support = C.has_gpu_support
has_hip_support = C.has_hip_support
is_asan = C.is_asan


def GetGpuPeerAccessPattern() -> np.ndarray:
    """Which GPU can read which other's memory, as a square array."""
    return np.asarray(C.get_cuda_peer_access_pattern())


def GetNameScope() -> str:
    """The name scope in force."""
    return scope.CurrentNameScope()


# ---- workspaces and blobs --------------------------------------------------------------------------
def ResetWorkspace(root_folder: str | None = None) -> bool:
    """Empty the current workspace: no blobs, no nets.

    Args:
        root_folder: where operators write files from now on; made if it does not exist.
    """
    return state.reset(root_folder)


def FeedBlob(name: Any, arr: Any, device_option: Any = None) -> bool:
    """Put a copy of a value into a blob, made if needed.

    Args:
        name: a name or a BlobReference.
        arr: numpy array, torch tensor, TensorProto, text or bytes.
        device_option: where to put a tensor; else the device scope in force, else the CPU.

    Raises:
        DTypeError: a value that blobs cannot hold.
    """
    device = scope.CurrentDeviceScope() if device_option is None else device_option
    return values.feed(state.current(), state.blob_name(name), arr, device)


def FetchBlob(name: Any) -> Any:
    """A copy of what a blob holds: a numpy array (text as an object array of bytes), or bytes; of anything
    else a description, as bytes.

    Raises:
        MissingBlobError: there is no such blob.
        DTypeError: it is a quantised tensor, which `FetchInt8Blob` fetches.
    """
    value = values.fetch(values.find(state.current(), name if type(name) is str else state.blob_name(name)))
    if isinstance(value, tuple):
        raise DTypeError("is a quantised tensor; fetch it with FetchInt8Blob.", blob=str(name))
    return value


def FetchBlobs(names: Iterable[Any]) -> list[Any]:
    """`FetchBlob` for each name."""
    return [FetchBlob(name) for name in names]


def FetchTorch(name: Any) -> Any:
    """The torch tensor in a blob, not a copy."""
    return Workspace.current.blobs[state.blob_name(name)].to_torch()


def FetchInt8Blob(name: Any) -> Int8Tensor:
    """A copy of a quantised tensor: data, scale, zero point.

    Raises:
        MissingBlobError: there is no such blob.
        MisuseError: it is something else.
    """
    value = C.fetch_blob(name)
    require(isinstance(value, tuple), f"blob '{name}' is not a quantised tensor; fetch it with FetchBlob.")
    return value


def FetchInt8BlobRealVal(name: Any) -> np.ndarray:
    """The real numbers that a quantised tensor stands for, as float32."""
    data, scale, zero_point = FetchInt8Blob(name)
    return (data.astype(np.int32) - int(zero_point)).astype(np.float32) * scale


class _BlobDict:
    """The blobs of the current workspace as a mapping: reading fetches, writing feeds."""

    def __getitem__(self, key: Any) -> Any:
        return FetchBlob(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        FeedBlob(key, value)

    def __len__(self) -> int:
        return len(Blobs())

    def __iter__(self) -> Iterator[str]:
        return iter(Blobs())

    def __contains__(self, item: Any) -> bool:
        return HasBlob(item)


blobs = _BlobDict()


# ---- nets ------------------------------------------------------------------------------------------
def CreateNet(net: Any, overwrite: bool = False, input_blobs: Iterable[Any] | None = None) -> bool:
    """Bind a net to the current workspace under its name, for `RunNet`.

    Args:
        net: a Net, a NetDef, or its bytes.
        overwrite: replace a net of that name.
        input_blobs: blobs to make, empty, beforehand.

    Raises:
        NameClashError: there is one of that name.
        NetError: an operator that is unknown or does not fit, an input that does not exist.
    """
    for name in input_blobs or ():
        CreateBlob(name)
    _nets.create(net, overwrite)
    return True


def RunNet(name: Any, num_iter: int = 1, allow_fail: bool = False) -> bool:
    """Run a net that was created with `CreateNet`.

    Args:
        name: its name, the Net or the NetDef.
        num_iter: how often.
        allow_fail: return False where it fails, rather than raise.

    Raises:
        NetError: there is no such net, or an operator failed; what earlier ones wrote stays written.
    """
    return _nets.run(name if type(name) is str else _nets.net_name(name), num_iter, allow_fail)


def RunNetOnce(net: Any) -> bool:
    """Bind a net (a Net, a NetDef, or its bytes), run it, forget it. Its blobs stay."""
    return _nets.run_once(net)


def RunOperatorOnce(operator: Any) -> bool:
    """Run one operator: an OperatorDef or its bytes."""
    return _nets.run_operator(operator)


def RunOperatorMultiple(operator: Any, num_runs: int) -> bool:
    """Run one operator several times."""
    return _nets.run_operator(operator, num_runs)


def RunOperatorsOnce(operators: Iterable[Any]) -> bool:
    """Run operators one after the other."""
    return all(RunOperatorOnce(operator) for operator in operators)


def RunPlan(plan_or_step: Any) -> bool:
    """Create the nets of a plan in the current workspace and run its steps.

    Args:
        plan_or_step: a Plan, an ExecutionStep, a PlanDef, or its bytes.

    Raises:
        NetError: a net fails, or a step that says what cannot be.
    """
    return _run_plan.run_plan(_plan_proto(plan_or_step), state.current())


def _plan_proto(plan_or_step: Any) -> Any:
    from caffe2.python._core.steps import ExecutionStep, Plan

    if isinstance(plan_or_step, ExecutionStep):
        plan_or_step = Plan(plan_or_step)
    return protobuf.parse_message(caffe2_pb2.PlanDef, StringifyProto(plan_or_step))


class BackgroundPlan:
    """A plan that runs in a thread."""

    def __init__(self, proto: Any) -> None:
        self._failed = False
        self._thread = threading.Thread(target=self._run, args=(proto, state.current()), daemon=True)
        self._thread.start()

    def _run(self, proto: Any, ws: Any) -> None:
        try:
            _run_plan.run_plan(proto, ws)
        except BaseException:
            self._failed = True
            raise

    def is_done(self) -> bool:
        """True once it has ended, well or not."""
        return not self._thread.is_alive()

    def is_succeeded(self) -> bool:
        """True if it has ended well."""
        return self.is_done() and not self._failed


def RunPlanInBackground(plan_or_step: Any) -> BackgroundPlan:
    """Run a plan in a thread; returns an object with ``is_done()`` and ``is_succeeded()``."""
    return BackgroundPlan(_plan_proto(plan_or_step))


def BenchmarkNet(
    name: Any, warmup_runs: int = 5, main_runs: int = 10, run_individual: bool = True
) -> list[float]:
    """Time a created net, and print the times.

    Returns:
        milliseconds of one run and, with ``run_individual``, of each operator.
    """
    return _nets.benchmark(GetNetName(name), warmup_runs, main_runs, run_individual)


def BenchmarkNetOnce(net: Any) -> list[float]:
    """Time a net that was not created: one run, and each operator, in milliseconds."""
    made = _nets.create(net, overwrite=True)
    return _nets.benchmark(made.name, 0, 1, True)


def InferShapesAndTypes(
    nets: Sequence[Any],
    blob_dimensions: Mapping[str, Sequence[int]] | None = None,
    nets_proto: bool = False,
    blob_types: Mapping[str, int] | None = None,
) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Shapes and element types of the blobs of nets, without running them.

    Args:
        nets: Nets (NetDefs with ``nets_proto``) that run one after the other.
        blob_dimensions: shapes to start from; those of the current workspace if not given.
        blob_types: element types to start from; float where not given.

    Returns:
        blob -> shape and blob -> `TensorProto.DataType`, for blobs of which they can be known.

    Raises:
        MisuseError: types without shapes.
        NetError: shapes that do not fit an operator.
    """
    require(blob_dimensions is not None or blob_types is None, "blob_types wants blob_dimensions.")
    return shapes.infer(nets, blob_dimensions, blob_types)


def FillRandomNetworkInputs(net: Any, input_dims: Sequence[Any], input_types: Sequence[str]) -> None:
    """Raises NotSupportedError: feed the inputs with `FeedBlob`."""
    raise NotSupportedError(
        "FillRandomNetworkInputs: freshpot does not guess inputs. Feed them with FeedBlob."
    )


# ---- names and messages ----------------------------------------------------------------------------
def StringifyProto(obj: Any) -> Any:
    """The serialised message of a message or an object with ``Proto()``; text and bytes as they are.

    Raises:
        ValueError: something else.
    """
    if isinstance(obj, (str, bytes)):
        return obj
    if isinstance(obj, Message) or hasattr(obj, "Proto"):
        return _nets.serialized(obj)
    raise ValueError(f"expected a message or an object with Proto(), got {type(obj).__name__}.")


def StringifyBlobName(name: Any) -> str:
    """A blob's name from a name or a BlobReference."""
    return state.blob_name(name)


def StringifyNetName(name: Any) -> str:
    """A net's name from a name or a Net."""
    return _nets.net_name(name)


def GetNetName(net: Any) -> str:
    """A net's name from a name, a Net or a NetDef."""
    return _nets.net_name(net)
