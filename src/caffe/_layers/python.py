"""Layers that users write in Python: classes derived from `caffe.Layer`."""

from __future__ import annotations

import contextlib
import enum
import importlib
from collections.abc import Iterator
from typing import Any

from caffe import _mode
from caffe._caffe import Blob, BlobVec, Layer, RawBlobVec
from caffe._net.layer import Layer as NetLayer
from caffe._net.layer import Lowering, layer
from freshpot.errors import ArgumentError, FreshpotError, NotSupportedError, near_matches

#: packages of Faster R-CNN's programs, whose branch shows layers the phase by name
_NAMED_PHASE = ("roi_data_layer", "rpn")


class _Phase(enum.IntEnum):
    """The phase as pycaffe of Faster R-CNN's branch has it: a number whose text is its name."""

    TRAIN = 0
    TEST = 1

    def __str__(self) -> str:
        return self.name


class _Python:
    """The user's layer object, and its blobs as pycaffe shows them."""

    def __init__(self, low: Lowering) -> None:
        self._owner = low.layer
        p = low.param.python_param
        made_by = find_class(low)
        with self._noted(p.layer):
            made = made_by(low.param)
        if not isinstance(made, Layer):
            low.refuse(
                f"{p.module}.{p.layer} makes a {type(made).__name__}, not a caffe.Layer.", ArgumentError
            )
        made._blobs = BlobVec(add=self._add_blob)
        named = p.module.partition(".")[0] in _NAMED_PHASE
        made.phase = _Phase(low.param.phase) if named else low.param.phase  # type: ignore[attr-defined]
        made.param_str = p.param_str  # type: ignore[attr-defined]
        made.param_str_ = p.param_str  # type: ignore[attr-defined]  # its name until 2015
        #: what `net.layers` shows
        self.python_layer = made
        self._bottom = RawBlobVec(Blob(b) for b in self._owner.bottoms)
        self._top = RawBlobVec(Blob(b) for b in self._owner.tops)

    def _add_blob(self, *shape: int) -> Blob:
        blobs = self._owner.blobs
        self._owner.weight(len(blobs), tuple(int(n) for n in shape), None)
        return Blob(blobs[-1])

    def setup(self) -> None:
        """Call the user's setup, then reshape; parameters can be added only here."""
        with self._noted("setup"):
            self.python_layer.setup(self._bottom, self._top)
        self.python_layer.blobs._add = None
        self.reshape()

    def reshape(self) -> None:
        """Call the user's reshape, as before every forward pass."""
        with self._noted("reshape"):
            self.python_layer.reshape(self._bottom, self._top)

    def forward(self) -> None:
        """Call the user's forward."""
        with self._noted("forward"):
            self.python_layer.forward(self._bottom, self._top)  # type: ignore[attr-defined]

    def backward(self, propagate_down: list[bool]) -> None:
        """Call the user's backward."""
        with self._noted("backward"):
            self.python_layer.backward(self._top, list(propagate_down), self._bottom)  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def _noted(self, method: str) -> Iterator[None]:
        """Let the user's exceptions out as they are, as the original does, with a note where they arose."""
        self._owner.site.settle()
        try:
            yield
        except FreshpotError:
            raise
        except Exception as error:
            _add_note(
                error, f"in {method} of layer '{self._owner.name}' (Python), {_class_name(self._owner)}"
            )
            raise


def _add_note(error: Exception, note: str) -> None:
    if hasattr(error, "add_note"):  # Python 3.11
        error.add_note(note)


def _class_name(owner: NetLayer) -> str:
    p = owner.param.python_param
    return f"{p.module}.{p.layer}"


def find_class(low: Lowering) -> Any:
    """The class that python_param names.

    Raises:
        ArgumentError: no such module, no such class in it, or it is not today's Python.
    """
    p = low.param.python_param
    try:
        module = importlib.import_module(p.module)
    except ImportError as error:
        raise ArgumentError(
            f"module '{p.module}' cannot be imported: {error}. Is its folder on PYTHONPATH?"
        ) from error
    except SyntaxError as error:
        raise ArgumentError(
            f"module '{p.module}' cannot be read: {error.filename}, line {error.lineno}: {error.msg}. If "
            "it is Python 2: `freshpot run PROGRAM.py` modernises the modules of the program that it runs."
        ) from error
    except ValueError as error:
        raise ArgumentError("python_param names no module.") from error
    if not hasattr(module, p.layer):
        classes = [name for name in vars(module) if isinstance(getattr(module, name), type)]
        raise ArgumentError(f"module '{p.module}' has no class '{p.layer}'.{near_matches(p.layer, classes)}")
    found = getattr(module, p.layer)
    if not callable(found):
        raise ArgumentError(f"{p.module}.{p.layer} is no class.")
    return found


@layer("Python", bottoms=(0, None), tops=(0, None))
def python(low: Lowering) -> None:
    if low.train and _mode.solver_count > 1 and not _mode.multiprocess:
        raise NotSupportedError(
            f"layer '{low.layer.name}' (Python) cannot run in several solvers of one process; train with a "
            "process for each."
        )
    state = _Python(low)
    low.layer.state = state
    state.setup()
    low.host(state.forward, state.backward, state.reshape)
