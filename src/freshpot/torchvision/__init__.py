"""A small stand-in for ``torchvision`` where the real one is absent: MNIST and friends, transforms, grids.

``install()`` binds it to the name; it never takes the place of the real package.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

from freshpot.torchvision import datasets, transforms, utils

__all__ = ["__version__", "datasets", "install", "transforms", "utils"]

__version__ = "0.0+freshpot"
_PARTS = ("datasets", "transforms", "transforms.functional", "utils")


def install() -> bool:
    """Let ``import torchvision`` mean this package, if there is no other.

    Returns:
        True if it does now; False if a real torchvision is there and stays.
    """
    present = sys.modules.get("torchvision")
    if present is not None:
        return present is sys.modules[__name__]
    if importlib.util.find_spec("torchvision") is not None:
        return False
    sys.modules["torchvision"] = sys.modules[__name__]
    for part in _PARTS:
        sys.modules[f"torchvision.{part}"] = importlib.import_module(f"{__name__}.{part}")
    return True


def uninstall() -> None:
    """Undo `install`."""
    if sys.modules.get("torchvision") is sys.modules[__name__]:
        for name in ("torchvision", *(f"torchvision.{part}" for part in _PARTS)):
            sys.modules.pop(name, None)
