"""Nets written in Python: ``n.conv = L.Convolution(n.data, num_output=20, kernel_size=5)``.

``layers`` (L) makes a layer of any type from its inputs and parameters, ``params`` (P) has the enum values of
parameter messages, and :class:`NetSpec` gives names to what layers make. ``to_proto`` writes it all down
as a NetParameter.

Source: BVLC/caffe python/caffe/net_spec.py (behaviour).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from caffe.proto import caffe_pb2
from freshpot.errors import near_matches, noted

Names = dict[Any, str]
LayersMade = OrderedDict["Function", Any]

_PARAM, _PARAMETER = "_param", "Parameter"


def param_name_dict() -> dict[str, str]:
    """Layer type -> stem of the field of LayerParameter that holds its parameters: Pooling -> pooling."""
    return {
        field.message_type.name.removesuffix(_PARAMETER): field.name.removesuffix(_PARAM)
        for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields
        if field.name.endswith(_PARAM)
    }


def to_proto(*tops: Any) -> Any:
    """A NetParameter of the layers that ``tops`` need; all names are made up (type and number)."""
    return _net_of(tops, {})


def _net_of(tops: Any, names: Names) -> Any:
    layers: LayersMade = OrderedDict()
    numbers: Counter[str] = Counter()
    for top in tops:
        top._to_proto(layers, names, numbers)
    net = caffe_pb2.NetParameter()
    net.layer.extend(layers.values())
    return net


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Set a field of a message from Python values.

    A dict fills a message, a list fills a repeated field, and one value for a repeated field is a list of one.

    Raises:
        AttributeError: the message has no such field.
        TypeError: the value is not of the field's type.
    """
    field = proto.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise _no_field(name, proto.DESCRIPTOR)
    target = getattr(proto, name)
    if hasattr(target, "extend"):
        for value in val if isinstance(val, list | tuple) else [val]:
            _append(field, target, value)
    elif isinstance(val, dict):
        for key, value in val.items():
            assign_proto(target, key, value)
    else:
        setattr(proto, name, _checked(field, val))


def _append(field: Any, target: Any, value: Any) -> None:
    if isinstance(value, dict):
        made = target.add()
        for key, inner in value.items():
            assign_proto(made, key, inner)
    else:
        target.append(_checked(field, value))


def _checked(field: Any, value: Any) -> Any:
    """The value, unless it is the name of an enum value: only some protobuf versions take that."""
    if field.enum_type is not None and isinstance(value, str):
        raise TypeError(
            f"{field.full_name} is a number; for '{value}' say params.<message>.{value}, as in P.Pooling.MAX"
        )
    return value


def _no_field(name: str, descriptor: Any) -> AttributeError:
    known = [field.name for field in descriptor.fields]
    note = f"{descriptor.name} has no field '{name}'.{near_matches(name, known)}"
    return noted(AttributeError(name), note)  # these words only, as programs know them


class Top:
    """One output of a layer: the n-th of Function ``fn``."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """A NetParameter of the layers that this output needs."""
        return to_proto(self)

    def _to_proto(self, layers: LayersMade, names: Names, autonames: Counter[str]) -> None:
        self.fn._to_proto(layers, names, autonames)


class Function:
    """A layer: its type, the outputs of other layers that it reads, and its parameters.

    Args:
        params: fields of the layer or of its type's parameter message; besides, ``ntop`` is the number of
            outputs (default 1) and ``in_place`` lets outputs be the inputs.

    Raises:
        TypeError: an input is no Top.
    """

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        self.type_name = type_name
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(given)})")
        self.inputs = inputs
        self.params = params
        self.ntop: int = params.pop("ntop", 1)
        self.in_place: bool = params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _to_proto(self, layers: LayersMade, names: Names, autonames: Counter[str]) -> None:
        """Enter this layer, and before it those it reads, into ``layers``."""
        if self in layers:
            return
        bottoms = []
        for given in self.inputs:
            given._to_proto(layers, names, autonames)
            bottoms.append(layers[given.fn].top[given.n])
        layer = caffe_pb2.LayerParameter(type=self.type_name, bottom=bottoms)
        tops = bottoms if self.in_place else [self._name(top, names, autonames) for top in self.tops]
        layer.top.extend(tops)
        # a layer is called like its first output, unless somebody named the layer itself
        key = self if self in names or not self.tops else self.tops[0]
        layer.name = names[self] = self._name(key, names, autonames)
        for name, value in self.params.items():
            assign_proto(self._home(layer, name), name, value)
        layers[self] = layer

    def _name(self, thing: Function | Top, names: Names, autonames: Counter[str]) -> str:
        if thing not in names:
            autonames[self.type_name] += 1
            names[thing] = f"{self.type_name}{autonames[self.type_name]}"
        return names[thing]

    def _home(self, layer: Any, name: str) -> Any:
        """The message that parameter ``name`` is a field of: that of the layer's type, else the layer."""
        stem = _param_names.get(self.type_name)
        if stem is None or name.endswith("param"):
            return layer
        own = getattr(layer, stem + _PARAM)
        return own if name in own.DESCRIPTOR.fields_by_name else layer


class NetSpec:
    """A net whose blobs are named by assigning them: ``n.data = L.Input(...)``, or ``n['conv1/3x3'] = ...``."""

    tops: OrderedDict[str, Any]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy and pickle ask for these
            raise AttributeError(name)
        return self.tops[name]

    def __setitem__(self, key: str, value: Any) -> None:
        self.tops[key] = value

    def __getitem__(self, item: str) -> Any:
        return self.tops[item]

    def to_proto(self) -> Any:
        """A NetParameter of all that was assigned, in that order, and of what it needs."""
        return _net_of(self.tops.values(), {top: name for name, top in self.tops.items()})


class Layers:
    """``Layers().Convolution(bottom, ..., kernel_size=3)`` makes a layer of that type, of any type.

    What it gives: its Top; with ``ntop`` > 1 a tuple of them; with ``ntop=0`` the Function.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def make(*args: Any, **kwargs: Any) -> Any:
            made = Function(name, args, kwargs)
            return {0: made, 1: made.tops[0] if made.tops else None}.get(made.ntop, made.tops)

        return make


class Parameters:
    """``Parameters().Pooling.MAX``: values of the enums in PoolingParameter, and so on."""

    def __getattr__(self, name: str) -> Any:
        return _Enums(name)


class _Enums:
    def __init__(self, message: str) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(caffe_pb2, self._message + _PARAMETER), name)


_param_names = param_name_dict()
layers = Layers()
params = Parameters()
