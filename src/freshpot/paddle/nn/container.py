"""Layers in a row, in a list, under names; parameters in a list."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from freshpot.paddle._tensor import Parameter
from freshpot.paddle.nn.layer import Layer

__all__ = ["LayerDict", "LayerList", "ParameterList", "Sequential"]


class Sequential(Layer):
    """Layers one after the other; given as layers or as (name, layer) pairs."""

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        if len(layers) == 1 and isinstance(layers[0], (list, OrderedDict)):
            layers = tuple(layers[0].items() if isinstance(layers[0], OrderedDict) else layers[0])
        for position, layer in enumerate(layers):
            name, one = (str(position), layer) if isinstance(layer, Layer) else layer
            self._sub_layers[str(name)] = one

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            return self._sub_layers[index]
        parts = list(self._sub_layers.values())
        return Sequential(*parts[index]) if isinstance(index, slice) else parts[index]

    def __setitem__(self, index: Any, layer: Layer) -> None:
        self._sub_layers[list(self._sub_layers)[index] if isinstance(index, int) else index] = layer

    def __delitem__(self, index: Any) -> None:
        del self._sub_layers[list(self._sub_layers)[index] if isinstance(index, int) else index]

    def __len__(self) -> int:
        return len(self._sub_layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._sub_layers.values())

    def append(self, module: Layer) -> Sequential:
        """One more at the end."""
        self._sub_layers[str(len(self))] = module
        return self

    def forward(self, input: Any) -> Any:
        """Through all layers in turn."""
        for layer in self._sub_layers.values():
            input = layer(input)
        return input


class LayerList(Layer):
    """A list of layers."""

    def __init__(self, sublayers: Iterable[Layer] | None = None) -> None:
        super().__init__()
        self.extend(sublayers or [])

    def _fill(self, layers: list[Layer]) -> None:
        self._sub_layers.clear()
        self._sub_layers.update((str(i), layer) for i, layer in enumerate(layers))

    def __getitem__(self, index: Any) -> Any:
        parts = list(self._sub_layers.values())
        return LayerList(parts[index]) if isinstance(index, slice) else parts[index]

    def __setitem__(self, index: int, layer: Layer) -> None:
        parts = list(self._sub_layers.values())
        parts[index] = layer
        self._fill(parts)

    def __delitem__(self, index: Any) -> None:
        parts = list(self._sub_layers.values())
        del parts[index]
        self._fill(parts)

    def __len__(self) -> int:
        return len(self._sub_layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._sub_layers.values())

    def append(self, sublayer: Layer) -> LayerList:
        """One more at the end."""
        self._sub_layers[str(len(self))] = sublayer
        return self

    def insert(self, index: int, sublayer: Layer) -> None:
        """One more in the middle."""
        parts = list(self._sub_layers.values())
        parts.insert(index, sublayer)
        self._fill(parts)

    def extend(self, sublayers: Iterable[Layer]) -> LayerList:
        """More at the end."""
        for layer in sublayers:
            self.append(layer)
        return self


class LayerDict(Layer):
    """Layers under names."""

    def __init__(self, sublayers: Any = None) -> None:
        super().__init__()
        self.update(sublayers or {})

    def update(self, sublayers: Any) -> None:
        """Take in more."""
        pairs = sublayers.items() if hasattr(sublayers, "items") else sublayers
        for name, layer in pairs:
            self.add_sublayer(name, layer)

    def __getitem__(self, key: str) -> Layer:
        return self._sub_layers[key]

    def __setitem__(self, key: str, layer: Layer) -> None:
        self.add_sublayer(key, layer)

    def __delitem__(self, key: str) -> None:
        del self._sub_layers[key]

    def __len__(self) -> int:
        return len(self._sub_layers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sub_layers)

    def __contains__(self, key: str) -> bool:
        return key in self._sub_layers

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._sub_layers.keys()

    def values(self) -> Iterable[Layer]:
        """The layers."""
        return self._sub_layers.values()

    def items(self) -> Iterable[tuple[str, Layer]]:
        """Names and layers."""
        return self._sub_layers.items()


class ParameterList(Layer):
    """A list of parameters."""

    def __init__(self, parameters: Iterable[Parameter] | None = None) -> None:
        super().__init__()
        for parameter in parameters or []:
            self.append(parameter)

    def __getitem__(self, index: int) -> Parameter | None:
        return list(self._parameters.values())[index]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def append(self, parameter: Parameter) -> ParameterList:
        """One more at the end."""
        self._parameters[str(len(self))] = parameter
        return self
