"""Packages of today with what they had when the programs were written: names that are gone, and ways of calling.

Each is changed when the program imports it, only where it lacks the name, and is as before after the run.
Who calls it: `binding`.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["OldPackages", "scipy_misc"]

_Patch = tuple[Any, str, Any]


def _yaml(module: Any) -> list[_Patch]:
    """``load`` without a loader: plain data, as it was meant."""
    if inspect.signature(module.load).parameters["Loader"].default is not inspect.Parameter.empty:
        return []
    load = module.load
    return [(module, "load", lambda stream, Loader=module.SafeLoader: load(stream, Loader))]


def _pillow(module: Any) -> list[_Patch]:
    names = {"ANTIALIAS": "LANCZOS", "LINEAR": "BILINEAR", "CUBIC": "BICUBIC"}
    patches = [(module, old, getattr(module, new)) for old, new in names.items() if not hasattr(module, old)]
    if not hasattr(module, "fromstring"):
        patches += [
            (module, "fromstring", module.frombytes),
            (module.Image, "tostring", module.Image.tobytes),
        ]
    return patches


def _opencv(module: Any) -> list[_Patch]:
    names = {f"CV_LOAD_IMAGE_{n}": f"IMREAD_{n}" for n in ("COLOR", "GRAYSCALE", "UNCHANGED", "ANYDEPTH")}
    names |= {"CV_AA": "LINE_AA", "CV_FILLED": "FILLED"}
    return [(module, old, getattr(module, new)) for old, new in names.items() if not hasattr(module, old)]


def _hdf5(module: Any) -> list[_Patch]:
    if hasattr(module.Dataset, "value"):
        return []
    return [(module.Dataset, "value", property(lambda self: self[()], doc="All of it, as an array."))]


def _linear_models(module: Any) -> list[_Patch]:
    """``SGDClassifier`` of 2015: n_iter, the loss ``log``, the class weights ``auto``."""
    made = module.SGDClassifier
    if "n_iter" in inspect.signature(made).parameters:
        return []

    @functools.wraps(made, updated=())
    def classifier(loss: str = "hinge", **words: Any) -> Any:
        if "n_iter" in words:
            words |= {"max_iter": words.pop("n_iter"), "tol": None}
        if words.get("class_weight") == "auto":
            words["class_weight"] = "balanced"
        return made(loss="log_loss" if loss == "log" else loss, **words)

    return [(module, "SGDClassifier", classifier)]


_PACKAGES: dict[str, Callable[[Any], list[_Patch]]] = {
    "PIL.Image": _pillow,
    "cv2": _opencv,
    "h5py": _hdf5,
    "sklearn.linear_model": _linear_models,
    "yaml": _yaml,
}


class OldPackages(importlib.abc.MetaPathFinder):
    """Changes packages as they are imported, and those that are loaded already; `restore` takes it back."""

    def __init__(self) -> None:
        self._before: list[_Patch] = []
        self._busy: set[str] = set()  # packages that import themselves once more, as OpenCV does
        for name in _PACKAGES.keys() & sys.modules.keys():
            self.change(name, sys.modules[name])

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _PACKAGES or name in self._busy:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, functools.partial(self._loaded, name))
            self._busy.add(name)
        return spec

    def _loaded(self, name: str, module: ModuleType) -> None:
        self._busy.discard(name)
        self.change(name, module)

    def change(self, name: str, module: ModuleType) -> None:
        """Give a module what it lacks; one that is another package of that name is left alone."""
        try:
            patches = _PACKAGES[name](module)
        except (AttributeError, KeyError, TypeError, ValueError):
            return
        for owner, word, value in patches:
            self._before.append((owner, word, vars(owner).get(word)))
            setattr(owner, word, value)

    def restore(self) -> None:
        """Take everything back."""
        for owner, word, value in reversed(self._before):
            if value is None:
                delattr(owner, word)
            else:
                setattr(owner, word, value)
        self._before.clear()


class _Loader(importlib.abc.Loader):
    """A package's own loader, and a look at the module when it is there."""

    def __init__(self, own: Any, then: Callable[[ModuleType], None]) -> None:
        self._own, self._then = own, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        self._own.exec_module(module)
        self._then(module)


# ---- scipy.misc, which read and wrote pictures --------------------------------------------------------------
def _imread(name: Any, flatten: bool = False, mode: str | None = None) -> np.ndarray:
    """A picture as an array: (H, W), (H, W, 3) or (H, W, 4) bytes; float32 greys with ``flatten``."""
    from PIL import Image

    with Image.open(name) as picture:
        made = picture.convert(mode) if mode else picture
        if flatten:
            return np.asarray(made.convert("F"))
        return np.array(made.convert("RGB") if made.mode in ("P", "CMYK") else made)


def _to_image(arr: Any, mode: str | None = None, **_: Any) -> Any:
    """An array as a picture; all but bytes are stretched to 0 … 255."""
    from PIL import Image

    array = np.asarray(arr)
    if array.ndim == 3 and array.shape[2] not in (3, 4) and array.shape[0] in (3, 4):
        array = array.transpose(1, 2, 0)
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        array = ((array - low) * (255.0 / ((high - low) or 1.0))).clip(0, 255) + 0.5
    picture = Image.fromarray(array.astype(np.uint8))
    return picture.convert(mode) if mode else picture


def _imsave(name: Any, arr: Any, format: str | None = None) -> None:
    _to_image(arr).save(name, format)


def _imresize(arr: Any, size: Any, interp: str = "bilinear", mode: str | None = None) -> np.ndarray:
    """A picture of another size: percent (int), share (float), or (height, width); bytes."""
    from PIL import Image

    picture = _to_image(arr, mode)
    if isinstance(size, int | np.integer):
        size = size / 100.0
    if isinstance(size, float | np.floating):
        wanted = tuple(int(side * size) for side in picture.size)
    else:
        wanted = (int(size[1]), int(size[0]))
    way = "BICUBIC" if interp == "cubic" else interp.upper()
    return np.array(picture.resize(wanted, Image.Resampling[way]))


def scipy_misc() -> ModuleType:
    """``scipy.misc`` as it was, as far as pictures go."""
    made = ModuleType("scipy.misc")
    vars(made).update(imread=_imread, imresize=_imresize, imsave=_imsave, toimage=_to_image)
    return made
