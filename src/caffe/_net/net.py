"""A Caffe net: layers wired by blob names, parameters shared by name, and the two passes.

Owned here: from a NetParameter to layers in order; forward and backward over a range of layers.
Who calls it: pycaffe's `Net`, the solvers, the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from caffe import _log
from caffe._net import debug, passes
from caffe._net.blob import NetBlob
from caffe._net.layer import Layer, find_type
from caffe._net.passes import Stretch
from caffe._net.rules import filter_net
from caffe._net.site import Site
from caffe._net.splits import insert_splits
from caffe._net.unknown import refuse_unknown
from caffe.proto import caffe_pb2
from freshpot.engine import Plan, Workspace
from freshpot.engine.blob import Blob as Cell
from freshpot.engine.prediction import PredictionPlan
from freshpot.errors import (
    ArityError,
    DataError,
    FreshpotError,
    MissingBlobError,
    NameClashError,
    NetError,
    ShapeError,
    near_matches,
)
from freshpot.formats.caffe_text import StrangeField
from freshpot.net import Net, Op

Callback = Callable[[int], None]
#: types that are made of two layers in the original, which its log shows
_TWO_IN_ONE = ("SoftmaxWithLoss", "InfogainLoss")


@dataclass(slots=True)
class LearnableParam:
    """A parameter that the solver updates: its blob, its multipliers, and the names it is shown by."""

    blob: NetBlob
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    has_lr_mult: bool = False
    has_decay_mult: bool = False
    display_name: str = ""
    shape_owner: str = ""


class CaffeNet:
    """A net of layers over a workspace of its own.

    Args:
        param: a current NetParameter (upgraded) whose ``state`` says phase, level and stages.
        origin: the file it came from, for messages.
        lines: the line in that file at which each layer begins, for messages.
        strange: fields of the file that the schema does not know. One in a layer of this phase is an error,
            since leaving it out would give other results; hints about speed are only logged.

    Raises:
        NetError: whatever is wrong, naming the layer and, if known, file and line. Layers of unknown
        types and unknown fields are all reported at once.
    """

    def __init__(
        self,
        param: Any,
        origin: str | None = None,
        lines: Sequence[int | None] = (),
        strange: Sequence[StrangeField] = (),
    ) -> None:
        self._origin = origin
        self._lines = lines
        self.workspace = Workspace()
        #: the device that the net is on
        self.site = Site(self.workspace)
        self.phase: int = param.state.phase
        self.param, self.source_index = param, list(range(len(param.layer)))
        filtered, kept = filter_net(param, self.place)
        _log.info("net.cpp:53", "Initializing net from parameters: \n" + _log.text_of(filtered))
        self.param, self.source_index = filtered, kept
        self.name: str = param.name
        refuse_unknown(self, strange)
        self.param, self.source_index = insert_splits(filtered, kept, self.place)
        self._start()
        for i in range(len(self.param.layer)):
            self._add_layer(i)
        self._find_backward_layers()
        if self.param.force_backward:
            self._force_backward()
        self._find_outputs()
        self.debug_info: bool = self.param.debug_info
        _log.info("net.cpp:257", "Network initialization done.")

    def _start(self) -> None:
        self.layers: list[Layer] = []
        self.layer_names: list[str] = []
        self.blob_list: list[NetBlob] = []
        self.blob_names: list[str] = []
        self.bottom_ids: list[list[int]] = []
        self.top_ids: list[list[int]] = []
        self.input_ids: list[int] = []
        self.output_ids: list[int] = []
        self.blob_loss_weights: list[float] = []
        self.learnable: list[LearnableParam] = []
        #: every parameter in layer order: (layer, number in it, index into `learnable`)
        self.param_list: list[tuple[int, int, int]] = []
        self.layer_needs_backward: list[bool] = []
        self.bottom_needs_backward: list[list[bool]] = []
        self.before_forward: list[Callback] = []
        self.after_forward: list[Callback] = []
        self.before_backward: list[Callback] = []
        self.after_backward: list[Callback] = []
        self._blob_needs_backward: list[bool] = []
        self._available: dict[str, int] = {}
        self._named_params: dict[str, tuple[int, int, int]] = {}
        self._memory = 0
        self._forwards: dict[tuple[int, int], passes.Forward] = {}
        self._backwards: dict[tuple[int, int, bool], passes.Backward] = {}
        self._both: passes.Both | None = None

    # ---- messages ------------------------------------------------------------------------------
    def place(self, i: int) -> str:
        """Where layer i stands and what it is: ``lenet.prototxt:23: layer 'conv1' (Convolution)``."""
        layer = self.param.layer[i]
        source = self.source_index[i]
        line = self._lines[source] if source < len(self._lines) else None
        return f"{self.at_line(line)}layer '{layer.name}' ({layer.type})"

    def at_line(self, line: int | None) -> str:
        """A line of the net's file, as messages begin: ``lenet.prototxt:23: ``, or as much of it as is known."""
        parts = (
            [self._origin, f"{line}" if line else None]
            if self._origin
            else [f"line {line}" if line else None]
        )
        where = ":".join(part for part in parts if part)
        return f"{where}: " if where else ""

    def _fail(
        self, i: int, message: str, error: type[NetError] = NetError, blob: str | None = None
    ) -> NetError:
        return error(message, net=self.name or None, op=self.place(i), blob=blob)

    # ---- building ------------------------------------------------------------------------------
    def _add_layer(self, i: int) -> None:
        param = self.param.layer[i]
        if not param.HasField("phase"):
            param.phase = self.phase
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise self._fail(
                i,
                f"propagate_down must be given for all {len(param.bottom)} bottoms or none, "
                f"got {len(param.propagate_down)}.",
                ArityError,
            )
        kind = find_type(param.type)
        _log.info("layer_factory.hpp:77", f"Creating layer {param.name}")
        state = self._create(i, kind, param)
        _log.info("net.cpp:86", f"Creating Layer {param.name}")
        self.layer_names.append(param.name)
        for ids in (self.bottom_ids, self.top_ids, self.bottom_needs_backward):
            ids.append([])
        needs = [self._add_bottom(i, j) for j in range(len(param.bottom))]
        for j in range(len(param.top)):
            self._add_top(i, j)
        for j in range(len(param.top), kind.needed_tops if kind.loss else 0):
            self._add_top(i, j, anonymous=True)
        layer = self._set_up(i, kind, param, state)
        self._note_tops(i, layer)
        learns = self._add_params(i, layer)
        need = any(needs) or learns
        self.layer_needs_backward.append(need)
        if need:
            for top in self.top_ids[i]:
                self._blob_needs_backward[top] = True

    def _create(self, i: int, kind: Any, param: Any) -> Any:
        """What a layer type makes before it sees its blobs, or None."""
        try:
            return kind.create(param) if kind.create is not None else None
        except (FreshpotError, OSError) as error:
            self.at_layer(error, i)
            raise

    def _set_up(self, i: int, kind: Any, param: Any, state: Any) -> Layer:
        if param.type in _TWO_IN_ONE or (param.type == "Scale" and param.scale_param.bias_term):
            _log.info("layer_factory.hpp:77", f"Creating layer {param.name}")
        try:
            bottoms = [self.blob_list[b] for b in self.bottom_ids[i]]
            tops = [self.blob_list[b] for b in self.top_ids[i]]
            train = param.phase == caffe_pb2.TRAIN
            layer = Layer(kind, param, self.workspace, bottoms, tops, train, self.site)
            layer.state = state
            layer.lower()
        except (FreshpotError, OSError) as error:
            self.at_layer(error, i)
            raise
        self.layers.append(layer)
        return layer

    def _add_bottom(self, i: int, j: int) -> bool:
        param = self.param.layer[i]
        name = param.bottom[j]
        if name not in self._available:
            known = near_matches(name, self.blob_names)
            raise self._fail(
                i,
                f"bottom {j} '{name}' is not made by an earlier layer, or is used up.{known}",
                MissingBlobError,
                name,
            )
        _log.info("net.cpp:408", f"{param.name} <- {name}")
        blob = self._available.pop(name)
        self.bottom_ids[i].append(blob)
        need = param.propagate_down[j] if param.propagate_down else self._blob_needs_backward[blob]
        self.bottom_needs_backward[i].append(need)
        return self._blob_needs_backward[blob]

    def _add_top(self, i: int, j: int, anonymous: bool = False) -> None:
        param = self.param.layer[i]
        name = "(automatic)" if anonymous else param.top[j]
        if not anonymous and j < len(param.bottom) and param.bottom[j] == name:
            _log.info("net.cpp:369", f"{param.name} -> {name} (in-place)")
            self.top_ids[i].append(self.bottom_ids[i][j])
        elif not anonymous and name in self.blob_names:
            raise self._fail(i, f"top {j} '{name}' is made by an earlier layer too.", NameClashError, name)
        else:
            _log.info("net.cpp:382", f"{param.name} -> {name}")
            cell = name if not anonymous else f"{param.name}/(automatic {j})"
            self.top_ids[i].append(len(self.blob_list))
            self.blob_list.append(NetBlob(self.workspace, cell))
            self.blob_names.append(name)
            self._blob_needs_backward.append(False)
            self.blob_loss_weights.append(0.0)
            if param.type == "Input":
                self.input_ids.append(self.top_ids[i][-1])
        if not anonymous:
            self._available[name] = self.top_ids[i][-1]

    def _note_tops(self, i: int, layer: Layer) -> None:
        _log.info("net.cpp:124", f"Setting up {layer.name}")
        for top, blob, weight in zip(self.top_ids[i], layer.tops, layer.loss_weights, strict=True):
            self.blob_loss_weights[top] = weight
            _log.info("net.cpp:131", "Top shape: " + "".join(f"{n} " for n in blob.dims) + f"({blob.count})")
            if weight:
                _log.info("net.cpp:134", f"    with loss weight {weight:g}")
            self._memory += blob.count
        _log.info("net.cpp:139", f"Memory required for data: {self._memory * 4}")

    def _add_params(self, i: int, layer: Layer) -> bool:
        """Enter the layer's parameters, sharing by name; True if any of them learns."""
        specs = list(layer.param.param)
        if len(specs) > len(layer.blobs):
            raise self._fail(
                i, f"has {len(layer.blobs)} parameters, and {len(specs)} 'param' entries.", ArityError
            )
        learns = False
        for k in range(len(layer.blobs)):
            spec = specs[k] if k < len(specs) else caffe_pb2.ParamSpec()
            layer.param_propagate_down[k] = spec.lr_mult != 0
            learns |= spec.lr_mult != 0
            if spec.name and spec.name in self._named_params:
                self._share(i, k, spec)
                continue
            entry = (i, k, len(self.learnable))
            if spec.name:
                self._named_params[spec.name] = entry
            self.param_list.append(entry)
            self.learnable.append(
                LearnableParam(
                    layer.blobs[k],
                    spec.lr_mult,
                    spec.decay_mult,
                    spec.HasField("lr_mult"),
                    spec.HasField("decay_mult"),
                    spec.name or str(k),
                    layer.name,
                )
            )
        return learns

    def _share(self, i: int, k: int, spec: Any) -> None:
        """Let parameter k of layer i be the one of that name that an earlier layer owns."""
        owner_layer, owner_k, learnable = self._named_params[spec.name]
        owner = self.layers[owner_layer].blobs[owner_k]
        mine = self.layers[i].blobs[k]
        _log.info(
            "net.cpp:468",
            f"Sharing parameters '{spec.name}' owned by layer '{self.layer_names[owner_layer]}', param index {owner_k}",
        )
        permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
        if mine.count != owner.count if permissive else mine.dims != owner.dims:
            raise self._fail(
                i,
                f"cannot share parameter '{spec.name}' of layer '{self.layer_names[owner_layer]}': its shape is "
                f"{owner.dims}, this layer needs {mine.dims}"
                + (
                    " (share_mode PERMISSIVE needs equal counts)."
                    if permissive
                    else "; share_mode STRICT needs equal shapes."
                ),
                ShapeError,
            )
        entry = self.learnable[learnable]
        for word in ("lr_mult", "decay_mult"):
            if not spec.HasField(word):
                continue
            if getattr(entry, f"has_{word}") and getattr(entry, word) != getattr(spec, word):
                raise self._fail(
                    i,
                    f"shared parameter '{spec.name}' has {word} {getattr(spec, word):g} here and "
                    f"{getattr(entry, word):g} in layer '{self.layer_names[owner_layer]}'.",
                )
            setattr(entry, word, getattr(spec, word))
            setattr(entry, f"has_{word}", True)
        mine.share_with(owner, self.workspace)
        self.param_list.append((i, k, learnable))

    def is_shared(self, layer: int, k: int) -> bool:
        """True if parameter k of a layer belongs to an earlier layer."""
        owners = {learnable: (i, n) for i, n, learnable in reversed(self.param_list)}
        return next(owners[e] != (layer, k) for i, n, e in self.param_list if (i, n) == (layer, k))

    def _find_backward_layers(self) -> None:
        """Backward runs only through layers between a loss and something that learns."""
        under_loss: set[int] = set()
        skipped: set[int] = set()
        for i in reversed(range(len(self.layers))):
            tops, bottoms = self.top_ids[i], self.bottom_ids[i]
            contributes = any(self.layers[i].loss_weights) or any(t in under_loss for t in tops)
            if self.layer_needs_backward[i] and all(t in skipped for t in tops):
                self.layer_needs_backward[i] = False
                self.bottom_needs_backward[i] = [False] * len(bottoms)
            if not contributes:
                self.layer_needs_backward[i] = False
                self.bottom_needs_backward[i] = [False] * len(bottoms)
            word = "needs" if self.layer_needs_backward[i] else "does not need"
            _log.info(
                f"net.cpp:{200 if word == 'needs' else 202}",
                f"{self.layer_names[i]} {word} backward computation.",
            )
            if contributes:
                under_loss.update(bottoms)
            skipped.update(
                b for b, need in zip(bottoms, self.bottom_needs_backward[i], strict=True) if not need
            )

    def _force_backward(self) -> None:
        for i, layer in enumerate(self.layers):
            self.layer_needs_backward[i] = True
            for j in range(len(layer.bottoms)):
                if j not in layer.kind.not_forced:
                    self.bottom_needs_backward[i][j] = True
            layer.param_propagate_down = [True] * len(layer.blobs)

    def _find_outputs(self) -> None:
        for name in sorted(self._available):
            _log.info("net.cpp:244", f"This network produces output {name}")
            self.output_ids.append(self._available[name])

    # ---- running -------------------------------------------------------------------------------
    def forward_range(self, start: int, end: int) -> float:
        """Run layers start … end; returns their loss.

        Raises:
            NetError: a layer failed; names it.
        """
        self.follow_mode()
        try:
            if self.before_forward or self.after_forward or self.debug_info:
                return self._forward_singly(start, end)
            return self._forward(start, end).run()
        finally:
            self.site.finish()

    def _forward(self, start: int, end: int) -> passes.Forward:
        if (start, end) not in self._forwards:
            self._forwards[start, end] = passes.Forward(self, start, end)
        return self._forwards[start, end]

    def _backward(self, start: int, end: int, fresh: bool) -> passes.Backward:
        if (start, end, fresh) not in self._backwards:
            self._backwards[start, end, fresh] = passes.Backward(self, start, end, fresh)
        return self._backwards[start, end, fresh]

    def follow_mode(self) -> None:
        """Be on the device of the mode that is in force: blobs move there."""
        if not self.site.is_right() and self.site.follow(blob.nothing for blob in self.blob_list):
            for layer in self.layers:
                layer.forget_plans()

    def bound(self, ops: list[Op]) -> Plan:
        """Operators bound to the net's blobs, on its device."""
        return Plan(Net(self.name, ops, device=self.site.option), self.workspace)

    def bound_for_inference(self, ops: list[Op], kept: Callable[[Cell], bool]) -> PredictionPlan:
        """The same, where only the cells that are ``kept`` are looked at afterwards, and inner ones seldom."""
        net = Net(self.name, ops, device=self.site.option)
        return PredictionPlan(net, self.workspace, kept, later=True)

    def _call(self, calls: list[Callback], i: int) -> None:
        """Call the user's functions."""
        if calls:
            self.site.settle()
            for call in calls:
                call(i)

    def _forward_singly(self, start: int, end: int) -> float:
        loss = 0.0
        for i in range(start, end + 1):
            self._call(self.before_forward, i)
            try:
                loss += self.layers[i].forward()
            except (FreshpotError, OSError) as error:
                self.at_layer(error, i)
                raise
            if self.debug_info:
                debug.forward(self, i)
            self._call(self.after_forward, i)
        return loss

    def backward_range(self, start: int, end: int, fresh: bool = False) -> None:
        """Run layers start … end backwards (start is the later one).

        Diffs of parameters are added to; with ``fresh`` all of them are set, as if they had been cleared.
        """
        self.follow_mode()
        try:
            if self.before_backward or self.after_backward or self.debug_info:
                if fresh:
                    self.clear_param_diffs()
                self._backward_singly(start, end)
                return
            self._backward(start, end, fresh).run()
        finally:
            self.site.finish()

    def passes_as_one(self) -> list[Stretch] | None:
        """Begin a forward and a (fresh) backward pass over the whole net: data layers run, diffs are there.

        Returns the other stretches of layers, in order, for somebody who runs their plans; None if that cannot be,
        since somebody is called between layers, or one is Python: then nothing was done.
        """
        hooks = (self.before_forward, self.after_forward, self.before_backward, self.after_backward)
        if self.debug_info or any(hooks):
            return None
        if self._both is None:
            last = len(self.layers) - 1
            self._both = passes.Both(self._forward(0, last), self._backward(last, 0, True))
        return self._both.begin()

    def _backward_singly(self, start: int, end: int) -> None:
        for i in range(start, end - 1, -1):
            self._call(self.before_backward, i)
            if self.layer_needs_backward[i]:
                try:
                    self.layers[i].backward(self.bottom_needs_backward[i])
                except (FreshpotError, OSError) as error:
                    self.at_layer(error, i)
                    raise
                if self.debug_info:
                    debug.backward(self, i)
            self._call(self.after_backward, i)

    def backward_all(self, fresh: bool = False) -> None:
        """Run the whole net backwards; with debug_info the log shows the norms of all parameters."""
        self.backward_range(len(self.layers) - 1, 0, fresh)
        if self.debug_info:
            debug.all_params(self)
            self.site.finish()

    def at_layer(self, error: Exception, i: int) -> None:
        """Tell an error which layer it comes from.

        Raises:
            DataError: for errors of files and data, which name no layer themselves; those of Python layers
                are the user's, and stay as they are.
        """
        if isinstance(error, NetError):
            error.net = self.name or None
            error.op = self.place(i)
        elif isinstance(error, (DataError, OSError)) and self.param.layer[i].type != "Python":
            what = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            raise DataError(f"{self.place(i)}: {what}") from error

    def reshape_all(self) -> None:
        """Let every layer take the shapes that its bottoms have now."""
        for i, layer in enumerate(self.layers):
            try:
                layer.reshape()
            except (FreshpotError, OSError) as error:
                self.at_layer(error, i)
                raise

    def clear_param_diffs(self) -> None:
        """Set the diffs of all parameters to zero."""
        for entry in self.learnable:
            entry.blob.clear_diff()
        self.site.finish()
