"""Every error freshpot raises, in one tree.

::

    FreshpotError
    ├── FormatError   (also ValueError, RuntimeError)  a file or byte string cannot be read
    ├── DataError     (also ValueError, RuntimeError)  a data set is missing, incomplete or inconsistent
    ├── NotSupportedError     (also NotImplementedError)  known, but not done by freshpot; says why
    ├── DeviceError           (also RuntimeError)    the device asked for is not there
    ├── DistributedError      (also RuntimeError)    another process of several is lost, or was not found
    └── NetError              (also RuntimeError)    something is wrong with a net, an operator or a blob
        ├── UnknownOperatorError     no operator of that type (with near matches)
        ├── MissingBlobError  (also KeyError)   a blob that is not there, or holds nothing yet
        ├── NameClashError           a net of that name exists already
        ├── ArgumentError     (also ValueError) an operator's argument is missing, or of the wrong type or value
        ├── ArityError        (also ValueError) an operator has too few or too many inputs or outputs
        ├── ShapeError        (also ValueError) shapes that do not fit
        ├── DTypeError        (also TypeError)  an element type that the operator does not take
        ├── GradientError     (also ValueError) a gradient that cannot be built
        └── KernelError              an operator failed while it ran

Most are also a ``RuntimeError`` because that is what the original Caffe2 raised, so programs that
catch it keep working. Any of them, raised while a net runs, says in which net and operator.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TypeVar

ErrorT = TypeVar("ErrorT", bound="FreshpotError")
AnyErrorT = TypeVar("AnyErrorT", bound=Exception)


class FreshpotError(Exception):
    """Base class of every error that freshpot raises on purpose.

    ``net`` and ``op`` (names the net, describes the operator in one line) may be filled in by an outer
    frame that knows them (:meth:`at`); ``str()`` always shows the fullest account.
    """

    net: str | None = None
    op: str | None = None
    #: number of the operator in its net, if known
    position: int | None = None

    def at(self: ErrorT, *, net: str | None = None, op: str | None = None) -> ErrorT:
        """Fill in the place that an inner frame did not know; returns self."""
        self.net = self.net or net
        self.op = self.op or op
        return self

    def __str__(self) -> str:
        place = []
        if self.net:
            place.append(f"net '{self.net}'")
        if self.op:
            place.append(self.op)
        return ": ".join([*place, *map(str, self.args)])


class FormatError(FreshpotError, ValueError, RuntimeError):
    """A file or byte string cannot be read.

    Args:
        message: what was expected and what was found.
        path: the file, if there is one.
        where: offset, line or record in it, in words ("offset 16", "record 3").
    """

    def __init__(self, message: str, *, path: object = None, where: str | None = None) -> None:
        place = ": ".join(str(part) for part in (path, where) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)
        self.path = path
        self.where = where


class DataError(FreshpotError, ValueError, RuntimeError):
    """A data set is missing, incomplete or inconsistent."""


class NotSupportedError(FreshpotError, NotImplementedError):
    """Something the original knows and freshpot does not do (yet). The message says why."""


class DeviceError(FreshpotError, RuntimeError):
    """The device that was asked for is not there."""


class DistributedError(FreshpotError, RuntimeError):
    """Of several processes that work together, one is lost or was not found."""


class NetError(FreshpotError, RuntimeError):
    """Something is wrong with a net, one of its operators, or a blob.

    Args:
        message: what was found, what was expected, what to do.
        net: name of the net, if known.
        op: one-line description of the operator, if known.
        blob: name of the blob, if known.
    """

    def __init__(
        self, message: str, *, net: str | None = None, op: str | None = None, blob: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.net = net
        self.op = op
        self.blob = blob


class UnknownOperatorError(NetError):
    """No operator of that type."""


class MissingBlobError(NetError, KeyError):
    """A blob that does not exist, or holds nothing yet."""


class NameClashError(NetError):
    """A net of that name exists already."""


class ArgumentError(NetError, ValueError):
    """An operator's argument is missing, or of the wrong type or value."""


class ArityError(NetError, ValueError):
    """An operator has too few or too many inputs or outputs, or an illegal in-place pair."""


class ShapeError(NetError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(NetError, TypeError):
    """An element type that the operator does not take."""


class GradientError(NetError, ValueError):
    """A gradient that cannot be built."""


class KernelError(NetError):
    """An operator failed while it ran."""


def noted(error: AnyErrorT, note: str) -> AnyErrorT:
    """An error whose words are an original's, to the letter, with a note that the traceback shows below them.

    Python 3.10 knows no notes and shows none.
    """
    if hasattr(error, "add_note"):
        error.add_note(note)
    return error


def near_matches(name: object, known: Iterable[str], count: int = 3) -> str:
    """A sentence with the nearest known names, or nothing: ``" Did you mean Conv, ConvTranspose?"``.

    ``name`` is what a program gave, which may be no text at all.
    """
    known = list(known)
    lower = {k.lower(): k for k in known}
    found = [lower[k] for k in difflib.get_close_matches(str(name).lower(), lower, n=count, cutoff=0.6)]
    return f" Did you mean {', '.join(found)}?" if found else ""
