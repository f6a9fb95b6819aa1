"""Versions of blobs in a net, as programs ask for them.

Owned here: `get_ssa` and the questions about its result. Who calls it: `Net.ClonePartial`, programs.
A versioned blob is a pair (name, version).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python._errors import require

Versioned = tuple[str, int]
Ssa = list[tuple[list[Versioned], list[Versioned]]]


def get_ssa(net: Any, blob_versions: dict[str, int] | None = None) -> tuple[Any, dict[str, int]]:
    """Versioned inputs and outputs of each operator, and the last version of each blob.

    Args:
        net: a Net, a NetDef, or a list of them, taken one after the other.
        blob_versions: versions to start from; changed. A blob that is not in it starts at 0.
    """
    versions = {} if blob_versions is None else blob_versions
    if isinstance(net, list):
        return [get_ssa(n, versions)[0] for n in net], versions
    proto = net.Proto() if hasattr(net, "Proto") else net
    require(isinstance(proto, caffe2_pb2.NetDef), f"get_ssa wants a Net or NetDef, got {type(net).__name__}.")
    for name in proto.external_input:
        versions.setdefault(name, 0)
    ssa: Ssa = []
    for op in proto.op:
        if not proto.external_input:
            for name in op.input:
                versions.setdefault(name, 0)
        inputs = [(name, versions.get(name, 0)) for name in op.input]
        for name in op.output:
            versions[name] = versions.get(name, 0) + 1
        ssa.append((inputs, [(name, versions[name]) for name in op.output]))
    return ssa, versions


def get_undefined_blobs(ssa: Ssa) -> set[str]:
    """Blobs that are read before they are written."""
    return {name for inputs, _ in ssa for name, version in inputs if version == 0}


def get_output_producers(ssa: Ssa) -> dict[Versioned, int]:
    """Versioned blob -> number of the operator that writes it."""
    return {blob: i for i, (_, outputs) in enumerate(ssa) for blob in outputs}


def get_op_ids_in_path(
    ssa: Ssa, blob_versions: dict[str, int], inputs: Iterable[Any], outputs: Iterable[Any]
) -> list[int]:
    """Numbers of the operators needed to make ``outputs`` from ``inputs``, both at their last version."""
    given = {(str(i), blob_versions[str(i)]) for i in inputs}
    producers = get_output_producers(ssa)
    wanted = [(str(o), blob_versions[str(o)]) for o in outputs]
    used: set[int] = set()
    while wanted:
        blob = wanted.pop()
        if blob in given or blob not in producers or producers[blob] in used:
            continue
        used.add(producers[blob])
        wanted.extend(ssa[producers[blob]][0])
    return sorted(used)


def validate_ssa(ssa: Ssa) -> bool:
    """True if no blob is written twice, except in place by the operator that reads its last version."""
    latest: dict[str, int] = {}
    for inputs, outputs in ssa:
        for name, version in outputs:
            if name in latest and (name, version - 1) not in inputs:
                return False
            latest[name] = version
    return True
