"""Layers: how a type is declared, and one layer of a net bound to its blobs and operators.

Owned here: the register of layer types, lowering (LayerParameter -> operators), running one layer.
Who calls it: `caffe._layers` (declarations), `_net.net`.

A layer type is one short function that states parameters and operators::

    @layer("InnerProduct", bottoms=1, tops=1)
    def inner_product(low: Lowering) -> None:
        p = low.param.inner_product_param
        W = low.weight((p.num_output, count), p.weight_filler)
        ...
        low.op("FC", [low.bottom[0], W, b], low.top, axis=axis)

Shapes of tops and the backward pass follow from the operators. A layer that is no arithmetic (data,
Python layers, files) gives functions instead: ``low.host(forward, backward)`` and ``low.shape_top``.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from caffe import _random
from caffe._net import fillers
from caffe._net.backward import reverse
from caffe._net.blob import DIFF, NetBlob, shapes_changed
from caffe._net.site import Site
from freshpot.engine import Plan, Workspace, infer_shapes
from freshpot.engine.blob import leave_unfilled, zeros
from freshpot.engine.kept import glance
from freshpot.errors import (
    ArityError,
    DeviceError,
    GradientError,
    NetError,
    ShapeError,
    UnknownOperatorError,
    near_matches,
)
from freshpot.formats import caffemodel
from freshpot.net import Net, Op

Count = int | tuple[int, int | None]
Host = Callable[[], None]
HostBackward = Callable[[list[bool]], None]


@dataclass(frozen=True, slots=True)
class LayerType:
    """What is known of a layer type before it is in a net.

    ``bottoms``, ``tops``: exact number, or (fewest, most). ``same_count``: as many tops as bottoms.
    ``loss``: top 0 has loss weight 1 unless the net says otherwise, and a missing top is made up.
    ``not_forced``: bottoms that `force_backward` leaves alone (labels).
    ``create``: called with the LayerParameter before the layer has blobs; what it returns is the first `state`.
    """

    name: str
    lower: Callable[[Lowering], None]
    bottoms: Count
    tops: Count
    same_count: bool = False
    loss: bool = False
    not_forced: tuple[int, ...] = ()
    create: Callable[[Any], Any] | None = None

    @property
    def needed_tops(self) -> int:
        """Fewest tops."""
        return self.tops if isinstance(self.tops, int) else self.tops[0]


_types: dict[str, LayerType] = {}


def layer(
    name: str,
    *,
    bottoms: Count = 1,
    tops: Count = 1,
    same_count: bool = False,
    loss: bool = False,
    not_forced: tuple[int, ...] = (),
    create: Callable[[Any], Any] | None = None,
) -> Callable[[Callable[[Lowering], None]], Callable[[Lowering], None]]:
    """Declare a layer type; see :class:`LayerType` for the words."""

    def register(lower: Callable[[Lowering], None]) -> Callable[[Lowering], None]:
        _types[name] = LayerType(name, lower, bottoms, tops, same_count, loss, not_forced, create)
        return lower

    return register


def layer_types() -> dict[str, LayerType]:
    """Every layer type, by name."""
    import caffe._layers as package

    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    return dict(sorted(_types.items()))


def original_types() -> frozenset[str]:
    """Names of the layer types that BVLC Caffe itself has."""
    text = (pkgutil.get_data("caffe._layers", "original.txt") or b"").decode()
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


#: layer type -> the best known branch of Caffe that has it
_OF_BRANCHES = {
    **dict.fromkeys(("AnnotatedData", "VideoData"), "SSD"),
    **dict.fromkeys(("DenseCRF", "ImageSegData", "MatRead", "MatWrite", "UniqueLabel"), "DeepLab"),
    **dict.fromkeys(("ImResize", "Maximum", "Nms", "Switch"), "OpenPose"),
    **dict.fromkeys(
        ("Correlation", "CustomData", "DataAugmentation", "Downsample", "FlowAugmentation"), "FlowNet"
    ),
    **dict.fromkeys(("FlowWarp", "L1Loss", "Resample"), "FlowNet"),
    **dict.fromkeys(("MaskPooling", "MaskResize", "ROIWarping"), "MNC"),
    **dict.fromkeys(("DeformableConvolution", "DeformablePSROIPooling"), "Deformable R-FCN"),
    "ImageLabelmapData": "HED",
    "Lstm": "Junhyuk Oh",
}


def _known_of(name: str) -> str:
    branch = next((found for known, found in _OF_BRANCHES.items() if known.lower() == name.lower()), None)
    return f" {branch}'s branch of Caffe has it, BVLC Caffe not." if branch else near_matches(name, _types)


def find_type(name: str) -> LayerType:
    """The layer type of that name.

    Raises:
        UnknownOperatorError: there is none; the message says which branch of Caffe has it, or names near matches.
    """
    if name not in _types and name not in layer_types():
        raise UnknownOperatorError(f"there is no layer type '{name}'.{_known_of(name)}")
    return _types[name]


class Lowering:
    """What a layer type's function works with: the layer's description in, operators out."""

    def __init__(self, owner: Layer) -> None:
        self._layer = owner
        self.param = owner.param
        self.bottom = [b.name for b in owner.bottoms]
        self.top = [b.name for b in owner.tops]
        self.shapes = [b.dims for b in owner.bottoms]
        self.train = owner.train
        self.workspace = owner.workspace
        self.ops: list[Op] = []
        self.backward_ops: list[Op] | None = None
        self._weights = 0

    @property
    def layer(self) -> Layer:
        """The layer itself; state that lives across reshapes may be kept in ``layer.state``."""
        return self._layer

    def weight(self, shape: Sequence[int], filler: Any = None) -> str:
        """Declare the next parameter blob; made and filled (zeros without a filler) the first time."""
        name = self._layer.weight(self._weights, tuple(int(n) for n in shape), filler)
        self._weights += 1
        return name

    def op(self, type: str, inputs: Sequence[str], outputs: Sequence[str], **args: Any) -> list[str]:
        """Append an operator; returns its outputs. Arguments that are None are left out."""
        given = {k: v for k, v in args.items() if v is not None}
        self.ops.append(Op(type, list(inputs), list(outputs), given, name=self._layer.name))
        return list(outputs)

    def backward_op(self, type: str, inputs: Sequence[str], outputs: Sequence[str], **args: Any) -> None:
        """Append an operator to a backward pass of the layer's own, used instead of the derived one."""
        self.backward_ops = [*(self.backward_ops or []), Op(type, list(inputs), list(outputs), dict(args))]

    def temp(self, name: str) -> str:
        """A blob name that is this layer's own."""
        return f"{self._layer.name}/{name}"

    def constant(self, name: str, value: torch.Tensor) -> str:
        """Put a value into a blob of this layer's own; returns its name."""
        value = value.to(self._layer.site.device)
        self.workspace.create(self.temp(name)).value = value
        self._layer.constants[self.temp(name)] = value
        return self.temp(name)

    def state(self, name: str, shape: Sequence[int]) -> str:
        """A blob of this layer's own that keeps its value from run to run; zeros at first; returns its name."""
        cell = self.workspace.create(self.temp(name))
        if cell.empty or tuple(cell.value.shape) != tuple(shape):
            cell.value = torch.zeros(tuple(shape), device=self._layer.site.device)
        self._layer.constants[self.temp(name)] = cell.value
        return self.temp(name)

    def kept_bottom(self) -> str:
        """Bottom 0, or where the layer runs in place what it held: for operators whose gradient needs it."""
        if self.bottom[0] not in self.top:
            return self.bottom[0]
        return self.op("CaffeKeep", self.bottom[:1], [self.temp("bottom")])[0]

    def no_gradient_for(self, *bottoms: int) -> None:
        """Refuse a backward pass that wants a gradient of these bottoms (labels and such)."""
        self._layer.without_gradient = bottoms

    def host(self, forward: Host, backward: HostBackward | None = None, reshape: Host | None = None) -> None:
        """Let Python functions do the work. ``backward`` is given which bottoms want a diff.

        ``reshape`` is called before each forward pass instead of lowering again where shapes changed.
        """
        self._layer.host_forward, self._layer.host_backward = forward, backward
        self._layer.host_reshape = reshape

    def shape_top(self, i: int, shape: Sequence[int]) -> None:
        """Set the shape of top i (needed only where no operator makes it)."""
        self._layer.tops[i].set_dims(tuple(int(n) for n in shape))

    def axis(self, axis: int, bottom: int = 0) -> int:
        """An axis of a bottom, counted from the front; negative ones count from the end.

        Raises:
            ShapeError: the bottom has no such axis.
        """
        ndim = len(self.shapes[bottom])
        if not -ndim <= axis < ndim:
            self.refuse(
                f"axis {axis} is out of range for bottom '{self.bottom[bottom]}' {self.shapes[bottom]}."
            )
        return axis % ndim if ndim else 0

    def refuse(self, message: str, error: type[NetError] = ShapeError) -> NoReturn:
        """Raise ``error``; the net adds which layer and where."""
        raise error(message)


class Layer:
    """One layer of a net. What pycaffe shows of it is ``type`` and ``blobs``."""

    def __init__(
        self,
        kind: LayerType,
        param: Any,
        workspace: Workspace,
        bottoms: list[NetBlob],
        tops: list[NetBlob],
        train: bool,
        site: Site,
    ) -> None:
        self.kind = kind
        self.site = site
        self.param = param
        self.name: str = param.name
        self.type: str = param.type
        self.workspace = workspace
        self.bottoms = bottoms
        self.tops = tops
        self.train = train
        self.blobs: list[NetBlob] = []
        #: for types that keep something across reshapes (data readers, Python layers)
        self.state: Any = None
        self.param_propagate_down: list[bool] = []
        self.loss_weights = self._loss_weights()
        self.constants: dict[str, torch.Tensor] = {}
        self.without_gradient: tuple[int, ...] = kind.not_forced
        self.host_forward: Host | None = None
        self.host_backward: HostBackward | None = None
        #: goes up when the operators are made again: plans made of them are void then
        self.version = 0
        self.host_reshape: Host | None = None
        self._check_counts()
        self._check_engine()

    # ---- making --------------------------------------------------------------------------------
    def _check_counts(self) -> None:
        for what, wanted, got in (
            ("bottom", self.kind.bottoms, len(self.bottoms)),
            ("top", self.kind.tops, len(self.tops)),
        ):
            low, high = (wanted, wanted) if isinstance(wanted, int) else wanted
            if got < low or (high is not None and got > high):
                words = f"{low}" if low == high else f"at least {low}" if high is None else f"{low} to {high}"
                raise ArityError(f"takes {words} {what} blobs, got {got}.")
        if self.kind.same_count and len(self.bottoms) != len(self.tops):
            raise ArityError(
                f"makes a top for every bottom: {len(self.bottoms)} bottoms, {len(self.tops)} tops."
            )

    def _check_engine(self) -> None:
        """`engine: CUDNN` is a hint, unless the user wants no stand-ins for a missing GPU."""
        if os.environ.get("FRESHPOT_STRICT_DEVICE") != "1" or torch.cuda.is_available():
            return
        for descriptor, value in self.param.ListFields():
            if descriptor.message_type is None or "engine" not in descriptor.message_type.fields_by_name:
                continue
            if value.engine == value.CUDNN:
                raise DeviceError(
                    f"layer '{self.name}' asks for the engine CUDNN, and this machine has no GPU"
                    " (FRESHPOT_STRICT_DEVICE=1 forbids the CPU instead)."
                )

    def _loss_weights(self) -> list[float]:
        if self.kind.loss and not self.param.loss_weight:
            self.param.loss_weight.append(1.0)
        given = list(self.param.loss_weight)
        if given and len(given) != len(self.tops):
            raise ArityError(
                f"loss_weight must be given for all {len(self.tops)} tops or none, got {len(given)}."
            )
        return given or [0.0] * len(self.tops)

    def weight(self, i: int, shape: tuple[int, ...], filler: Any) -> str:
        """Parameter blob i, made and filled if it is new."""
        if i < len(self.blobs):
            found = self.blobs[i]
            if found.dims != shape:
                raise ShapeError(f"parameter {i} has shape {found.dims}, the bottoms now want {shape}.")
            return found.name
        blob = NetBlob(self.workspace, f"{self.name}[{i}]")
        value, draw = self._first_value(i, shape, filler)
        blob.data_cell.value = value.to(self.site.device)
        blob.data_cell.share()  # parameters keep their memory: solvers update them in place
        if draw is not None:
            leave_unfilled(blob.data_cell, _random.later(draw, value))
        self.blobs.append(blob)
        self.param_propagate_down.append(True)
        return blob.name

    def _first_value(
        self, i: int, shape: tuple[int, ...], filler: Any
    ) -> tuple[torch.Tensor, _random.Draw | None]:
        """What the net's own description holds, else what the filler says, else zeros; what is still to be drawn."""
        if i < len(self.param.blobs):
            values = caffemodel.read_blob(self.param.blobs[i])
            if values.shape != shape:
                raise ShapeError(f"parameter {i} is given with shape {values.shape}, and {shape} is wanted.")
            return torch.from_numpy(values), None
        if filler is None:
            return zeros(shape), None
        if self.site.device.type == "cpu":
            return fillers.prepare(filler, shape)
        return fillers.fill(filler, shape), None

    def lower(self) -> None:
        """Make the operators for the bottoms' present shapes, and shape the tops."""
        lowering = Lowering(self)
        self.kind.lower(lowering)
        self._ops = lowering.ops
        self._own_backward = lowering.backward_ops
        self._lowered_for = [b.dims for b in self.bottoms]
        known = {b.name: (b.dims, torch.float32) for b in (*self.bottoms, *self.blobs)}
        known |= {name: (tuple(value.shape), value.dtype) for name, value in self.constants.items()}
        made = infer_shapes(Net(self.name, self._ops), known)
        for top in self.tops:
            if top.name in made:
                top.set_dims(made[top.name][0])
        for top, weight in zip(self.tops, self.loss_weights, strict=True):
            if weight:
                top.diff_cell.value = torch.full(top.dims, weight, device=self.site.device)
        self.forget_plans()

    def forget_plans(self) -> None:
        """The operators, or the device they run on, are others now."""
        self._plan: Plan | None = None
        self._backward_plans: dict[tuple[bool, ...], Plan] = {}
        self.version += 1
        shapes_changed()

    def _bound(self, ops: list[Op]) -> Plan:
        return Plan(Net(self.name, ops, device=self.site.option), self.workspace)

    def reshape(self) -> None:
        """Make the operators again if a bottom's shape changed."""
        if self.host_reshape is not None:
            self.host_reshape()
        elif self._lowered_for != [b.dims for b in self.bottoms]:
            self.lower()

    # ---- running -------------------------------------------------------------------------------
    def forward(self) -> float:
        """Run; returns the weighted loss of the tops."""
        self.reshape()
        if self.host_forward is not None:
            self.host_forward()
        elif self._ops:
            if self._plan is None:
                self._plan = self._bound(self._ops)
            self._plan.run()
        return self.loss()

    @property
    def ops(self) -> list[Op]:
        """The operators of the forward pass."""
        return self._ops

    def loss(self) -> float:
        """The weighted loss of the tops as they are now."""
        total = 0.0
        for top, weight in zip(self.tops, self.loss_weights, strict=True):
            if weight:
                value = glance(top.data_cell)
                total += weight * (value if value.numel() == 1 else value.sum()).item()
        return total

    def backward(self, propagate_down: list[bool]) -> None:
        """Write the diffs of the bottoms asked for; add to the diffs of the parameters that learn."""
        self.make_diffs()
        if self.host_forward is not None:
            if self.host_backward is not None:
                self.host_backward(propagate_down)
            return
        key = (*propagate_down, *self.param_propagate_down)
        if key not in self._backward_plans:
            self._backward_plans[key] = self._bound(self.backward_ops(propagate_down))
        self._backward_plans[key].run()

    def make_diffs(self) -> None:
        """Let tops and parameters have diffs of their shapes."""
        for top in self.tops:
            top.make_diff()
        for blob in self.blobs:
            blob.make_diff()

    def backward_ops(self, propagate_down: list[bool], first: Collection[int] = ()) -> list[Op]:
        """The operators of the backward pass.

        Args:
            propagate_down: which bottoms want a diff.
            first: parameters whose diff may be written rather than added to.

        Raises:
            GradientError: a diff is wanted for a bottom that has no gradient.
        """
        refused = [k for k in self.without_gradient if k < len(propagate_down) and propagate_down[k]]
        if refused:
            raise GradientError(
                f"has no gradient for bottom {refused[0]} '{self.bottoms[refused[0]].name}': leave out force_backward, "
                "or set propagate_down to false for it."
            )
        if self._own_backward is not None:
            return self._own_backward if any(propagate_down) else []
        seeds = {b.name: DIFF.format(b.name) for b in self.tops}
        wanted = {
            b.name: DIFF.format(b.name) for b, want in zip(self.bottoms, propagate_down, strict=True) if want
        }
        summed: dict[str, str] = {}
        for k, (blob, want) in enumerate(zip(self.blobs, self.param_propagate_down, strict=True)):
            if want:
                (wanted if k in first else summed)[blob.name] = DIFF.format(blob.name)
        if not wanted and not summed:
            return []  # nothing to do, also for layers that have no gradient
        ops = [Op(o.type, list(o.inputs), list(o.outputs), dict(o.args), name=o.name) for o in self._ops]
        return reverse(ops, seeds, wanted, summed)
