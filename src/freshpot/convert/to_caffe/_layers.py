"""What converters to Caffe work with, and their register.

Owned here: `Layers`, `Call` and `caffe`. Who calls it: the families, `_net`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from freshpot.convert._table import Converters, Refused
from freshpot.formats import protobuf
from freshpot.formats.caffemodel import fill_blob
from freshpot.net import Op, registry

PB = protobuf.load("caffe")
Array = NDArray[Any]
Spec = tuple[tuple[int, ...], torch.dtype]
Converter = Callable[["Layers", "Call"], None]
#: declares the converter of some operators
caffe: Converters[Converter] = Converters("freshpot.convert.to_caffe")
converters = caffe.all


class Call:
    """One operator: arguments as its definition reads them, what is known of its blobs."""

    def __init__(self, op: Op, layers: Layers) -> None:
        self.op = op
        self.operator: Any = registry.get(op.type)(op)
        #: the inputs' blobs in the Caffe net (a blob that is overwritten has several); not for parameters
        self.bottoms = [layers.names.get(blob, blob) for blob in op.inputs]
        self.specs = [layers.specs.get(blob) for blob in op.inputs]
        self._values = [layers.values.get(blob) for blob in op.inputs]
        self.tops: list[str] = []
        self.made: list[Spec | None] = []

    def shape(self, i: int = 0) -> list[int]:
        """An input's shape."""
        found = self.specs[i]
        if found is None:
            self.refuse(f"the shape of '{self.op.inputs[i]}' is not known beforehand.")
        return list(found[0])

    def made_shape(self, i: int = 0) -> list[int]:
        """An output's shape."""
        found = self.made[i]
        if found is None:
            self.refuse(f"the shape of '{self.op.outputs[i]}' is not known beforehand.")
        return list(found[0])

    def value(self, i: int) -> Array | None:
        """The value of an input that is a parameter, None if it is none."""
        return self._values[i] if i < len(self._values) else None

    def fixed(self, i: int) -> Array:
        """The value of an input that must be a parameter."""
        found = self.value(i)
        if found is None:
            self.refuse(f"'{self.op.inputs[i]}' must be a parameter.")
        return found

    def channels_second(self) -> None:
        """Refuse the order NHWC."""
        if getattr(self.operator, "order", "NCHW") != "NCHW":
            self.refuse("Caffe knows no order NHWC.")

    def refuse(self, what: str) -> NoReturn:
        """Refuse the call.

        Raises:
            Refused: naming the operator.
        """
        raise Refused(f"{self.op}: {what}")


class Layers:
    """A Caffe net in the making."""

    def __init__(self, name: str, values: Mapping[str, Array], taken: Sequence[str]) -> None:
        self.net = PB.NetParameter(name=name)
        self.values = dict(values)
        self.specs: dict[str, Spec] = {}
        #: what the blobs' present values are called
        self.names: dict[str, str] = {}
        self._taken = set(taken)
        self._layer_names: set[str] = set()

    def fresh(self, name: str) -> str:
        """``name`` with a number behind it."""
        count = 1
        while f"{name}_{count}" in self._taken:
            count += 1
        self._taken.add(f"{name}_{count}")
        return f"{name}_{count}"

    def add(
        self, type: str, bottoms: Sequence[str], tops: Sequence[str] | str, blobs: Sequence[Array] = ()
    ) -> Any:
        """Append a layer, called as its first top; its parameters are for the caller to set."""
        made = [tops] if isinstance(tops, str) else list(tops)
        stem = name = made[0] if made else f"{bottoms[0]}_{type.lower()}"
        count = 1
        while name in self._layer_names:
            count += 1
            name = f"{stem}_{count}"
        self._layer_names.add(name)
        layer = self.net.layer.add(name=name, type=type, bottom=list(bottoms), top=made)
        for value in blobs:
            fill_blob(layer.blobs.add(), np.asarray(value, np.float32, order="C"))
        return layer
