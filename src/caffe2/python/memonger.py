"""Fewer blobs for a net: gradients, or the blobs of a net that only predicts, share names and so their memory.

Owned here: what programs call. How it is found: `_memonger`. freshpot's plans reuse memory by themselves, so this
is for programs that ask for it; the nets are the original's, name for name.

Source: caffe2/python/memonger.py.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace
from caffe2.python._memonger.assignment import (
    AssignmentAlgorithm,
    LiveRange,
    Place,
    compute_assignments,
    compute_assignments_dp,
    compute_assignments_greedy,
    compute_blob_assignments,
    compute_ranges,
    get_memory_usage,
    get_updated_ranges,
    is_compatible,
    verify_assignments,
)
from caffe2.python._memonger.graph import (
    compute_interference_graph,
    topological_sort_traversal,
    topological_sort_traversal_longest_path,
    verify_graph_equality,
    verify_inplace_blobs,
)
from caffe2.python._memonger.recycling import RecycleAlongGraph, recycle_along_list
from freshpot.errors import MissingBlobError, NetError

__all__ = [
    "AssignmentAlgorithm",
    "LiveRange",
    "Optimization",
    "Statistics",
    "apply_assignments",
    "apply_recurrent_blob_assignments",
    "blob_nbytes",
    "collect_blob_sizes",
    "compute_assignments",
    "compute_assignments_dp",
    "compute_assignments_greedy",
    "compute_blob_assignments",
    "compute_interference_graph",
    "compute_ranges",
    "compute_statistics",
    "estimate_memory_usage",
    "get_memory_usage",
    "get_updated_ranges",
    "is_compatible",
    "optimize_inference_fast",
    "optimize_inference_for_dag",
    "optimize_interference",
    "release_blobs_when_used",
    "share_grad_blobs",
    "topological_sort_traversal",
    "topological_sort_traversal_longest_path",
    "verify_assignments",
    "verify_graph_equality",
    "verify_inplace_blobs",
]

log = logging.getLogger("memonger")

_BYTES = {
    caffe2_pb2.TensorProto.DOUBLE: 8,
    caffe2_pb2.TensorProto.INT64: 8,
    caffe2_pb2.TensorProto.FLOAT: 4,
    caffe2_pb2.TensorProto.INT32: 4,
    caffe2_pb2.TensorProto.FLOAT16: 2,
    caffe2_pb2.TensorProto.UINT16: 2,
    caffe2_pb2.TensorProto.INT16: 2,
    caffe2_pb2.TensorProto.INT8: 1,
    caffe2_pb2.TensorProto.UINT8: 1,
    caffe2_pb2.TensorProto.BOOL: 1,
}


class Optimization(NamedTuple):
    """A net with shared blobs, the places found, and blob -> name of its place."""

    net: Any
    assignments: list[Place]
    blob_assignments: dict[str, str]


class Statistics(NamedTuple):
    """Bytes of all blobs, and bytes of all places."""

    baseline_nbytes: int
    optimized_nbytes: int


def share_grad_blobs(
    net: Any,
    losses: Sequence[Any],
    param_grads: Collection[Any],
    namescope: str,
    dont_share_blobs: Collection[str] | None = None,
    share_activations: bool = False,
    blob_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Any:
    """A NetDef in which gradients between layers share blobs; programs assign it to ``model.net._net``.

    Args:
        net: a net with gradients.
        losses: its losses; the search begins at their readers.
        param_grads: gradients of parameters, which keep their names.
        namescope: whose gradients may share.
        dont_share_blobs: blobs that are kept.
        share_activations: also share outputs of layers, but for the last two.
        blob_shapes: sizes by name, so that blobs of like size share.

    Raises:
        MissingBlobError: no operator of the net writes a loss.
        NetError: an operator reads a gradient before it is written.
    """
    proto = net.Proto()
    written = {name for op in proto.op for name in op.output}
    for loss in map(str, losses):
        if loss not in written:
            raise MissingBlobError(
                "no operator of the net writes this loss", net=proto.name or None, blob=loss
            )
    kept = {str(name) for name in param_grads}
    namescope = namescope or ""
    if namescope and not namescope.endswith("/"):
        namescope += "/"

    def is_gradient(name: str) -> bool:
        # gradients that were split to be summed begin with an underscore
        scoped = name.startswith((namescope, "_" + namescope))
        return name.endswith("_grad") and scoped and name not in kept

    log.warning("NOTE: Executing memonger to optimize gradient memory")
    outputs = set(proto.external_output)
    layers = [
        name for op in proto.op for name in op.output if name + "_w" in op.input and name not in outputs
    ]
    activations = set(layers[:-2]) if share_activations else set()
    names = [[*op.input, *op.output] for op in proto.op]
    return _recycle(
        net,
        losses,
        [i for i, of_op in enumerate(names) if any(map(is_gradient, of_op))],
        {name for of_op in names for name in of_op if is_gradient(name) or name in activations},
        namescope,
        dont_share_blobs or (),
        blob_shapes or {},
    )


def optimize_inference_for_dag(net: Any, input_blobs: Sequence[Any], namescope: str = "") -> Any:
    """A NetDef of a net without gradients, whose inner blobs share where its branches allow it.

    Raises:
        AssertionError: a blob that is read is neither an external input nor written before, or an operator is one
            of the backward pass.
    """
    proto = net.Proto()
    outside = {*proto.external_input, *proto.external_output}
    inner: set[str] = set()
    written: set[str] = set()
    for op in proto.op:
        for name in op.input:
            if name not in outside:
                if name not in written:
                    raise AssertionError(f"{name} not in external input")
                inner.add(name)
        inner.update(name for name in op.output if name not in outside)
        written.update(op.output)
        if op.is_gradient_op:
            raise AssertionError("You can only pass inference-only nets to optimize_inference_for_dag")
    return _recycle(net, input_blobs, range(len(proto.op)), inner, namescope, (), {})


def _recycle(
    net: Any,
    heads: Sequence[Any],
    operators: Sequence[int],
    sharable: Collection[str],
    namescope: str,
    keep: Collection[str],
    shapes: Mapping[str, Sequence[int]],
) -> Any:
    began = time.monotonic()
    proto = net.Proto()
    made = RecycleAlongGraph(proto, operators, sharable, namescope, keep, shapes).run([str(h) for h in heads])
    log.info("Memonger memory optimization took %s secs", time.monotonic() - began)
    if not verify_graph_equality(proto, made):
        raise AssertionError("Memonger graph is not equal to original.")
    if not verify_inplace_blobs(proto, made):
        raise AssertionError("Inplace assignments differ in memonger net.")
    return made


def optimize_inference_fast(net: Any, static_blobs: Iterable[Any]) -> Any:
    """A NetDef of a simple net that only predicts, whose blobs share in the order of its operators.

    Args:
        net: the NetDef.
        static_blobs: names that are kept.
    """
    return recycle_along_list(net, {str(name) for name in static_blobs})


def optimize_interference(
    net: Any,
    static_blobs: Collection[str],
    ordering_function: Callable[[Any], list[int]] = topological_sort_traversal,
    blob_sizes: Mapping[str, int] | None = None,
    algo: AssignmentAlgorithm = AssignmentAlgorithm.GREEDY,
) -> Optimization:
    """Order a net's operators anew, find blobs that are never needed at the same time, and give them one name.

    Args:
        net: the NetDef; it is not changed.
        static_blobs: names that are kept.
        ordering_function: `topological_sort_traversal`, or `topological_sort_traversal_longest_path`.
        blob_sizes: bytes by name (`collect_blob_sizes`), for better places.
        algo: how places are found.
    """
    made = caffe2_pb2.NetDef()
    made.CopyFrom(net)
    ops = [net.op[i] for i in ordering_function(compute_interference_graph(net.op))]
    del made.op[:]
    made.op.extend(ops)
    assignments = compute_assignments(compute_ranges(ops, blob_sizes), static_blobs, algo)
    blob_assignments = compute_blob_assignments(assignments)
    apply_assignments(made, blob_assignments)
    return Optimization(net=made, assignments=assignments, blob_assignments=blob_assignments)


def apply_assignments(net: Any, blob_assignments: Mapping[str, str]) -> None:
    """Give the blobs of a NetDef their places' names, step nets included."""
    for op in net.op:
        if op.type.startswith("RecurrentNetwork"):
            apply_recurrent_blob_assignments(
                op, blob_assignments, lambda name: blob_assignments.get(name, name)
            )
        op.input[:] = [blob_assignments.get(name, name) for name in op.input]
        op.output[:] = [blob_assignments.get(name, name) for name in op.output]


def apply_recurrent_blob_assignments(
    op: Any, blob_assignments: Mapping[str, str], canonical_name: Callable[[str], str]
) -> None:
    """Give the blobs of a recurrent operator's step nets their places' names, and note the operator's own."""
    for arg in op.arg:
        if arg.name.endswith("step_net"):
            apply_assignments(arg.n, blob_assignments)
            arg.n.external_input[:] = [canonical_name(name) for name in arg.n.external_input]
    own = {*op.input, *op.output}
    for name, renamed in blob_assignments.items():
        if name in own:
            op.arg.add(name=f"{name}.rename", s=str(renamed).encode("ascii"))


def estimate_memory_usage(
    protos: Iterable[Any], shapes: Mapping[str, Sequence[int]], types: Mapping[str, int], devicescope: Any
) -> tuple[int, int, dict[str, int]]:
    """Bytes that nets' outputs take on a device: all of them, the most at one time, and by type of operator.

    Args:
        protos: NetDefs, run one after the other; operators of other devices are deleted from them.
        shapes, types: sizes and element types by name.
        devicescope: the DeviceOption.
    """
    total = now = most = 0
    there: set[str] = set()
    by_type: dict[str, int] = defaultdict(int)

    def size(name: str) -> int:
        if name not in shapes or name not in types:
            log.warning("Unknown blob encountered: %s", name)
            return 0
        return _BYTES[types[name]] * math.prod(shapes[name])

    for proto in protos:
        freeing = ("Free", "Alias")
        ops = [op for op in proto.op if op.device_option == devicescope or op.type in freeing]
        del proto.op[:]
        proto.op.extend(ops)
        for op in ops:
            for name in op.output:
                if op.type in freeing:
                    if name in there:
                        there.remove(name)
                        now -= size(name)
                elif name not in there:
                    there.add(name)
                    by_type[op.type] += size(name)
                    total += size(name)
                    now += size(name)
                    most = max(most, now)
    return total, most, by_type


def release_blobs_when_used(
    netproto: Any, dont_free_blobs: Collection[str], selector_fun: Callable[[str], bool] | None = None
) -> Any:
    """A NetDef with a Free operator behind the last reader of each inner blob.

    Args:
        netproto: the NetDef; it is not changed.
        dont_free_blobs: names that are kept, besides external outputs and inputs of Alias.
        selector_fun: whether a blob may be freed, by its name.
    """
    made = caffe2_pb2.NetDef()
    made.CopyFrom(netproto)
    read: set[str] = set()
    inner: set[str] = set()
    aliased: set[str] = set()
    for op in made.op:
        if op.type == "Alias":
            aliased.add(op.input[0])
            continue
        read.update(op.input)
        for name in op.output:
            if name not in read and (selector_fun is None or selector_fun(name)):
                inner.add(name)
    inner = inner & read - set(made.external_output) - set(dont_free_blobs) - aliased
    ops = list(made.op)
    for i in reversed(range(len(made.op))):
        for name in made.op[i].input:
            if name in inner:
                inner.remove(name)
                ops.insert(i + 1, core.CreateOperator("Free", [name], [name]))
    del made.op[:]
    made.op.extend(ops)
    return made


def blob_nbytes(blob: str) -> int:
    """Bytes of a blob of the workspace; 0, and a warning, if it holds no array."""
    try:
        return workspace.FetchBlob(blob).nbytes
    except (NetError, AttributeError):
        log.warning("Error when fetching blob %s", blob)
        return 0


def compute_statistics(assignments: Sequence[Place]) -> Statistics:
    """Bytes with and without sharing, by the blobs of the workspace."""
    sizes = {name: blob_nbytes(name) for place in assignments for name, _ in place}
    return Statistics(
        sum(sizes.values()), sum(max(sizes[name] for name, _ in place) for place in assignments)
    )


def collect_blob_sizes(net: Any) -> dict[str, int]:
    """Bytes of every blob of a NetDef, by the blobs of the workspace."""
    return {name: blob_nbytes(name) for op in net.op for name in (*op.input, *op.output)}
