"""Layers of a `LayerModelHelper`: every class here is called as ``model.FC(…)``, ``model.Concat(…)`` …

Each module holds a layer or a few; importing the package enters them all in the table of `layers.layers`.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from caffe2.python.layers import layers


def import_recursive(package: Any) -> None:
    """Import every module below a package."""
    for module in pkgutil.iter_modules(package.__path__):
        made = import_module(f"{package.__name__}.{module.name}")
        if module.ispkg:
            import_recursive(made)


def find_subclasses_recursively(base_cls: type, sub_cls: set[type]) -> None:
    """Add all classes derived from one to ``sub_cls``."""
    derived: type
    for derived in base_cls.__subclasses__():
        sub_cls.add(derived)
        find_subclasses_recursively(derived, sub_cls)


import_recursive(import_module(__name__))

model_layer_subcls: set[type] = set()
find_subclasses_recursively(layers.ModelLayer, model_layer_subcls)
for _layer in model_layer_subcls:
    layers.register_layer(_layer.__name__, _layer)
