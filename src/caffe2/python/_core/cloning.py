"""Copies of nets, whole or in part, under other names.

Owned here: `Net.Clone`, `Net.ClonePartial`, `clone_and_bind_net`. Who calls it: `Net`, programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from caffe2.proto import caffe2_pb2
from caffe2.python._core.blobs import BlobReference
from caffe2.python._core.remap import DEFAULT_REMAP_FUNCS, RemapFunction, remap_names
from caffe2.python._core.ssa import get_op_ids_in_path, get_ssa, get_undefined_blobs
from caffe2.python._errors import require

if TYPE_CHECKING:
    from caffe2.python._core.net import Net


class Cloning:
    """The part of `Net` that makes copies."""

    def Clone(
        self,
        name: str,
        blob_remap: Mapping[Any, Any] | None = None,
        op_id_mask: Iterable[int] | None = None,
        remap_funcs: Mapping[str, RemapFunction] | None = None,
        keep_schema: bool = True,
        update_external_list: bool = False,
    ) -> Net:
        """A copy of the net.

        Args:
            name: its name.
            blob_remap: old blob name -> new one; others keep theirs.
            op_id_mask: numbers of the operators to take; all if not given.
            remap_funcs: functions that rename inside operators with nets, besides the known ones.
            keep_schema: take input and output records along, renamed.
            update_external_list: work external inputs and outputs out anew.
        """
        net: Net = self  # type: ignore[assignment]
        renames = {str(old): str(new) for old, new in (blob_remap or {}).items()}
        functions = {**DEFAULT_REMAP_FUNCS, **(remap_funcs or {})}
        source = net._net
        proto = caffe2_pb2.NetDef()
        proto.CopyFrom(source)
        proto.name = name
        del proto.op[:]
        for i in range(len(source.op)) if op_id_mask is None else op_id_mask:
            _remap_op(proto.op.add(), source.op[i], f"{name}/" if name else "", renames, functions)
        remap_names(proto.external_input, renames)
        remap_names(proto.external_output, renames)
        made = type(net)(proto)
        if keep_schema:
            made._copy_records(net, lambda blob: renames.get(str(blob), str(blob)))
        made._attr_dict.update(net._attr_dict)
        if update_external_list:
            _find_externals(made.Proto())
        return made

    def ClonePartial(
        self, name: str, inputs: Any, outputs: Any, remap_funcs: Mapping[str, RemapFunction] | None = None
    ) -> tuple[Net, list[BlobReference]]:
        """A copy of the part of the net that makes ``outputs`` from ``inputs``, and its outputs.

        Blobs inside are prefixed with the new name.

        Args:
            inputs: a list of blobs, or a dict (or list of pairs) blob -> its name in the copy.

        Raises:
            MisuseError: an output is not defined, or what is needed would make an input again.
        """
        net: Net = self  # type: ignore[assignment]
        for output in outputs:
            require(net.BlobIsDefined(output), f"net '{net.Name()}' does not define blob '{output}'.")
        given = _input_names(inputs)
        ssa, versions = get_ssa(net._net, dict.fromkeys(given, 0))
        needed = get_op_ids_in_path(ssa, versions, given, outputs)
        making_inputs = set(get_op_ids_in_path(ssa, versions, [], given))
        require(
            making_inputs.isdisjoint(needed),
            f"cannot clone part of net '{net.Name()}': operators that are needed would make one of the "
            f"inputs ({', '.join(given)}).",
        )
        outside = get_undefined_blobs([ssa[i] for i in needed]) - set(given)
        prefix = f"{name}/" if name else ""
        renames = {b: given.get(b, b if b in outside else prefix + b) for b in versions}
        made = net.Clone(name, renames, needed, remap_funcs)
        new_outputs = [renames[str(o)] for o in outputs]
        made._net.external_input[:] = [*(renames[i] for i in given), *sorted(outside)]
        made._net.external_output[:] = new_outputs
        made._RecreateLookupTables()
        return made, [made.GetBlobRef(o) for o in new_outputs]


def _remap_op(
    op: Any, source: Any, prefix: str, renames: dict[str, str], functions: Mapping[str, RemapFunction]
) -> None:
    op.CopyFrom(source)
    remap_names(op.input, renames)
    remap_names(op.output, renames)
    if op.type in functions:
        functions[op.type](op, prefix, renames)


def _input_names(inputs: Any) -> dict[str, str]:
    if isinstance(inputs, list) and not all(isinstance(i, tuple) and len(i) == 2 for i in inputs):
        inputs = dict(zip(inputs, inputs, strict=True))
    return {str(old): str(new) for old, new in dict(inputs).items()}


def _find_externals(proto: Any) -> None:
    """Inputs that no operator made before they are read; outputs that no operator reads."""
    made: dict[str, None] = {}
    read: set[str] = set()
    inputs: list[str] = []
    for op in proto.op:
        for blob in op.input:
            if blob in made:
                read.add(blob)
            else:
                inputs.append(blob)
        made.update(dict.fromkeys(op.output))
    proto.external_input[:] = inputs
    proto.external_output[:] = [blob for blob in made if blob not in read]


def clone_and_bind_net(
    net: Net,
    name: str,
    prefix: str,
    blob_remap: dict[str, str] | None = None,
    inputs: Any = None,
    keep_schema: bool = True,
) -> tuple[Net, dict[str, str]]:
    """A copy of a net whose input record is bound to ``inputs``; blobs it makes get a prefix.

    Args:
        blob_remap: renames to apply besides; the others are added to it.
        inputs: a record with at least the fields of the net's input record.
        keep_schema: take the records along, renamed; else the input record is ``inputs``.

    Returns:
        the copy, and old blob name -> new one.

    Raises:
        MisuseError: the records do not fit.
    """
    blob_remap = {} if blob_remap is None else blob_remap
    if inputs is not None:
        _bind_inputs(net, inputs, blob_remap)
    ssa, versions = get_ssa(net.Proto())
    outside = get_undefined_blobs(ssa)
    for blob in versions:
        blob_remap.setdefault(blob, blob if blob in outside else prefix + blob)
    made = net.Clone(name, blob_remap, keep_schema=keep_schema)
    if not keep_schema and inputs:
        made.set_input_record(inputs)
    return made, blob_remap


def _bind_inputs(net: Net, inputs: Any, blob_remap: dict[str, str]) -> None:
    original = net.input_record()
    require(original is not None, f"net '{net.Name()}' has no input record to bind.")
    missing = set(original.field_names()) - set(inputs.field_names())
    require(not missing, f"net '{net.Name()}': the inputs lack the fields {sorted(missing)}.")
    old = dict(zip(original.field_names(), original.field_blobs(), strict=True))
    for field, blob in zip(inputs.field_names(), inputs.field_blobs(), strict=True):
        if field in old:
            blob_remap[str(old[field])] = str(blob)
