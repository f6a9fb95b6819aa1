"""The functions of the original's C++ extension, under the names that programs call.

Owned here: the list of names. Who calls it: `core`, `workspace` (as ``C``), programs.
Nothing here is C++; a net or plan is given as its serialised message, or as anything `workspace` takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe2.python._core import registry
from caffe2.python._workspace import nets as _nets
from caffe2.python._workspace import state as _state
from caffe2.python._workspace import values as _values
from caffe2.python._workspace.cpp import Blob, Net, Predictor, TensorCPU, Workspace
from caffe2.python._workspace.databases import DB, Cursor, Mode, Transaction, create_db
from freshpot.ops.control.python_op import register_python_function
from freshpot.ops.io.stats import PROCESS

__all__ = [
    "DB",
    "Blob",
    "Cursor",
    "Mode",
    "Net",
    "Predictor",
    "TensorCPU",
    "Transaction",
    "Workspace",
    "create_db",
]

has_cuda_support: bool = torch.cuda.is_available()
has_hip_support: bool = False
has_gpu_support: bool = has_cuda_support
is_asan = False
use_mkldnn: bool = torch.backends.mkldnn.is_available()
has_mkldnn = False
use_rocm = False
use_trt = False
define_caffe2_no_operator_schema = False


# ---- workspaces and blobs --------------------------------------------------------------------------
current_workspace = _state.current_name
workspaces = _state.names
reset_workspace = _state.reset
root_folder = _state.root_folder
create_child_workspace = _state.create_child


def switch_workspace(name: str, create_if_missing: bool = False) -> None:
    """Make a workspace the current one."""
    _state.switch(name, bool(create_if_missing))


def blobs() -> list[str]:
    """Names of the blobs in the current workspace, sorted, those of its parents included."""
    return _state.current().names()


def local_blobs() -> list[str]:
    """Names of the blobs in the current workspace alone."""
    return sorted(_state.current()._blobs)


def has_blob(name: Any) -> bool:
    """True if there is a blob of that name."""
    return _state.blob_name(name) in _state.current()


def create_blob(name: Any) -> bool:
    """Make an empty blob if there is none of that name."""
    _state.current().create(_state.blob_name(name))
    return True


def reset_blob(name: Any) -> None:
    """Empty a blob."""
    from freshpot.engine import EMPTY

    _values.find(_state.current(), _state.blob_name(name)).value = EMPTY
    _state.current().epoch += 1


def fetch_blob(name: Any) -> Any:
    """A copy of what a blob holds."""
    return _values.fetch(_values.find(_state.current(), _state.blob_name(name)))


def feed_blob(name: Any, value: Any, device_option: Any = None) -> bool:
    """Put a value into a blob."""
    return _values.feed(_state.current(), _state.blob_name(name), value, device_option)


def serialize_blob(name: Any) -> bytes:
    """A blob as a serialised BlobProto."""
    return _values.serialize(_values.find(_state.current(), _state.blob_name(name)))


def deserialize_blob(name: Any, data: bytes) -> None:
    """Put what a serialised BlobProto holds into a blob."""
    _values.deserialize(_state.current(), _state.blob_name(name), data)


def get_blob_size_bytes(name: Any) -> int:
    """Bytes of memory that a blob's tensor or text takes."""
    return _values.size_in_bytes(_values.find(_state.current(), _state.blob_name(name)))


def get_blob_numa_node(name: Any) -> int:
    """The NUMA node of a blob's memory: not known, -1."""
    _values.find(_state.current(), _state.blob_name(name))
    return -1


# ---- nets and operators ----------------------------------------------------------------------------
create_net = _nets.create
run_net = _nets.run
run_net_once = _nets.run_once
run_operator_once = _nets.run_operator
run_operator_multiple = _nets.run_operator
benchmark_net = _nets.benchmark
registered_operators = registry.operator_types
nearby_opnames = registry.nearby_names


def nets() -> list[str]:
    """Names of the nets in the current workspace, sorted."""
    return sorted(_state.current().nets)


def delete_net(name: str) -> None:
    """Forget a net; its blobs stay."""
    _state.current().nets.pop(name, None)


def op_registry_key(op_type: str, engine: str) -> str:
    """The name of an operator for an engine, as `registered_operators` of the original lists it."""
    return op_type if engine in ("", "DEFAULT") else f"{op_type}_ENGINE_{engine}"


def register_python_op(f: Any, pass_workspace: bool = False, token: str = "") -> str:
    """Register a function for operators of type Python; returns its token."""
    return register_python_function(f, None, pass_workspace)


def registered_dbs() -> list[str]:
    """Kinds of databases, as ``db_type`` names them."""
    from freshpot.data import reader

    return reader.known_stores()


# ---- process and machine ---------------------------------------------------------------------------
def global_init(args: Sequence[Any]) -> bool:
    """Nothing to do: there are no flags that freshpot needs."""
    return True


def set_engine_pref(*args: Any) -> None:
    """Nothing to do: each operator serves every engine."""


set_global_engine_pref = set_op_engine_pref = set_per_op_engine_pref = set_engine_pref


def num_cuda_devices() -> int:
    """How many GPUs there are."""
    return torch.cuda.device_count() if has_cuda_support else 0


def get_cuda_version() -> int:
    """CUDA's version as a number, 12010 for 12.1; 0 without CUDA."""
    if not has_cuda_support or torch.version.cuda is None:
        return 0
    major, minor = (int(part) for part in torch.version.cuda.split(".")[:2])
    return major * 1000 + minor * 10


def get_cudnn_version() -> int:
    """cuDNN's version as a number; 0 without CUDA."""
    return (torch.backends.cudnn.version() or 0) if has_cuda_support else 0


def get_cuda_peer_access_pattern() -> list[list[bool]]:
    """Which GPU can read which other's memory."""
    count = range(num_cuda_devices())
    return [[i == j or torch.cuda.can_device_access_peer(i, j) for j in count] for i in count]


def get_device_properties(device_id: int) -> dict[str, Any] | None:
    """Name, compute capability (major, minor) and memory in bytes of a GPU; None without CUDA."""
    if not has_cuda_support:
        return None
    found = torch.cuda.get_device_properties(device_id)
    return {
        "name": found.name,
        "major": found.major,
        "minor": found.minor,
        "totalGlobalMem": found.total_memory,
    }


def get_gpu_memory_info(device_id: int = 0) -> tuple[int, int] | None:
    """Free and total bytes of a GPU's memory; None without CUDA."""
    return torch.cuda.mem_get_info(device_id) if has_cuda_support else None


def is_numa_enabled() -> bool:
    """Whether memory is placed by NUMA node: no."""
    return False


def get_num_numa_nodes() -> int:
    """How many NUMA nodes memory is placed on: 1."""
    return 1


def get_stats() -> dict[str, int]:
    """Statistics of the process's registry, by name; operators add to them."""
    return {each.name.decode("utf-8", "replace"): each.value for each in PROCESS.publish()}


def get_build_options() -> dict[str, str]:
    """How the engine was built, as torch says it."""
    return {"USE_CUDA": "ON" if torch.version.cuda else "OFF", "TORCH_VERSION": torch.__version__}


def builtin_cpu_supports_avx2() -> bool:
    """True if the processor has AVX2."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
