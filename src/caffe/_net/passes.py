"""The two passes over a net in as few plans as possible: operators of neighbouring layers are bound together.

Owned here: cutting a range of layers into stretches, one plan each, and running them. Who calls it:
`_net.net`, where nobody wants to be called between two layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caffe._net import joining
from caffe._net.blob import DIFF, NetBlob, shape_changes
from caffe.proto import caffe_pb2
from freshpot.engine import Plan
from freshpot.engine.blob import Blob as Cell
from freshpot.engine.prediction import PredictionPlan
from freshpot.errors import NetError
from freshpot.net import Op

if TYPE_CHECKING:
    from caffe._net.layer import Layer
    from caffe._net.net import CaffeNet


#: types of layers whose tops' shapes depend on numbers: who reads them looks at each run
_SHAPED_BY_DATA = ("Filter",)


@dataclass(slots=True)
class Stretch:
    """Layers whose operators are bound to one plan; or one layer that is Python."""

    layers: list[int] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    #: the layer that each operator belongs to
    owners: list[int] = field(default_factory=list)
    is_host: bool = False
    is_backward: bool = False
    plan: Plan | PredictionPlan | None = None
    #: what the layers were like when the plan was made
    key: Any = None
    #: the device and the net's blobs when the plan was made
    bound: Any = None
    #: blobs that its layers read and do not make
    sources: list[NetBlob] = field(default_factory=list)
    #: what shapes were like when the layers last looked at them
    looked: Any = None

    def add(self, i: int, ops: list[Op]) -> None:
        """Append a layer's operators."""
        self.layers.append(i)
        self.ops += ops
        self.owners += [i] * len(ops)

    def join(
        self, how: Callable[[list[joining.Owned], Sequence[Layer]], list[joining.Owned]], net: CaffeNet
    ) -> None:
        """Join operators of neighbouring layers; on a GPU what is left for later would cut a graph in parts."""
        if net.site.device.type != "cpu":
            return
        pairs = [joining.Owned(*pair) for pair in zip(self.ops, self.owners, strict=True)]
        joined = how(pairs, net.layers)
        self.ops, self.owners = [o.op for o in joined], [o.layer for o in joined]


class Forward:
    """The forward pass over layers start … end."""

    def __init__(self, net: CaffeNet, start: int, end: int) -> None:
        self._net = net
        self._stretches: list[Stretch] = []
        current: Stretch | None = None
        for i in range(start, end + 1):
            layer = net.layers[i]
            host = layer.host_forward is not None
            if current is None or host or current.is_host:
                current = Stretch(is_host=host)
                self._stretches.append(current)
            current.layers.append(i)
            if any(layer.loss_weights):  # the loss is read before a later layer may overwrite it
                current = None
        for stretch in self._stretches:
            stretch.sources = _sources(net, stretch)

    def run(self) -> float:
        """Run; returns the loss."""
        loss = 0.0
        for stretch in self._stretches:
            if not stretch.is_host:
                self._reshape(stretch)
            try:
                loss += self._run(stretch)
            except NetError as error:
                place_error(self._net, error, stretch)
                raise
        return loss

    def _run(self, stretch: Stretch) -> float:
        layers = self._net.layers
        if stretch.is_host:
            return layers[stretch.layers[0]].forward()
        if stretch.plan is not None:
            stretch.plan.run()
        return layers[stretch.layers[-1]].loss()

    @property
    def is_one(self) -> bool:
        """True if only Python layers without bottoms (data) stand before the others, and losses stay as they are."""
        layers, seen = self._net.layers, False
        losses: set[int] = set()
        for stretch in self._stretches:
            if stretch.is_host:
                own = [layers[i] for i in stretch.layers]
                if seen or any(layer.bottoms or any(layer.loss_weights) for layer in own):
                    return False
                continue
            seen = True
            for i in stretch.layers:
                if not losses.isdisjoint(id(top) for top in layers[i].tops):
                    return False
                pairs = zip(layers[i].tops, layers[i].loss_weights, strict=True)
                losses |= {id(top) for top, weight in pairs if weight}
        return seen

    def begin(self) -> list[Stretch]:
        """Where it `is_one`: run the data layers; the other stretches, up to date, for who runs their plans."""
        found = []
        for stretch in self._stretches:
            try:
                if stretch.is_host:
                    self._run(stretch)
                    continue
                self._reshape(stretch)
                found.append(stretch)
            except NetError as error:
                place_error(self._net, error, stretch)
                raise
        return found

    def _reshape(self, stretch: Stretch) -> None:
        """Let layers follow their bottoms' shapes, and have the plan for them; here it is known which refuses."""
        looked = (shape_changes(), *(blob.dims for blob in stretch.sources))
        if looked == stretch.looked:
            return
        for i in stretch.layers:
            try:
                self._net.layers[i].reshape()
            except NetError as error:
                self._net.at_layer(error, i)
                raise
        versions = [self._net.layers[i].version for i in stretch.layers]
        if stretch.key != versions:
            try:
                self._bind(stretch, versions)
            except NetError as error:
                place_error(self._net, error, stretch)
                raise
        if not any(self._net.layers[i].type in _SHAPED_BY_DATA for i in stretch.layers):
            stretch.looked = (shape_changes(), *looked[1:])

    def _bind(self, stretch: Stretch, versions: list[int]) -> None:
        before = stretch.ops
        numbers, stretch.layers, stretch.ops, stretch.owners = stretch.layers, [], [], []
        for i in numbers:
            stretch.add(i, self._net.layers[i].ops)
        cells = {id(blob.data_cell) for blob in self._net.blob_list}
        bound = (self._net.site.device, cells)
        plan = stretch.plan
        if isinstance(plan, PredictionPlan) and stretch.bound == bound and stretch.ops == before:
            plan.shapes_changed()  # and nothing else did
        else:
            stretch.plan = self._plan(stretch) if stretch.ops else None
        stretch.key, stretch.bound = versions, bound

    def _plan(self, stretch: Stretch) -> Plan | PredictionPlan:
        """The plan of a stretch; where no layer ever runs backwards, one that makes only the net's own blobs."""
        net = self._net
        if net.phase == caffe_pb2.TRAIN or any(net.layer_needs_backward) or len(stretch.layers) < 2:
            stretch.join(joining.forward, net)
            return net.bound(stretch.ops)
        cells = {id(blob.data_cell) for blob in net.blob_list}
        return net.bound_for_inference(stretch.ops, lambda cell: id(cell) in cells)


class Backward:
    """The backward pass over layers start … end (start is the later one).

    With ``fresh``, diffs of parameters are written, as if they had been zero; else they are added to.
    """

    def __init__(self, net: CaffeNet, start: int, end: int, fresh: bool) -> None:
        self._net = net
        self._range = (start, end)
        self._fresh = fresh
        self._layers: list[Layer] = []
        self._stretches: list[Stretch] = []
        self._zeros: list[Cell] = []
        self._key: Any = None

    def run(self) -> None:
        """Run."""
        for stretch in self.begin():
            try:
                self._run(stretch)
            except NetError as error:
                place_error(self._net, error, stretch)
                raise

    @property
    def is_one(self) -> bool:
        """True if no layer of Python's takes part."""
        self.follow()
        return not any(stretch.is_host for stretch in self._stretches)

    def follow(self) -> None:
        """Have stretches for the layers as they are."""
        net = self._net
        key = [
            (net.layers[i].version, *net.bottom_needs_backward[i], *net.layers[i].param_propagate_down)
            for i in range(self._range[0], self._range[1] - 1, -1)
            if net.layer_needs_backward[i]
        ]
        if key != self._key:
            self._bind()
            self._key = key

    def begin(self, *, as_before: bool = False) -> list[Stretch]:
        """Let there be diffs, zero where they are to be; the stretches, up to date, for who runs their plans.

        ``as_before``: layers and shapes are known to be those of the last time.
        """
        if not as_before:
            self.follow()
            for layer in self._layers:
                layer.make_diffs()
        for cell in self._zeros:
            cell.writable.zero_()
        if as_before:
            return self._stretches
        for stretch in self._stretches:
            if not stretch.is_host and stretch.plan is None:
                stretch.join(joining.backward, self._net)
                stretch.plan = self._net.bound(stretch.ops)
        return self._stretches

    def _run(self, stretch: Stretch) -> None:
        if stretch.is_host:
            i = stretch.layers[0]
            self._net.layers[i].backward(self._net.bottom_needs_backward[i])
            return
        if stretch.plan is not None:
            stretch.plan.run()

    def _bind(self) -> None:
        net = self._net
        self._layers, self._stretches = [], []
        written: set[int] = set()
        for i in range(self._range[0], self._range[1] - 1, -1):
            if not net.layer_needs_backward[i]:
                continue
            layer = net.layers[i]
            self._layers.append(layer)
            if layer.host_forward is not None:
                self._stretches.append(Stretch([i], is_host=True, is_backward=True))
                continue
            first = self._first_writes(layer, written)
            try:
                ops = layer.backward_ops(net.bottom_needs_backward[i], first)
            except NetError as error:
                net.at_layer(error, i)
                raise
            written.update(_written(layer, ops, first))
            if not self._stretches or self._stretches[-1].is_host:
                self._stretches.append(Stretch(is_backward=True))
            self._stretches[-1].add(i, ops)
        self._zeros = self._left_out(written) if self._fresh else []

    def _first_writes(self, layer: Layer, written: set[int]) -> set[int]:
        """Parameters of a layer whose diffs no layer has written before it in this pass."""
        if not self._fresh:
            return set()
        return {k for k, blob in enumerate(layer.blobs) if id(blob.diff_cell) not in written}

    def _left_out(self, written: set[int]) -> list[Cell]:
        """Diffs of parameters that this pass adds to, or leaves alone: zero them first."""
        return [p.blob.diff_cell for p in self._net.learnable if id(p.blob.diff_cell) not in written]


class Both:
    """A forward and a (fresh) backward pass over the whole net, one after the other, for who runs their plans."""

    def __init__(self, forward: Forward, backward: Backward) -> None:
        self._forward, self._backward = forward, backward
        self._is_one = forward.is_one and backward.is_one
        #: what shapes and layers were like the last time, and the stretches
        self._looked: list[Any] = [None]
        self._stretches: list[Stretch] = []

    def begin(self) -> list[Stretch] | None:
        """Run the data layers, let there be diffs; the other stretches, in order. None if a layer among them is Python,
        or writes over a loss: then nothing was done."""
        if not self._is_one:
            return None
        forward = self._forward.begin()
        looked = [stretch.looked for stretch in forward]
        as_before = looked == self._looked and None not in looked
        backward = self._backward.begin(as_before=as_before)
        if not as_before:
            self._looked, self._stretches = looked, forward + backward
        return self._stretches


def _sources(net: CaffeNet, stretch: Stretch) -> list[NetBlob]:
    """The blobs that a stretch's layers read and do not make."""
    made: set[int] = set()
    found: dict[int, NetBlob] = {}
    for i in stretch.layers:
        found |= {id(blob): blob for blob in net.layers[i].bottoms if id(blob) not in made}
        made |= {id(blob) for blob in net.layers[i].tops}
    return list(found.values())


def _written(layer: Layer, ops: list[Op], first: set[int]) -> set[int]:
    """Which of those diffs the operators write without having read them."""
    found = set()
    for k in first:
        name = DIFF.format(layer.blobs[k].name)
        user = next((op for op in ops if name in op.inputs or name in op.outputs), None)
        if user is not None and name not in user.inputs:
            found.add(id(layer.blobs[k].diff_cell))
    return found


def place_error(net: CaffeNet, error: NetError, stretch: Stretch) -> None:
    """Say which layer of a stretch failed."""
    at = 0 if error.position is None or not stretch.owners else min(error.position, len(stretch.owners) - 1)
    net.at_layer(error, stretch.owners[at] if stretch.owners else stretch.layers[0])
