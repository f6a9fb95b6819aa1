"""Features of examples, merged into one list of (key, value) an example.

Each operator takes some features: a single one has a value for each example that has it, many ("Multi") bring
their own keys; a value is a number, a list, or a map from keys to values. One table makes them all.

Source: caffe2/operators/feature_maps_ops.h
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import BOOL, INT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.sparse._rows import as_index, join, take

_IDS = Arg("feature_ids", [int], [], "the features' keys")


def _spread(lengths: Tensor) -> Tensor:
    """For each row, which segment it is in."""
    return torch.repeat_interleave(torch.arange(lengths.numel(), device=lengths.device), lengths.long())


def _order(examples: list[Tensor]) -> Tensor:
    """Order in which rows of several features, each in order of examples, stand merged: by example, then feature."""
    return torch.argsort(torch.cat(examples), stable=True)


class MergeDenseFeatureTensors(Operator):
    """One list an example: keys and values of the columns that are present in its row.

    Shapes:   in1: (N, F); in1_presence: (N, F) bool -> out_lengths: (N,) int32; out_keys: (all,) int64; out_values
    Raises:   ArgumentError if there is not one id a column.
    Source:   caffe2/operators/feature_maps_ops.h
    """

    inputs = (Port("in1", (), "N F"), Port("in1_presence", BOOL, "N F"))
    outputs = (Port("out_lengths"), Port("out_keys"), Port("out_values"))
    args = (_IDS,)

    def check(self, values: Any, presence: Tensor) -> None:
        if len(self.feature_ids) != values.shape[1]:
            self.refuse(
                f"argument 'feature_ids' must have {values.shape[1]} numbers, one a column.", ArgumentError
            )

    def kernel(self, values: Any, presence: Tensor) -> tuple[Any, ...]:
        keys = torch.tensor(self.feature_ids, device=presence.device).expand(presence.shape)
        return presence.sum(1).int(), keys[presence], values[as_index(presence, values)]


class _Merge(Operator, abstract=True):
    """What the table's operators share; ``parts`` names what one feature (or group of them) brings."""

    inputs: ClassVar[tuple[Port, ...]] = (Port("features", many=True, at_least=0),)
    parts: ClassVar[tuple[str, ...]]

    def setup(self) -> None:
        size = len(self.parts)
        if not self.num_inputs or self.num_inputs % size:
            self.refuse(
                f"takes {size} inputs ({', '.join(self.parts)}) for each feature, got {self.num_inputs}.",
                ArityError,
            )
        self.count = self.num_inputs // size
        if "presence" in self.parts and len(self.feature_ids) < self.count:
            self.refuse(
                f"argument 'feature_ids' must have {self.count} numbers, one a feature.", ArgumentError
            )

    def groups(self, inputs: tuple[Any, ...]) -> list[dict[str, Any]]:
        """Inputs of each feature, by name."""
        size = len(self.parts)
        return [dict(zip(self.parts, inputs[i : i + size], strict=True)) for i in range(0, len(inputs), size)]

    def check(self, *inputs: Any) -> None:
        wanted = {"presence": BOOL, "lengths": INT, "values_lengths": INT}
        for group in self.groups(inputs):
            for name, value in group.items():
                allowed = wanted.get(name)
                if allowed and str(value.dtype).removeprefix("torch.") not in allowed:
                    self.refuse(f"{name} must be {allowed[0]}, got {value.dtype}.")
                if len(value.shape) != 1:
                    self.refuse(f"{name} must be a vector, got {tuple(value.shape)}.")
            self.check_group(group)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise if the inputs of a feature do not fit each other."""
        if "presence" in group:
            other = group["lengths" if "lengths" in group else "values"]
            if other.shape != group["presence"].shape:
                self.refuse("presence must have one element for each example.")
        elif group["keys"].shape != group.get("values_lengths", group["values"]).shape:
            self.refuse("there must be one key for each value.")

    def kernel(self, *inputs: Any) -> tuple[Any, ...]:
        groups = self.groups(inputs)
        for number, group in enumerate(groups):
            self.complete(number, group)
        order = _order([g["example"] for g in groups])
        count = groups[0]["examples"]
        lengths = torch.bincount(torch.cat([g["example"] for g in groups]), minlength=count).int()
        made = [lengths, torch.cat([g["key"] for g in groups])[order]]
        if "inner" not in groups[0]:
            return *made, take(join([g["data"]["values"] for g in groups]), order)
        inner = torch.cat([g["inner"] for g in groups])
        made.append(inner[order])
        rows = _rows_of(inner, order)
        return *made, *(take(join([g["data"][k] for g in groups]), rows) for k in groups[0]["data"])

    def complete(self, number: int, group: dict[str, Any]) -> None:
        """Add, for each of the feature's values: its example, key, inner length; and the data under them."""
        if "presence" in group:
            present = group["presence"].nonzero().reshape(-1)
            group["example"], group["examples"] = present, group["presence"].numel()
            group["key"] = torch.full_like(present, self.feature_ids[number])
            inner = group.get("lengths")
            inner = inner[present] if inner is not None else None
        else:
            group["example"], group["examples"] = _spread(group["lengths"]), group["lengths"].numel()
            group["key"] = group["keys"]
            inner = group.get("values_lengths")
            if len(group["example"]) != len(group["key"]):
                self.refuse("lengths do not add up to the keys.")
        data = {k: group[k] for k in ("values_keys", "values") if k in group}
        if inner is None and "presence" in group:
            data = {k: take(v, present) for k, v in data.items()}
        if inner is not None:
            group["inner"] = inner
            if any(int(inner.sum()) > v.shape[0] for v in data.values()):
                self.refuse("lengths ask for more values than there are.")
            data = {k: v[: int(inner.sum())] for k, v in data.items()}
        group["data"] = data


def _rows_of(lengths: Tensor, order: Tensor) -> Tensor:
    """Rows of segments, in the segments' new order."""
    starts = (lengths.cumsum(0) - lengths)[order]
    sizes = lengths[order]
    within = torch.arange(int(sizes.sum()), device=lengths.device)
    return within + torch.repeat_interleave(starts - (sizes.cumsum(0) - sizes), sizes.long())


class _MergeGradient(_Merge, abstract=True):
    """Gradients of the features' values, from that of the merged values."""

    inputs = (Port("features", many=True, at_least=1), Port("dvalues"))
    outputs = (Port("gradients", many=True),)
    no_gradient = "it is itself a gradient"

    def setup(self) -> None:
        size = len(self.parts)
        if (self.num_inputs - 1) % size or self.num_outputs != (self.num_inputs - 1) // size:
            self.refuse(f"takes {size} inputs for each output, then the gradient.", ArityError)

    def check(self, *inputs: Any) -> None:
        """The forward operator checked them."""

    def kernel(self, *inputs: Any) -> tuple[Any, ...]:
        *given, dvalues = inputs
        groups = self.groups(tuple(given))
        owners = [self.owner(group) for group in groups]
        order = _order([example for example, _ in owners])
        inner = torch.cat([size for _, size in owners])
        back = torch.empty(int(inner.sum()), *dvalues.shape[1:], dtype=dvalues.dtype, device=dvalues.device)
        back[_rows_of(inner, order)] = dvalues
        parts = back.split([int(size.sum()) for _, size in owners])
        return tuple(self.place(group, part) for group, part in zip(groups, parts, strict=True))

    def owner(self, group: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Example of each value, and how many numbers it has."""
        if "presence" in group:
            example = group["presence"].nonzero().reshape(-1)
            sizes = group["lengths"][example] if "lengths" in group else torch.ones_like(example)
        else:
            example = _spread(group["lengths"])
            sizes = group.get("values_lengths", torch.ones_like(example))
        return example, sizes.long()

    def place(self, group: dict[str, Tensor], part: Tensor) -> Tensor:
        """A feature's part of the gradient, at the places of its values."""
        if self.parts != ("presence",):
            return part.clone()
        made = part.new_zeros(group["presence"].numel())
        made[group["presence"]] = part
        return made


def _rule(name: str, parts: tuple[str, ...], kept: tuple[str, ...], output: int) -> Any:
    def rule(g: GradientMaker) -> list[Op]:
        count, at = len(g.op.inputs) // len(parts), parts.index("values")
        given = [g.I(k * len(parts) + parts.index(p)) for k in range(count) for p in kept]
        made = [g.GI(k * len(parts) + at) for k in range(count)]
        return [g.new(name, [*given, g.GO(output)], made)]

    return rule


#: name -> (what a feature brings, what its gradient needs, outputs after out_lengths and out_keys)
_TABLE: dict[str, tuple[str, str, str]] = {
    "SingleScalar": ("values presence", "presence", "out_values"),
    "SingleList": ("lengths values presence", "lengths presence", "out_values_lengths out_values_values"),
    "SingleMap": (
        "lengths values_keys values presence",
        "lengths presence",
        "out_values_lengths out_values_keys out_values_values",
    ),
    "MultiScalar": ("lengths keys values", "lengths", "out_values"),
    "MultiList": (
        "lengths keys values_lengths values",
        "lengths values_lengths",
        "out_values_lengths out_values_values",
    ),
    "MultiMap": (
        "lengths keys values_lengths values_keys values",
        "lengths values_lengths",
        "out_values_lengths out_values_keys out_values_values",
    ),
}


def _define(kind: str, brings: str, needs: str, makes: str) -> None:
    name = f"Merge{kind}FeatureTensors"
    parts, kept = tuple(brings.split()), tuple(needs.split())
    outputs = ("out_lengths", "out_keys", *makes.split())
    type(
        name,
        (_Merge,),
        {
            "__doc__": f"One list an example of all features that it has, in the features' order.\n\n"
            f"Shapes:   for each feature: {', '.join(parts)}, vectors -> {', '.join(outputs)}, vectors\n"
            "Raises:   ArityError, ArgumentError, ShapeError if the inputs do not fit each other.\n"
            "Source:   caffe2/operators/feature_maps_ops.h",
            "__module__": __name__,
            "parts": parts,
            "inputs": (Port("features", many=True, at_least=len(parts)),),
            "outputs": tuple(Port(o) for o in outputs),
            "args": (_IDS,) if "presence" in parts else (),
            "gradient_rule": staticmethod(_rule(name + "Gradient", parts, kept, len(outputs) - 1)),
        },
    )
    type(
        name + "Gradient",
        (_MergeGradient,),
        {
            "__doc__": f"Gradient of {name}.",
            "__module__": __name__,
            "parts": kept,
            "inputs": (Port("features", many=True, at_least=len(kept)), Port("dvalues")),
        },
    )


for _kind, _row in _TABLE.items():
    _define(_kind, *_row)
