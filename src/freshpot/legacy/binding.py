"""Which module a program gets for a name: the real one where there is one, else ours; ours at once if asked for.

``caffe`` and ``caffe2`` are ours always. ``paddle`` and ``torchvision`` are ours where the real package is missing.
Old names of Python 2's library, ``IPython``, ``skimage`` and the tutorials' ``helpers`` have small stand-ins.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import freshpot
from freshpot.legacy import compiled, ipython, old_modules, old_numpy, old_packages, scikit_image
from freshpot.legacy.notes import Notes
from freshpot.legacy.old_imports import OldModules

__all__ = ["DIALECTS", "NoModuleError", "bound"]

#: what --dialect takes, and the modules of ours that serve it
DIALECTS: dict[str, tuple[str, ...]] = {
    "caffe": ("caffe",),
    "caffe2": ("caffe2",),
    "paddle": ("freshpot.paddle",),
    "torch": ("freshpot.torchvision", "freshpot.torch.vision"),
}
_OURS = {"paddle": "paddle", "torchvision": "torch"}


class NoModuleError(ModuleNotFoundError):
    """A package that a program needs is not installed, and freshpot has nothing in its place."""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last in the chain: knows what to give for names that nobody else has."""

    def __init__(self, notebook: ipython.Notebook, notes: Notes) -> None:
        self._notes = notes
        self._groups: dict[str, Callable[[], dict[str, ModuleType]]] = {
            "IPython": lambda: ipython.modules(notebook),
            "skimage": scikit_image.modules,
            "helpers": _helpers,
        }
        self._made: dict[str, ModuleType] = {}

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        root = name.partition(".")[0]
        if name in _OURS:
            return _alias(name, _ours(name))
        if root in self._groups and root not in self._made:
            self._made.update(self._groups[root]())
            self._notes.add(f"module {root}: a small stand-in, as it is not installed")
        elif name in old_modules.renamed:
            self._made[name] = old_modules.make(name)
        elif name == "scipy.misc":
            self._made[name] = old_packages.scipy_misc()
        elif (program := compiled.find(name, path)) is not None:
            self._made[name] = program
            self._notes.add(f"module {name}: not compiled; freshpot's own in its place")
        made = self._made.get(name)
        if made is None:
            return None
        return _alias(name, made) if made.__spec__ else importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self._made[spec.name]

    def leave_parents(self) -> None:
        """Take the modules made here out of the packages that others made."""
        for name, module in self._made.items():
            parent, _, child = name.rpartition(".")
            if parent not in self._made and vars(sys.modules.get(parent, module)).get(child) is module:
                delattr(sys.modules[parent], child)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: the module is made already."""


class _Alias(importlib.abc.Loader):
    """Gives the module of another name."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put the alias's own there


def _alias(name: str, module: ModuleType) -> importlib.machinery.ModuleSpec:
    return importlib.machinery.ModuleSpec(name, _Alias(module), is_package=hasattr(module, "__path__"))


class _First(importlib.abc.MetaPathFinder):
    """First in the chain: ``caffe`` and ``caffe2`` are ours even where an old checkout is put on ``sys.path``,
    and ``paddle.nn`` is our package's own ``nn``, not a second copy of its file.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._folder = [str(Path(freshpot.__file__).resolve().parents[1])]

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        root, _, rest = name.partition(".")
        if name in ("caffe", "caffe2"):
            return self._own(name)
        ours = getattr(sys.modules.get(root), "__name__", root)
        if root not in _OURS or not rest or ours == root:
            return None
        try:
            return _alias(name, importlib.import_module(f"{ours}.{rest}"))
        except ModuleNotFoundError:
            return None

    def _own(self, name: str) -> importlib.machinery.ModuleSpec | None:
        self.note_others(name)
        return importlib.machinery.PathFinder.find_spec(name, self._folder)

    def note_others(self, name: str) -> None:
        """Note it where the program's path leads to another package of that name."""
        spec = importlib.machinery.PathFinder.find_spec(name, self._folder)
        other = importlib.machinery.PathFinder.find_spec(name)
        if spec is not None and other is not None and other.origin != spec.origin:
            self._notes.add(f"{name}: freshpot's, not the one in {other.origin or 'sys.path'}")


def _ours(name: str) -> ModuleType:
    """Our package for a foreign name.

    Raises:
        NoModuleError: freshpot has none.
    """
    for candidate in DIALECTS[_OURS[name]]:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(candidate)
    raise NoModuleError(
        f"no module named '{name}': it is not installed, and this freshpot has nothing in its place. Install {name}.",
        name=name,
    )


def _helpers() -> dict[str, ModuleType]:
    from freshpot.legacy import tutorial_helpers

    return {"helpers": tutorial_helpers}


def _force(dialect: str) -> None:
    """Load our modules for a dialect before any other of that name can be found.

    Raises:
        NoModuleError: freshpot has no such dialect (yet).
    """
    for name in {"caffe": ["caffe"], "caffe2": ["caffe2"], "paddle": ["paddle"]}.get(
        dialect, ["torchvision"]
    ):
        sys.modules[name] = importlib.import_module(name) if name in ("caffe", "caffe2") else _ours(name)


@contextlib.contextmanager
def bound(notebook: ipython.Notebook, notes: Notes, *, dialect: str | None, python2: bool) -> Iterator[None]:
    """Serve the names for a time; modules loaded meanwhile under foreign names are forgotten afterwards.

    Args:
        notebook: shows pictures, does magics.
        dialect: ours at once, whatever is installed.
        python2: give today's ``urllib``, ``sys`` … the functions that Python 2's had.
    """
    finder = _Finder(notebook, notes)
    before = dict(sys.modules)
    added = [
        (module, name, value)
        for module, names in (*old_modules.GONE, *old_numpy.GONE)
        for name, value in names.items()
        if (python2 or module is time or module.__name__.startswith("numpy")) and name not in vars(module)
    ]
    tables = (*old_modules.CHANGED, *old_numpy.CHANGED)
    changed = [(module, name, value) for module, names in tables for name, value in names.items()]
    original = [(module, name, getattr(module, name)) for module, name, _ in changed]
    for module, name, value in [*added, *changed]:
        setattr(module, name, value)
    ours_first, packages = _First(notes), old_packages.OldPackages()
    first = [ours_first, packages, OldModules(notes)]
    sys.meta_path.append(finder)
    sys.meta_path[:0] = first
    try:
        if dialect is not None:
            _force(dialect)
        yield
    finally:
        for name in sys.modules.keys() & {"caffe", "caffe2"}:
            ours_first.note_others(name)  # it may have been there before the program asked for it
        sys.meta_path.remove(finder)
        for early in first:
            sys.meta_path.remove(early)
        packages.restore()
        for module, name, _ in added:
            delattr(module, name)
        for module, name, value in original:
            setattr(module, name, value)
        foreign = {*old_modules.renamed, *finder._groups, *_OURS}
        finder.leave_parents()
        for name in [n for n in sys.modules if n.partition(".")[0] in foreign or n in finder._made]:
            if name in before:
                sys.modules[name] = before[name]
            else:
                del sys.modules[name]
