"""`caffe.Net`: the Python face of a Caffe net.

Owned here: names and results as pycaffe has them. Who calls it: users; the work is done in `caffe._net`.
Attributes of objects here are exactly pycaffe's, so that `dir()` shows what it showed.
"""

from __future__ import annotations

import functools
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np

from caffe._caffe import (
    Blob,
    BlobDict,
    BlobVec,
    IntVec,
    Layer,
    LayerDict,
    LayerVec,
    ParamDict,
    StringVec,
    Timer,
    instance,
)
from caffe._nccl import NCCL
from caffe._net.layer import Layer as NetLayer
from caffe._net.net import CaffeNet
from freshpot.errors import ArgumentError, near_matches, noted
from freshpot.formats.nearby import looked_in

__all__ = ["NCCL", "Net", "Timer"]

Arrays = dict[str, np.ndarray]


class Net(instance):
    """A net.

    ``Net(file, phase, level=0, stages=None, weights=None)``; the old forms ``Net(file, weights, phase)`` and
    ``Net(file, weights)``, which is for testing, are taken too.

    Raises:
        RuntimeError: a file that is not there.
        FreshpotError: whatever is wrong with the net, naming file, line and layer.
    """

    def __init__(self, network_file: Any, *args: Any, **kwargs: Any) -> None:
        from caffe import _files

        phase, level, stages, weights = _constructor_arguments(args, kwargs)
        path = os.fspath(network_file)
        if not os.path.isfile(path):
            raise _missing(path)
        if weights is not None and not os.path.isfile(weights) and _files.absent is None:
            raise _missing(weights)
        self._start(_files.load_net(path, phase, level, stages))
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def _of(cls, net: CaffeNet) -> Net:
        made = cls.__new__(cls)
        made._start(net)
        return made

    @classmethod
    def _from_text(cls, text: str, phase: int) -> Net:
        """A net from prototxt text."""
        from caffe import _files

        return cls._of(_files.parse_net(text, phase))

    def _start(self, net: CaffeNet) -> None:
        self._net = net
        self._blobs = [Blob(b) for b in net.blob_list]
        self._layers = LayerVec(_python_face(layer) for layer in net.layers)
        self._blobs_dict: OrderedDict[str, Blob] = BlobDict(zip(net.blob_names, self._blobs, strict=True))

    def __getattr__(self, name: str) -> Any:
        """Methods that nets had in 2014."""
        from caffe import _before_2015

        method = _before_2015.METHODS.get(name)
        if method is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return functools.partial(method, self)

    # ---- what there is -------------------------------------------------------------------------
    @property
    def blobs(self) -> OrderedDict[str, Blob]:
        """Blobs by name, from input to output."""
        return self._blobs_dict

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """Loss weights by blob name."""
        return OrderedDict(zip(self._net.blob_names, self._net.blob_loss_weights, strict=True))

    @property
    def layers(self) -> LayerVec:
        """Layers, from input to output."""
        return self._layers

    @property
    def layer_dict(self) -> OrderedDict[str, Layer]:
        """Layers by name."""
        return LayerDict(zip(self._layer_names, self._layers, strict=True))

    @property
    def params(self) -> OrderedDict[str, BlobVec]:
        """Parameter blobs by layer name, for the layers that have some."""
        return ParamDict(
            (name, layer.blobs)
            for name, layer in zip(self._layer_names, self._layers, strict=True)
            if layer.blobs
        )

    @property
    def inputs(self) -> list[str]:
        """Names of the input blobs."""
        return [self._net.blob_names[i] for i in self._net.input_ids]

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer reads."""
        return [self._net.blob_names[i] for i in self._net.output_ids]

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Names of the tops by layer name."""
        return self._names_by_layer(self._net.top_ids)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Names of the bottoms by layer name."""
        return self._names_by_layer(self._net.bottom_ids)

    def _names_by_layer(self, ids: list[list[int]]) -> OrderedDict[str, list[str]]:
        names = self._net.blob_names
        return OrderedDict((layer, [names[i] for i in ids[k]]) for k, layer in enumerate(self._layer_names))

    @property
    def _layer_names(self) -> StringVec:
        return StringVec(self._net.layer_names)

    @property
    def _blob_names(self) -> StringVec:
        return StringVec(self._net.blob_names)

    @property
    def _inputs(self) -> IntVec:
        return IntVec(self._net.input_ids)

    @property
    def _outputs(self) -> IntVec:
        return IntVec(self._net.output_ids)

    def _top_ids(self, layer: int) -> IntVec:
        return IntVec(self._net.top_ids[layer])

    def _bottom_ids(self, layer: int) -> IntVec:
        return IntVec(self._net.bottom_ids[layer])

    # ---- running -------------------------------------------------------------------------------
    def _forward(self, start: int, end: int) -> float:
        return self._net.forward_range(start, end)

    def _backward(self, start: int, end: int) -> None:
        self._net.backward_range(start, end)

    def forward(
        self, blobs: list[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> Arrays:
        """Run the net, or its layers ``start`` to ``end`` (names, inclusive), forwards.

        Args:
            blobs: blobs to return besides the outputs.
            kwargs: arrays for the input blobs, by name: all of them or none.

        Returns:
            name -> live view.

        Raises:
            Exception: inputs that do not match the net's, as in the original; a note says which.
            ValueError: no layer is called ``start`` or ``end``.
        """
        names = self._layer_names
        first = _position(names, start) if start is not None else 0
        last = _position(names, end) if end is not None else len(names) - 1
        wanted = {*(self.top_names[end] if end is not None else self.outputs), *(blobs or [])}
        if kwargs:
            if set(kwargs) != set(self.inputs):
                said = Exception("Input blob arguments do not match net inputs.")
                raise noted(said, _given(kwargs, self.inputs))
            for name, array in kwargs.items():
                if array.shape[0] != self.blobs[name].shape[0]:
                    said = Exception("Input is not batch sized")
                    raise noted(said, _sizes(name, array, self.blobs[name]))
                self.blobs[name].data[...] = array
        self._forward(first, last)
        return {name: self.blobs[name].data for name in wanted}

    def backward(
        self, diffs: list[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> Arrays:
        """Run the net, or its layers ``start`` back to ``end`` (names, inclusive), backwards.

        Args:
            diffs: blobs whose diffs to return besides the inputs'.
            kwargs: diffs for the output blobs, by name: all of them or none.

        Returns:
            name -> live view of the diff.

        Raises:
            Exception: diffs that do not match the net's outputs, as in the original; a note says which.
            ValueError: no layer is called ``start`` or ``end``.
        """
        names = self._layer_names
        first = _position(names, start) if start is not None else len(names) - 1
        last = _position(names, end) if end is not None else 0
        wanted = {*(self.bottom_names[end] if end is not None else self.inputs), *(diffs or [])}
        if kwargs:
            if set(kwargs) != set(self.outputs):
                said = Exception("Top diff arguments do not match net outputs.")
                raise noted(said, _given(kwargs, self.outputs))
            for name, array in kwargs.items():
                if array.shape[0] != self.blobs[name].shape[0]:
                    said = Exception("Diff is not batch sized")
                    raise noted(said, _sizes(name, array, self.blobs[name]))
                self.blobs[name].diff[...] = array
        self._backward(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def forward_all(self, blobs: list[str] | None = None, **kwargs: Any) -> Arrays:
        """Run any number of inputs through the net, a batch at a time; returns all results by name."""
        results: dict[str, list[np.ndarray]] = {name: [] for name in {*self.outputs, *(blobs or [])}}
        for batch in self._batches(kwargs):
            for name, array in self.forward(blobs=blobs, **batch).items():
                results[name].extend(array.copy())
        return _trimmed(results, kwargs)

    def forward_backward_all(
        self, blobs: list[str] | None = None, diffs: list[str] | None = None, **kwargs: Any
    ) -> tuple[Arrays, Arrays]:
        """`forward_all` with a backward pass after each batch; returns blobs and diffs by name."""
        results: dict[str, list[np.ndarray]] = {name: [] for name in {*self.outputs, *(blobs or [])}}
        grads: dict[str, list[np.ndarray]] = {name: [] for name in {*self.inputs, *(diffs or [])}}
        forwards = self._batches({n: kwargs[n] for n in self.inputs if n in kwargs})
        backwards = self._batches({n: kwargs[n] for n in self.outputs if n in kwargs})
        none: dict[str, Any] = {}
        for inputs, output_diffs in zip_longest(forwards, backwards, fillvalue=none):
            for name, array in self.forward(blobs=blobs, **inputs).items():
                results[name].extend(array.copy())
            for name, array in self.backward(diffs=diffs, **output_diffs).items():
                grads[name].extend(array.copy())
        return _trimmed(results, kwargs), _trimmed(grads, kwargs)

    def _batches(self, arrays: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Slices of the net's batch size; the last one is padded with zeros."""
        if not arrays:
            return
        total = len(next(iter(arrays.values())))
        size = next(iter(self.blobs.values())).shape[0]
        for start in range(0, total, size):
            batch = {name: np.asarray(array[start : start + size]) for name, array in arrays.items()}
            short = size - min(size, total - start)
            if short:
                batch = {
                    name: np.concatenate([array, np.zeros((short, *array.shape[1:]))])
                    for name, array in batch.items()
                }
            yield batch

    def reshape(self) -> None:
        """Let all layers take the shapes of their bottoms."""
        self._net.reshape_all()

    def clear_param_diffs(self) -> None:
        """Set the diffs of all parameters to zero."""
        self._net.clear_param_diffs()

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Give the net's MemoryData layer (its first layer) its data (N, C, H, W) and labels (N,).

        Raises:
            RuntimeError: arrays that do not fit, in the original's words.
        """
        if labels.ndim == 1:
            labels = np.ascontiguousarray(labels[:, np.newaxis, np.newaxis, np.newaxis])
        self._set_input_arrays(data, labels)

    def _set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        first = self._net.layers[0] if self._net.layers else None
        if first is None or first.type != "MemoryData":
            raise RuntimeError("set_input_arrays may only be called if the first layer is a MemoryDataLayer")
        first.state.set_arrays(data, labels)

    # ---- callbacks -----------------------------------------------------------------------------
    def before_forward(self, call: Callable[[int], None]) -> None:
        """Have ``call(layer number)`` called before each layer's forward pass."""
        self._net.before_forward.append(call)

    def after_forward(self, call: Callable[[int], None]) -> None:
        """Have ``call(layer number)`` called after each layer's forward pass."""
        self._net.after_forward.append(call)

    def before_backward(self, call: Callable[[int], None]) -> None:
        """Have ``call(layer number)`` called before each layer's backward pass."""
        self._net.before_backward.append(call)

    def after_backward(self, call: Callable[[int], None] | NCCL) -> None:
        """Have ``call(layer number)`` called after each layer's backward pass.

        A `NCCL` is taken as programs give it, to exchange diffs by layer; freshpot exchanges all of them at once, after
        the pass, when the solver's callbacks are called.
        """
        if not isinstance(call, NCCL):
            self._net.after_backward.append(call)

    # ---- weights -------------------------------------------------------------------------------
    def copy_from(self, weights: Any, skip_mismatched: bool = False) -> Any:
        """Copy parameters from a trained model (binary or HDF5), by layer name.

        Args:
            skip_mismatched: leave parameters whose shapes differ as they are, instead of raising.

        Returns:
            what was copied, skipped and left (a table that prints well).

        Raises:
            RuntimeError: the file is not there.
            ShapeError: a parameter's shape differs.
        """
        from caffe import _files

        return _files.copy_weights(self._net, os.fspath(weights), skip_mismatched)

    def share_with(self, other: Net) -> None:
        """Let this net's parameters be ``other``'s (same memory), by layer name."""
        from caffe import _files

        _files.share_weights(self._net, other._net)

    def save(self, path: Any) -> None:
        """Write the net with its parameters as a caffemodel."""
        from caffe import _files

        _files.save_net(self._net, os.fspath(path))

    def save_hdf5(self, path: Any) -> None:
        """Write the parameters as HDF5."""
        from caffe import _files

        _files.save_net_hdf5(self._net, os.fspath(path))

    def load_hdf5(self, path: Any) -> None:
        """Copy parameters from an HDF5 file, whatever its name, by layer name."""
        from caffe import _files

        _files.copy_weights(self._net, os.fspath(path), hdf5=True)


def _position(names: StringVec, name: str) -> int:
    """The number of the layer of that name; ValueError itself, as in the original."""
    if name not in names:
        raise ValueError(f"there is no layer '{name}'.{near_matches(name, names)}")
    return names.index(name)


def _missing(path: str) -> RuntimeError:
    """The original's error for a file that is not there; a note says where it was looked for."""
    what = "that is a folder." if os.path.isdir(path) else f"there is no such file{looked_in(path)}"
    return noted(RuntimeError(f"Could not open file {path}"), what)


def _given(arrays: Mapping[str, Any], wanted: list[str]) -> str:
    """Which arrays a call was given, and which it wants."""
    names = (", ".join(f"'{name}'" for name in part) or "none" for part in (arrays, wanted))
    return "Given: {}; wanted: {}.".format(*names)


def _sizes(name: str, array: Any, blob: Blob) -> str:
    """How an array does not fit a blob, and what to do."""
    shape, sizes = tuple(array.shape), tuple(blob.shape)
    new = ", ".join(map(str, (shape[0], *sizes[1:])))
    return (
        f"'{name}' is {shape}, the net's blob {sizes}. Another batch size: "
        f"net.blobs['{name}'].reshape({new}) first, or net.forward_all."
    )


def _python_face(layer: NetLayer) -> Layer:
    """What pycaffe shows for a layer: for a Python layer, the user's own object."""
    face = getattr(layer.state, "python_layer", None)
    return face if face is not None else Layer._of(layer)


def _constructor_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int, Any, str | None]:
    """Phase, level, stages and weights from either form of the constructor."""
    from caffe import _before_2015

    known = {"phase", "level", "stages", "weights"}
    if unknown := set(kwargs) - known:
        raise ArgumentError(
            f"Net() takes no argument {', '.join(sorted(unknown))}; it takes {', '.join(sorted(known))}."
        )
    if args and args[0] in ("TRAIN", "TEST"):
        raise _no_phase(args[0])
    if args and not isinstance(args[0], (int, np.integer)):  # the old form: weights, phase
        phase = args[1] if len(args) > 1 else kwargs.get("phase", _before_2015.phase)
        args = (phase, 0, None, args[0])
    values = dict(zip(("phase", "level", "stages", "weights"), args, strict=False))
    values.update(kwargs)
    if values.get("phase") is None:
        raise ArgumentError("Net() needs a phase: caffe.TRAIN or caffe.TEST.")
    if not isinstance(values["phase"], (int, np.integer)) or values["phase"] not in (0, 1):
        raise _no_phase(values["phase"])
    weights = values.get("weights")
    return (
        int(values["phase"]),
        values.get("level") or 0,
        values.get("stages"),
        None if weights is None else os.fspath(weights),
    )


def _no_phase(value: Any) -> ArgumentError:
    return ArgumentError(f"the phase of Net() is caffe.TRAIN (0) or caffe.TEST (1), got {value!r}.")


def _trimmed(results: Mapping[str, list[np.ndarray]], inputs: Mapping[str, Any]) -> Arrays:
    """Results as arrays, without those of the padding."""
    count = len(next(iter(inputs.values()))) if inputs else None
    return {name: np.asarray(rows[:count]) for name, rows in results.items()}
