"""What hangs on a net, and the small classes that the original had compiled: blobs, layers, lists, `Timer`.

Owned here: names, containers and results as pycaffe has them. Who calls it: `pycaffe`, Python layers, and programs
that import ``caffe._caffe`` themselves: the names that live elsewhere (`Net`, the solvers, `set_mode_cpu` …) are given
on request.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from caffe import _mode
from caffe._net.blob import NetBlob
from caffe._net.layer import Layer as NetLayer
from freshpot.engine import device
from freshpot.errors import near_matches, noted


def __getattr__(name: str) -> Any:
    """The names of the compiled module that are the package's own."""
    import caffe

    if not name.startswith("_") and name in caffe.__all__:
        return getattr(caffe, name)
    raise AttributeError(f"module 'caffe._caffe' has no attribute '{name}'")


class instance:
    """The base that the original's compiled classes had; programs see it among a class's bases."""


def _refuse(name: str) -> Callable[[Any, Any], None]:
    """What assigning to a blob's view does: as in the original it cannot be, and here it says what can."""

    def refuse(blob: Any, value: Any) -> None:
        raise AttributeError(
            f"can't set attribute '{name}': it is a view of the net's memory. Write into it: "
            f"net.blobs['x'].{name}[...] = values; for another shape call reshape first."
        )

    return refuse


class Blob:
    """A blob of a net: ``data`` and ``diff`` are live float32 views of one shape."""

    __slots__ = ("_blob",)

    def __init__(self, blob: NetBlob) -> None:
        self._blob = blob

    data = property(lambda self: self._blob.data, _refuse("data"), doc="The values: a live numpy view.")
    diff = property(lambda self: self._blob.diff, _refuse("diff"), doc="The gradients: a live numpy view.")
    shape = property(lambda self: IntVec(self._blob.dims), doc="Sizes of the axes.")
    count = property(lambda self: self._blob.count, doc="Number of elements.")
    num = property(lambda self: self._blob.num, doc="Size of axis 0 (1 if there is none).")
    channels = property(lambda self: self._blob.channels, doc="Size of axis 1 (1 if there is none).")
    height = property(lambda self: self._blob.height, doc="Size of axis 2 (1 if there is none).")
    width = property(lambda self: self._blob.width, doc="Size of axis 3 (1 if there is none).")

    def reshape(self, *shape: int, **kwargs: Any) -> None:
        """Change the shape; layers above follow at the next `Net.reshape` or forward pass.

        Raises:
            RuntimeError: keyword arguments, as in the original.
            ShapeError: a negative size.
        """
        if kwargs:
            raise RuntimeError("Blob.reshape takes no kwargs")
        self._blob.reshape(*shape)


class _Named(OrderedDict[str, Any]):
    """What the original gives as an OrderedDict, and prints so; a name that is not there gets near ones said."""

    what = "blob"

    def __missing__(self, name: str) -> Any:
        there = near_matches(name, self) or (f" There are {', '.join(self)}." if len(self) <= 20 else "")
        raise noted(
            KeyError(name), f"the net has no {self.what} '{name}'.{there}"
        )  # the original's, and a note


class BlobDict(_Named):
    """Blobs by name."""


class LayerDict(_Named):
    """Layers by name."""

    what = "layer"


class ParamDict(_Named):
    """Parameters by layer name."""

    what = "layer with parameters called"


for _kind in (BlobDict, LayerDict, ParamDict):
    _kind.__name__ = "OrderedDict"  # what pycaffe prints


class IntVec(list):
    """A list of ints, under the name that pycaffe prints."""


class StringVec(list):
    """A list of names, under the name that pycaffe prints."""


class BlobVec(list):
    """The parameter blobs of a layer. Python layers add to theirs with ``add_blob(*shape)``."""

    def __init__(self, blobs: Iterable[Blob] = (), add: Callable[..., Blob] | None = None) -> None:
        super().__init__(blobs)
        self._add = add

    def add_blob(self, *shape: int, **kwargs: Any) -> None:
        """Append a blob of zeros.

        Raises:
            RuntimeError: keyword arguments, as in the original; or the layer is not being set up.
        """
        if kwargs:
            raise RuntimeError("BlobVec.add_blob takes no kwargs")
        if self._add is None:
            raise RuntimeError("blobs can be added only to a Python layer's own list, in its setup()")
        self.append(self._add(*shape))


class RawBlobVec(list):
    """Bottoms or tops as a Python layer is given them."""


class LayerVec(list):
    """The layers of a net."""


class Layer:
    """A layer of a net; Python layers derive from it."""

    _layer: NetLayer | None = None
    _blobs: BlobVec

    def __init__(self, layer_param: Any = None) -> None:
        """Nets make Python layers with their LayerParameter; a class that overrides this takes it too."""

    @classmethod
    def _of(cls, layer: NetLayer) -> Layer:
        made = cls.__new__(cls)
        made._layer = layer
        made._blobs = BlobVec(Blob(b) for b in layer.blobs)
        return made

    @property
    def blobs(self) -> BlobVec:
        """Parameter blobs."""
        return self._blobs

    @property
    def type(self) -> str:
        """The layer type's name."""
        return self._layer.type if self._layer is not None else "Python"

    def setup(self, bottom: Any, top: Any) -> None:
        """Set the layer up once; Python layers override it."""

    def reshape(self, bottom: Any, top: Any) -> None:
        """Shape the tops; Python layers override it."""


class Timer:
    """A stop watch: ``start()``, ``stop()``, ``ms``. In GPU mode it waits for what the GPU was given."""

    def __init__(self) -> None:
        self._started = self._spent = 0.0

    def start(self) -> None:
        """Start."""
        device.synchronize(_mode.place)
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop."""
        device.synchronize(_mode.place)
        self._spent = time.perf_counter() - self._started

    @property
    def ms(self) -> float:
        """Milliseconds between start and stop."""
        return 1e3 * self._spent
