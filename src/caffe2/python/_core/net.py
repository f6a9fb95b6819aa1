"""The net that programs build.

Owned here: `Net`: its operators, blobs and names. Who calls it: `core`, every builder of nets.
Cloning is in `cloning`, schemas in `records`, Python operators and constants in `helpers`.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import utils
from caffe2.python._core import naming, registry
from caffe2.python._core.blobs import BlobReference, ScopedBlobReference, ScopedName, blob_ref, rectify
from caffe2.python._core.cloning import Cloning
from caffe2.python._core.gradients import GradientRegistry
from caffe2.python._core.helpers import Helpers
from caffe2.python._core.operators import CreateOperator
from caffe2.python._core.records import Records
from caffe2.python._core.remap import remap_input
from caffe2.python._core.tracebacks import call_stack, operator_tracebacks
from caffe2.python._errors import require
from caffe2.python._workspace import immediate
from freshpot.errors import FreshpotError


class Net(Cloning, Records, Helpers):
    """A net under construction: a NetDef, and what is needed to add to it.

    ``net.FC([x, w, b], "y", axis=1)`` adds an operator and returns references to its outputs.

    Args:
        name_or_proto: the net's name, or a NetDef to copy. If a net of that name was made before in
            this process, ``_1``, ``_2`` … is added.
    """

    _net_names_used: set[str] = set()
    operator_registry_: dict[str, Any] = {}

    def __init__(self, name_or_proto: Any) -> None:
        self._input_record = None
        self._output_record = None
        self._net = caffe2_pb2.NetDef()
        self._next_name_index = 0
        self._next_blob_name_ids: dict[str, int] = {}
        self._registered_blob_names: set[str] = set()
        self._attr_dict: defaultdict[str, list[Any]] = defaultdict(list)
        if isinstance(name_or_proto, caffe2_pb2.NetDef):
            self._net.CopyFrom(name_or_proto)
            self._next_name_index = self._first_free_index()
            name_or_proto = self._net.name
        self._RecreateLookupTables()
        self._net.name = Net._get_next_net_name(name_or_proto)

    # ---- names -------------------------------------------------------------------------------------
    @staticmethod
    def current_prefix() -> str:
        """Name of the net builder in force, or nothing."""
        return naming.current_prefix()

    @staticmethod
    def _get_next_net_name(basename: str) -> str:
        basename = "/".join(part for part in (Net.current_prefix(), basename) if part)
        name = naming.unused(basename, Net._net_names_used.__contains__)
        Net._net_names_used.add(name)
        return name

    def _first_free_index(self) -> int:
        """Where to go on numbering unnamed blobs. As the original, it reads one digit of each number."""
        prefix = self._net.name + "_blob_"
        names = {name for op in self._net.op for name in (*op.input, *op.output) if name.startswith(prefix)}
        digits = [name[len(prefix)] for name in names if len(name) > len(prefix)]
        return max((int(digit) for digit in digits if digit.isdecimal()), default=-1) + 1

    def Name(self) -> str:
        """The net's name."""
        return self._net.name

    def __str__(self) -> str:
        return self.Name()

    def NextScopedBlob(self, prefix: str = "unnamed") -> BlobReference:
        """As `NextBlob`, in the name scope in force."""
        return self.NextBlob(ScopedName(prefix))

    def NextBlob(self, prefix: str = "unnamed") -> BlobReference:
        """A reference to a blob that the net does not have: ``prefix``, else ``prefix_auto_0`` …"""
        name, index = prefix, 0
        while name in self._registered_blob_names or self.BlobIsDefined(name):
            name, index = f"{prefix}_auto_{index}", index + 1
        self._registered_blob_names.add(name)
        return BlobReference(name)

    def NextName(self, prefix: str | None = None, output_id: int | None = None) -> str:
        """A name for an unnamed blob: ``net/prefix``, ``net/prefix:0`` for an output's number, then
        ``net/prefix_2`` …; without prefix ``net_blob_0`` …"""
        if not prefix:
            self._next_name_index += 1
            return f"{self._net.name}_blob_{self._next_name_index - 1}"
        base = f"{self._net.name}/{prefix}"
        suffix = "" if output_id is None else f":{output_id}"
        key = name = base + suffix
        index = self._next_blob_name_ids.get(key, 2)
        while self.BlobIsDefined(ScopedBlobReference(name)):
            name = f"{base}_{index}{suffix}"
            index += 1
            self._next_blob_name_ids[key] = index
        return name

    # ---- questions ---------------------------------------------------------------------------------
    def Proto(self) -> Any:
        """The NetDef itself, not a copy."""
        self._recreate_lookup_tables = True
        return self._net

    def BlobIsDefined(self, blob: Any) -> bool:
        """True if an operator writes the blob or it is an external input."""
        self._refresh()
        return str(blob) in self._op_outputs or str(blob) in self._external_input_map

    def is_external_input(self, blob: Any) -> bool:
        """True if the blob is an external input."""
        self._refresh()
        return str(blob) in self._external_input_map

    def UsesBlob(self, blob: Any) -> bool:
        """True if an operator reads the blob or it is an external input."""
        name = str(blob)
        return name in self._external_input_map or any(name in op.input for op in self._net.op)

    def UsedBlobNames(self) -> set[str]:
        """Every blob the net speaks of."""
        names = {*self._net.external_input, *self._net.external_output}
        return names.union(*((*op.input, *op.output) for op in self._net.op))

    def GetBlobRef(self, blob_name: Any) -> BlobReference:
        """A reference to a blob of the net. Raises KeyError if it has none of that name."""
        if not self.BlobIsDefined(blob_name):
            raise KeyError(f"net '{self.Name()}' does not define blob '{blob_name}'")
        return BlobReference(blob_name, self)

    def _refresh(self) -> None:
        if self._recreate_lookup_tables:
            self._RecreateLookupTables()

    def _RecreateLookupTables(self) -> None:
        self._op_outputs = {name for op in self._net.op for name in op.output}
        self._external_input_map = set(self._net.external_input)
        self._recreate_lookup_tables = False

    def _InvalidateLookupTables(self) -> None:
        self._recreate_lookup_tables = True

    def _CheckLookupTables(self) -> None:
        """Raise `MisuseError` if the look-up tables miss a blob of the proto."""
        missing = {name for op in self._net.op for name in op.output} - self._op_outputs
        missing |= set(self._net.external_input) - self._external_input_map
        require(not missing, f"look-up tables of net '{self.Name()}' miss {sorted(missing)}.")

    # ---- inputs and outputs ------------------------------------------------------------------------
    @property
    def external_inputs(self) -> list[BlobReference]:
        """References to the external inputs."""
        return [blob_ref(name) for name in self._net.external_input]

    @property
    def external_outputs(self) -> list[BlobReference]:
        """References to the external outputs."""
        return [blob_ref(name) for name in self._net.external_output]

    def AddExternalInput(self, *inputs: Any) -> Any:
        """Add external inputs; returns a reference, or a list of them.

        Raises:
            MisuseError: none is given, or the net has one of that name.
        """
        require(inputs, "AddExternalInput wants at least one blob.")
        names = [str(blob) for blob in inputs]
        for i, name in enumerate(names):
            known = name in self._external_input_map or name in names[:i]
            require(not known, f"net '{self.Name()}' has an external input '{name}' already.")
        self._net.external_input.extend(names)
        self._external_input_map.update(names)
        refs = [blob_ref(name) for name in names]
        return refs[0] if len(refs) == 1 else refs

    def AddExternalInputs(self, *inputs: Any) -> Any:
        """As `AddExternalInput`."""
        return self.AddExternalInput(*inputs)

    def AddExternalOutput(self, *outputs: Any) -> None:
        """Add external outputs.

        Raises:
            MisuseError: one is not a BlobReference, or the net does not define it.
        """
        for blob in outputs:
            require(
                isinstance(blob, BlobReference),
                f"AddExternalOutput wants BlobReferences, got {type(blob).__name__}: {blob!r}.",
            )
            require(self.BlobIsDefined(blob), f"net '{self.Name()}' does not define blob '{blob}'.")
        self.Proto().external_output.extend([str(blob) for blob in outputs])

    def AddExternalOutputs(self, *outputs: Any) -> None:
        """As `AddExternalOutput`."""
        self.AddExternalOutput(*outputs)

    def AddScopedExternalInputs(self, *inputs: str) -> list[BlobReference]:
        """As `AddExternalInput`, in the name scope in force; always returns a list."""
        made = self.AddExternalInput(*[ScopedBlobReference(name) for name in inputs])
        return made if isinstance(made, list) else [made]

    def AddScopedExternalOutputs(self, *outputs: str) -> None:
        """As `AddExternalOutput`, in the name scope in force."""
        self.AddExternalOutput(*[ScopedBlobReference(name) for name in outputs])

    # ---- operators ---------------------------------------------------------------------------------
    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        """Adds an operator of this type: ``net.Relu("x", "y")``."""
        if op_type.startswith("_"):
            raise AttributeError(f"'Net' has no attribute '{op_type}'.")
        registry.require_operator(op_type)
        return lambda *args, **kwargs: self._CreateAndAddToSelf(op_type, *args, **kwargs)

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *self.__dict__, *registry.operator_types()})

    def _CreateAndAddToSelf(self, op_type: str, inputs: Any, outputs: Any = None, **kwargs: Any) -> Any:
        """Add an operator; returns a reference, a tuple of them, or None for no outputs.

        Inputs that the net does not define become external inputs. Without ``outputs``, or with a
        number of them, names are made up.
        """
        inputs = rectify(inputs)
        for blob in inputs:
            if not self.BlobIsDefined(blob):
                require(blob.Net() is not self, f"net '{self.Name()}' has lost its blob '{blob}'.")
                self.AddExternalInput(blob)
        if outputs is None:
            outputs = self.NextName(prefix=op_type)
        elif type(outputs) is int:
            outputs = [self.NextName(prefix=op_type, output_id=i) for i in range(outputs)]
        op = CreateOperator(op_type, inputs, rectify(outputs, net=self), **kwargs)
        self._ExtendOps([op])
        operator_tracebacks[self.Name()][len(self._net.op) - 1] = call_stack()
        refs = tuple(BlobReference(name, self) for name in op.output)
        return refs if len(refs) > 1 else refs[0] if refs else None

    def _ExtendOps(self, new_ops: Iterable[Any]) -> None:
        new_ops = list(new_ops)
        self._net.op.extend(new_ops)
        for op in new_ops:
            self._op_outputs.update(op.output)

    def extend_ops(self, new_ops: Iterable[Any]) -> None:
        """Append OperatorDefs."""
        self._ExtendOps(new_ops)

    def insert_op_at_idx(self, op: Any, op_idx: int) -> None:
        """Insert an OperatorDef before the operator of that number."""
        require(op_idx >= 0, f"the position must not be negative, got {op_idx}.")
        ops = list(self.Proto().op)
        del self._net.op[:]
        self._net.op.extend([*ops[:op_idx], op, *ops[op_idx:]])

    def reroute_tensor(self, tensor: Any, new_producer: Any, can_modify: Sequence[Any] | None = None) -> int:
        """Insert an operator after all of its inputs are made, and let operators read its output instead
        of ``tensor``: those in ``can_modify``. Returns their number. The net must write no blob twice.
        """
        at = max(self._producer(name, new_producer) for name in new_producer.input)
        self.insert_op_at_idx(new_producer, at + 1)
        old, new = str(tensor), new_producer.output[0]
        outputs = self._net.external_output
        outputs[:] = [new if name == old else name for name in outputs]
        changed = [op for op in self._net.op if can_modify and op in can_modify]
        for op in changed:
            remap_input(op, {old: new})
        return len(changed)

    def _producer(self, name: str, reader: Any) -> int:
        if name in self._net.external_input:
            return -1
        return next((i for i, op in enumerate(self._net.op) if name in op.output), -2)

    def AppendNet(self, net: Net, device_option: Any = None) -> Net:
        """Append another net's operators, inputs and outputs, on another device if one is given."""
        require(isinstance(net, Net), f"AppendNet wants a Net, got {type(net).__name__}.")
        mine, other = self.Proto(), net.Proto()
        mine.external_input.extend(
            [i for i in other.external_input if i not in mine.external_input and i not in self._op_outputs]
        )
        mine.external_output.extend([o for o in other.external_output if o not in mine.external_output])
        ops = list(other.op)
        if device_option is not None:
            ops = [_on_device(op, device_option) for op in ops]
        self._ExtendOps(ops)
        return self

    def AddGradientOperators(self, ys: Any, skip: int = 0) -> dict[BlobReference, Any]:
        """Append the gradient operators of the net.

        Args:
            ys: a list of blobs to derive, or a dict blob -> its gradient (None: ones).
            skip: number of operators at the start that need no gradient.

        Returns:
            blob -> gradient: a BlobReference, or a GradientSlice of two where it is sparse.

        Raises:
            GradientError: as `freshpot.net.gradient.backward`.
        """
        try:
            ops, grads = GradientRegistry.GetBackwardPass(self._net.op[skip:], ys)
        except FreshpotError as error:
            error.at(net=self.Name())
            raise
        if immediate.IsImmediate():
            for op in ops:
                immediate.RunOperatorImmediate(op)
        self._ExtendOps(ops)
        return grads

    def AddArgument(self, arg_name: str, arg_value: Any) -> None:
        """Add an argument to the net itself."""
        self._net.arg.extend([utils.MakeArgument(arg_name, arg_value)])

    def add_attribute(self, name: str, obj: Any) -> None:
        """Keep an object of the program with the net, in the list of that name."""
        self._attr_dict[name].append(obj)

    def get_attributes(self, name: str) -> list[Any]:
        """The objects kept under that name."""
        return self._attr_dict.get(name, [])


def _on_device(op: Any, device_option: Any) -> Any:
    """A copy of an operator on a device; the step nets of a recurrent network follow."""
    op = copy.deepcopy(op)
    op.device_option.CopyFrom(device_option)
    if op.type == "RecurrentNetwork":
        for argument in op.arg:
            if argument.name.endswith("step_net"):
                for inner in argument.n.op:
                    inner.device_option.CopyFrom(device_option)
    return op
