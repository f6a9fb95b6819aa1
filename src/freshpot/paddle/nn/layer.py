"""Layer: parameters, buffers and layers below it, and what is done with all of them."""

from __future__ import annotations

import copy
import importlib
import itertools
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
import torch

from freshpot.errors import ArgumentError, near_matches
from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle._state import current_device, default_float, to_device, to_dtype
from freshpot.paddle._tensor import Parameter, Tensor, to_tensor
from freshpot.paddle.nn.initializer import default_initializer

__all__ = ["HookRemoveHelper", "Layer"]

Counts = defaultdict[str, "Iterator[int]"]
_counts: Counts = defaultdict(itertools.count)


def switch_names(counts: Counts | None = None) -> Counts:
    """Count names on from other counts (by default from 0); what was counted before is returned."""
    global _counts
    before, _counts = _counts, defaultdict(itertools.count) if counts is None else counts
    return before


def unique_name(key: str) -> str:
    """``key_0``, ``key_1`` …"""
    return f"{key}_{next(_counts[key])}"


def _snake(name: str) -> str:
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


#: in the static mode: told of every new parameter and what fills it; asked for one of a name and shape
parameter_made: Callable[[Parameter, Any], None] | None = None
parameter_known: Callable[[str, Any], Parameter | None] | None = None


class HookRemoveHelper:
    """Takes a hook away again."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """The hook is called no more."""
        self._hooks.pop(self._key, None)


_hook_numbers = itertools.count()


def _add_hook(hooks: dict[int, Any], hook: Any) -> HookRemoveHelper:
    key = next(_hook_numbers)
    hooks[key] = hook
    return HookRemoveHelper(hooks, key)


class Layer:
    """A part of a network. Parameters, buffers and layers set as attributes are found by all that walks them.

    Args:
        name_scope: start of its parameters' names; from the class's name by default.
        dtype: element type of its parameters.
    """

    training: bool
    _parameters: OrderedDict[str, Parameter | None]
    _buffers: OrderedDict[str, Tensor | None]
    _sub_layers: OrderedDict[str, Layer]

    def __init__(self, name_scope: str | None = None, dtype: Any = None) -> None:
        put = object.__setattr__
        put(self, "_parameters", OrderedDict())
        put(self, "_buffers", OrderedDict())
        put(self, "_sub_layers", OrderedDict())
        put(self, "_unsaved", set())
        put(self, "_pre_hooks", OrderedDict())
        put(self, "_post_hooks", OrderedDict())
        self.training = True
        self._dtype = default_float() if dtype is None else to_dtype(dtype)
        self._full_name = unique_name(name_scope or _snake(type(self).__name__))

    # ---- attributes ----
    def __setattr__(self, name: str, value: Any) -> None:
        homes = self.__dict__
        kinds: tuple[tuple[str, type], ...] = (("_parameters", Parameter), ("_sub_layers", Layer))
        for home, kind in kinds:
            if isinstance(value, kind):
                if home not in homes:
                    raise ArgumentError(
                        f"{type(self).__name__}: call super().__init__() before setting '{name}'"
                    )
                for other in ("_parameters", "_sub_layers", "_buffers"):
                    if other != home:
                        homes[other].pop(name, None)
                homes.pop(name, None)
                homes[home][name] = value
                return
        for home in ("_parameters", "_buffers", "_sub_layers"):
            if name in homes.get(home, ()):
                if value is None or (home == "_buffers" and isinstance(value, Tensor)):
                    homes[home][name] = value
                    return
                del homes[home][name]
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for home in ("_parameters", "_buffers", "_sub_layers"):
            found = self.__dict__.get(home, {})
            if name in found:
                return found[name]
        self._no_attribute(name)

    def _no_attribute(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} has no '{name}'.{near_matches(name, dir(self))}")

    def __delattr__(self, name: str) -> None:
        for home in (self._parameters, self._buffers, self._sub_layers):
            if name in home:
                del home[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = set(super().__dir__())
        for home in ("_parameters", "_buffers", "_sub_layers"):
            names.update(self.__dict__.get(home, ()))
        return sorted(names)

    # ---- making parts ----
    def create_parameter(
        self,
        shape: Any,
        attr: Any = None,
        dtype: Any = None,
        is_bias: bool = False,
        default_initializer: Any = None,
    ) -> Parameter | None:
        """A parameter, filled as ``attr``, else ``default_initializer``, else Paddle's default says.

        ``attr=False`` means no parameter: None.
        """
        return make_parameter(
            self._full_name, shape, attr, dtype or self._dtype, is_bias, default_initializer
        )

    def create_tensor(self, name: str | None = None, persistable: bool = False, dtype: Any = None) -> Tensor:
        """An empty tensor."""
        empty = torch.empty(0, dtype=to_dtype(dtype) if dtype else self._dtype, device=current_device())
        return Tensor(empty, name, persistable)

    create_variable = create_tensor

    def add_parameter(self, name: str, parameter: Parameter | None) -> Parameter | None:
        """Take a parameter in under a name.

        Raises:
            ArgumentError: not a parameter, or the name is taken by something else.
        """
        self._check_new(name, parameter, Parameter, self._parameters)
        self._parameters[name] = parameter
        return parameter

    def add_sublayer(self, name: str, sublayer: Layer) -> Layer:
        """Take a layer in under a name.

        Raises:
            ArgumentError: not a layer, or the name is taken by something else.
        """
        self._check_new(name, sublayer, Layer, self._sub_layers)
        self._sub_layers[name] = sublayer
        return sublayer

    def register_buffer(self, name: str, tensor: Tensor | None, persistable: bool = True) -> None:
        """Take a tensor in that does not learn; ``persistable`` ones are saved.

        Raises:
            ArgumentError: not a tensor, or the name is taken by something else.
        """
        self._check_new(name, tensor, Tensor, self._buffers)
        self._buffers[name] = tensor
        unsaved = self.__dict__["_unsaved"]
        (unsaved.discard if persistable else unsaved.add)(name)

    def _check_new(self, name: str, value: Any, kind: type, home: Any) -> None:
        who = f"{type(self).__name__}: '{name}'"
        if value is not None and not isinstance(value, kind):
            raise ArgumentError(f"{who} must be a {kind.__name__}, got {type(value).__name__}")
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(f"{who} is no name: it must be a text without dots")
        if hasattr(self, name) and name not in home:
            raise ArgumentError(f"{who} is taken by something else")

    # ---- walking ----
    def children(self) -> Iterator[Layer]:
        """The layers directly below."""
        return (layer for _, layer in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Layer]]:
        """The layers directly below, with names."""
        return iter([(name, layer) for name, layer in self._sub_layers.items() if layer is not None])

    def named_sublayers(
        self, prefix: str = "", include_self: bool = False, layers_set: set[Any] | None = None
    ) -> Iterator[tuple[str, Layer]]:
        """All layers below, each once, with dotted names."""
        seen = layers_set if layers_set is not None else set()
        if self in seen:
            return
        seen.add(self)
        if include_self:
            yield prefix, self
        for name, layer in self.named_children():
            inner = f"{prefix}.{name}" if prefix else name
            yield from layer.named_sublayers(inner, True, seen)

    def sublayers(self, include_self: bool = False) -> list[Layer]:
        """All layers below, each once."""
        return [layer for _, layer in self.named_sublayers(include_self=include_self)]

    def _named(self, home: str, prefix: str, deep: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        layers = self.named_sublayers(prefix, True) if deep else iter([(prefix, self)])
        for path, layer in layers:
            for name, value in getattr(layer, home).items():
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", include_sublayers: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters, each once, with dotted names."""
        return self._named("_parameters", prefix, include_sublayers)

    def parameters(self, include_sublayers: bool = True) -> list[Parameter]:
        """All parameters, each once."""
        return [value for _, value in self.named_parameters(include_sublayers=include_sublayers)]

    def named_buffers(self, prefix: str = "", include_sublayers: bool = True) -> Iterator[tuple[str, Tensor]]:
        """All buffers, each once, with dotted names."""
        return self._named("_buffers", prefix, include_sublayers)

    def buffers(self, include_sublayers: bool = True) -> list[Tensor]:
        """All buffers, each once."""
        return [value for _, value in self.named_buffers(include_sublayers=include_sublayers)]

    def apply(self, fn: Callable[[Layer], Any]) -> Layer:
        """Call ``fn`` with every layer below, then with this one."""
        for layer in self.children():
            layer.apply(fn)
        fn(self)
        return self

    # ---- modes ----
    def train(self) -> None:
        """Training: dropout drops, batch norms measure the batch."""
        for layer in self.sublayers(include_self=True):
            layer.training = True

    def eval(self) -> None:
        """Use: dropout passes, batch norms take what they have learnt."""
        for layer in self.sublayers(include_self=True):
            layer.training = False

    def clear_gradients(self, set_to_zero: bool = True) -> None:
        """Forget all parameters' gradients."""
        for parameter in self.parameters():
            parameter.clear_grad(set_to_zero)

    def full_name(self) -> str:
        """The start of its parameters' names: ``linear_0``."""
        return self._full_name

    def to(self, device: Any = None, dtype: Any = None, blocking: bool | None = None) -> Layer:
        """Move parameters and buffers, or convert the floats among them."""
        place = None if device is None else to_device(device)
        for tensor in (*self.parameters(), *self.buffers()):
            kind = to_dtype(dtype) if dtype is not None and tensor.data_.is_floating_point() else None
            tensor.data_.data = tensor.data_.data.to(device=place, dtype=kind)
        return self

    def float16(self, excluded_layers: Any = None) -> Layer:
        """Convert the floats to float16, but for those in batch norms and of the classes ``excluded_layers``."""
        return self._half("float16", excluded_layers)

    def bfloat16(self, excluded_layers: Any = None) -> Layer:
        """Convert the floats to bfloat16, but for those in batch norms and of the classes ``excluded_layers``."""
        return self._half("bfloat16", excluded_layers)

    def _half(self, dtype: str, excluded: Any) -> Layer:
        kinds = tuple(excluded) if isinstance(excluded, (list, tuple)) else (excluded,) if excluded else ()
        for layer in self.sublayers(include_self=True):
            if not isinstance(layer, kinds) and "BatchNorm" not in type(layer).__name__:
                for tensor in (*layer.parameters(False), *layer.buffers(False)):
                    if tensor.data_.is_floating_point():
                        tensor.data_.data = tensor.data_.data.to(to_dtype(dtype))
        return self

    def backward(self, *inputs: Any) -> NoReturn:
        """Raises:
        ArgumentError: gradients are worked out from ``forward``; nothing is to be defined here.
        """
        raise ArgumentError(f"{type(self).__name__}.backward: layers have none; see autograd.PyLayer")

    def astype(self, dtype: Any) -> Layer:
        """Convert the floats among parameters and buffers."""
        return self.to(dtype=dtype)

    def float(self, excluded_layers: Any = None) -> Layer:
        """Convert the floats to float32, but for those in layers of the classes ``excluded_layers``."""
        kinds = tuple(excluded_layers) if isinstance(excluded_layers, (list, tuple)) else excluded_layers
        for layer in self.sublayers(include_self=True):
            if kinds is None or not isinstance(layer, kinds):
                for tensor in (*layer.parameters(False), *layer.buffers(False)):
                    if tensor.data_.is_floating_point():
                        tensor.data_.data = tensor.data_.data.float()
        return self

    # ---- running ----
    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> HookRemoveHelper:
        """Call ``hook(layer, inputs)`` before forward; what it returns replaces the inputs."""
        return _add_hook(self.__dict__["_pre_hooks"], hook)

    def register_forward_post_hook(self, hook: Callable[..., Any]) -> HookRemoveHelper:
        """Call ``hook(layer, inputs, outputs)`` after forward; what it returns replaces the outputs."""
        return _add_hook(self.__dict__["_post_hooks"], hook)

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        hooks = self.__dict__
        for hook in list(hooks["_pre_hooks"].values()):
            changed = hook(self, inputs)
            if changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
        outputs = self.forward(*inputs, **keywords)
        for hook in list(hooks["_post_hooks"].values()):
            changed = hook(self, inputs, outputs)
            if changed is not None:
                outputs = changed
        return outputs

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """What the layer computes; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    # ---- state ----
    def state_dict(
        self,
        destination: dict[str, Tensor] | None = None,
        include_sublayers: bool = True,
        structured_name_prefix: str = "",
        use_hook: bool = True,
    ) -> OrderedDict[str, Tensor]:
        """Parameters and persistable buffers by dotted name. They are the layer's own, not copies."""
        made: Any = OrderedDict() if destination is None else destination
        layers = self.named_sublayers(include_self=True) if include_sublayers else iter([("", self)])
        for path, layer in layers:
            start = structured_name_prefix + (f"{path}." if path else "")
            kept = {n: b for n, b in layer._buffers.items() if n not in layer.__dict__["_unsaved"]}
            for name, value in {**layer._parameters, **kept}.items():
                if value is not None:
                    made[start + name] = value
        for hook in list(self.__dict__.get("_state_hooks", {}).values()) if use_hook else ():
            changed = hook(made)
            made = made if changed is None else changed
        return made

    def register_state_dict_hook(self, hook: Callable[[Any], Any]) -> HookRemoveHelper:
        """Call ``hook`` with every state dict; what it returns replaces it. ``.remove()`` ends that."""
        return _add_hook(self.__dict__.setdefault("_state_hooks", OrderedDict()), hook)

    to_static_state_dict = state_dict

    def set_state_dict(
        self, state_dict: dict[str, Any], use_structured_name: bool = True
    ) -> tuple[list[str], list[str]]:
        """Overwrite parameters and buffers by name.

        Args:
            use_structured_name: names are dotted paths; False: parameters' own names (``linear_0.w_0``).

        Returns:
            Names the layer has and ``state_dict`` lacks, and names the layer does not know.

        Raises:
            ArgumentError: a value of another shape; all are named, and nothing is changed.
        """
        own = self.state_dict()
        by_name = own if use_structured_name else {value.name: value for value in own.values()}
        matched = {name: value for name, value in state_dict.items() if name in by_name}
        wrong = [
            f"{name}: {list(np.shape(value))}, the layer has {by_name[name].shape}"
            for name, value in matched.items()
            if list(np.shape(value)) != by_name[name].shape
        ]
        if wrong:
            raise ArgumentError(f"set_state_dict: shapes do not fit: {'; '.join(wrong)}")
        for name, value in matched.items():
            by_name[name].set_value(to_tensor(value))
        return [n for n in by_name if n not in matched], [n for n in state_dict if n not in by_name]

    set_dict = load_dict = set_state_dict

    def extra_repr(self) -> str:
        """What stands between the brackets when the layer is printed."""
        return ""

    def __repr__(self) -> str:
        lines = [
            f"({name}): " + repr(layer).replace("\n", "\n  ") for name, layer in self._sub_layers.items()
        ]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        return f"{type(self).__name__}({self.extra_repr()}\n  " + "\n  ".join(lines) + "\n)"


def make_parameter(
    owner: str, shape: Any, attr: Any, dtype: Any, is_bias: bool, initializer: Any = None
) -> Parameter | None:
    """A parameter named after ``owner`` (``linear_0.w_0``), filled; None where ``attr`` is False."""
    said = ParamAttr.of(attr)
    if said is None:
        return None
    if said.name is not None and parameter_known is not None:
        found = parameter_known(said.name, shape)
        if found is not None:
            return found
    data = torch.empty(tuple(int(size) for size in shape), dtype=to_dtype(dtype), device=current_device())
    name = said.name or unique_name(f"{owner}.{'b' if is_bias else 'w'}")
    made = Parameter(data, name, said.trainable)
    made.optimize_attr = {"learning_rate": said.learning_rate}
    made.regularizer, made.need_clip = said.regularizer, said.need_clip
    begin = said.initializer or initializer or default_initializer(is_bias)
    begin(made)
    if parameter_made is not None:
        parameter_made(made, begin)
    return made


def create_parameter(
    shape: Any,
    dtype: Any,
    name: str | None = None,
    attr: Any = None,
    is_bias: bool = False,
    default_initializer: Any = None,
) -> Parameter | None:
    """A parameter that belongs to no layer."""
    said = ParamAttr.of(attr)
    if said is not None and said.name is None:
        attr = copy.copy(said)
        attr.name = name
    return make_parameter("create_parameter", shape, attr, dtype, is_bias, default_initializer)


def __getattr__(name: str) -> Any:
    """The layers, which the original's ``nn.layer`` has too."""
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(importlib.import_module("freshpot.paddle.nn"), name)
