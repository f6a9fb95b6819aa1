"""`caffe.Blob`: data and diff of one blob, as live numpy views.

Owned here: the pair of engine blobs behind one Caffe blob. Who calls it: layers, nets; pycaffe shows it as `Blob`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch

from caffe._net.site import blobs_changed
from freshpot.data.pinned import to_device
from freshpot.engine import Workspace
from freshpot.engine.blob import Blob as Cell
from freshpot.engine.kept import KeptBlob, feed_again, feed_kept
from freshpot.errors import FreshpotError, KernelError, MissingBlobError, ShapeError

#: a blob's diff is the engine blob of this name
DIFF = "{}@diff"
#: elements in a blob; the original counts them in a C int
MOST_ELEMENTS = 2**31 - 1


#: goes up when the shape of any net's blob was set to another one, or a blob became another's
_numbers = itertools.count(1)
_changes = 0


def shape_changes() -> int:
    """A number that stays as long as no blob's shape is set to another one, and no layer makes its operators again."""
    return _changes


def shapes_changed() -> None:
    """Note that layers should look at the shapes of their bottoms again."""
    global _changes
    _changes = next(_numbers)


@contextlib.contextmanager
def memory_for(dims: tuple[int, ...], name: str | None = None) -> Iterator[None]:
    """Around allocating a blob of shape ``dims``: what is too large is refused in words.

    Raises:
        ShapeError: more elements than a blob holds.
        KernelError: the machine has not that much memory.
    """
    count = math.prod(dims)
    if count > MOST_ELEMENTS:
        raise ShapeError(
            f"shape {dims} has {count} elements; a blob holds {MOST_ELEMENTS} at most.", blob=name
        )
    try:
        yield
    except FreshpotError:
        raise
    except (RuntimeError, MemoryError) as error:
        raise KernelError(f"no memory for a blob of shape {dims}, {4 * count} bytes.", blob=name) from error


class NetBlob:
    """Data and diff, both float32 arrays of one shape.

    ``data`` and ``diff`` are live views: writing to them writes to the blob, and a view that is kept
    shows later values as long as the shape stays. On a GPU they are views of the host's memory, which is
    brought up to date when they are asked for, and at the end of each pass for those that are kept.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.name = name
        self.data_cell: Cell = workspace.create_local(name)
        self.diff_cell: Cell = workspace.create_local(DIFF.format(name))
        #: what the data is before the blob has a shape
        self.nothing = torch.zeros(())
        if self.data_cell.empty:
            self.data_cell.value = self.nothing

    # ---- shape ---------------------------------------------------------------------------------
    @property
    def dims(self) -> tuple[int, ...]:
        """The shape as a tuple."""
        return tuple(self.data_cell.peek.shape)

    @property
    def shape(self) -> list[int]:
        """The shape, as pycaffe gives it."""
        return list(self.dims)

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)

    def _legacy(self, axis: int) -> int:
        if len(self.dims) > 4:
            raise ShapeError(
                f"num, channels, height and width are for blobs of at most 4 axes; blob '{self.name}' has "
                f"{len(self.dims)}. Use shape.",
                blob=self.name,
            )
        return self.dims[axis] if axis < len(self.dims) else 1

    num = property(lambda self: self._legacy(0), doc="Size of axis 0 (1 if there is none).")
    channels = property(lambda self: self._legacy(1), doc="Size of axis 1 (1 if there is none).")
    height = property(lambda self: self._legacy(2), doc="Size of axis 2 (1 if there is none).")
    width = property(lambda self: self._legacy(3), doc="Size of axis 3 (1 if there is none).")

    def reshape(self, *shape: int) -> None:
        """Change the shape. Contents stay where the number of elements stays, else they become zeros.

        Raises:
            ShapeError: a negative size, or more than 32 axes.
        """
        if len(shape) > 32 or any(int(n) < 0 for n in shape):
            raise ShapeError(f"blob '{self.name}' cannot have shape {shape}.", blob=self.name)
        self.set_dims(tuple(int(n) for n in shape))

    def set_dims(self, dims: tuple[int, ...]) -> None:
        """`reshape` for shapes that are known to be right."""
        if self.data_cell.peek is self.nothing:
            self.data_cell.value = torch.zeros(())
            blobs_changed()
        if dims == self.dims:
            return
        shapes_changed()
        for cell in (self.data_cell, self.diff_cell):
            if not cell.empty:
                with memory_for(dims, self.name):
                    cell.reshape(dims)

    # ---- contents ------------------------------------------------------------------------------
    def put(self, values: torch.Tensor) -> None:
        """Take data that were made on the CPU, or are on the net's device: a copy, where the blob keeps its memory."""
        cell = self.data_cell
        if not (isinstance(cell, KeptBlob) and values.is_cpu and cell.peek.is_cpu):
            cell.value = to_device(values, cell.peek.device)
        elif not feed_again(cell, values.numpy()):
            feed_kept(cell, values.clone())

    def put_array(self, values: np.ndarray, *, borrowed: bool = False) -> None:
        """`put` for an array of the host's: copied to where the last one was, if it is alike.

        ``borrowed``: it is somebody else's, and the blob must never hold it itself.
        """
        if not feed_again(self.data_cell, values):
            given = values.copy() if borrowed or not values.flags.writeable else values
            self.put(torch.from_numpy(given))

    def make_diff(self) -> None:
        """Let there be a diff: zeros if nothing was written to it since the shape changed."""
        data = self.data_cell.peek
        if self.diff_cell.empty or self.diff_cell.peek.shape != data.shape:
            self.diff_cell.value = torch.zeros_like(data)

    def diff_tensor(self) -> torch.Tensor:
        """The diff, to be read; `make_diff` says of what."""
        self.make_diff()
        return self.diff_cell.value

    def clear_diff(self) -> None:
        """Set the diff to zero."""
        self.make_diff()
        self.diff_cell.writable.zero_()

    def data_array(self) -> np.ndarray:
        """The data, to be read at once (to be written to a file)."""
        return self.data_cell.on_cpu().numpy()

    def diff_array(self) -> np.ndarray:
        """The diff, to be read at once."""
        self.make_diff()
        return self.diff_cell.on_cpu().numpy()

    @property
    def data(self) -> np.ndarray:
        """A live view of the data.

        Raises:
            MissingBlobError: the blob never got a shape (an Input layer without one).
        """
        if self.data_cell.peek is self.nothing:
            raise MissingBlobError(
                f"blob '{self.name}' has no shape yet; give its layer one, or call reshape().", blob=self.name
            )
        return self.data_cell.share()

    @property
    def diff(self) -> np.ndarray:
        """A live view of the diff."""
        self.make_diff()
        return self.diff_cell.share()

    def share_data(self, other: NetBlob, workspace: Workspace) -> None:
        """Let this blob's data be ``other``'s from now on (same memory), also under its name in the workspace."""
        if workspace.find(other.name) is not other.data_cell:  # it is another net's
            blobs_changed()
        shapes_changed()
        self.data_cell = other.data_cell
        workspace.link(self.name, self.data_cell)

    def share_with(self, other: NetBlob, workspace: Workspace) -> None:
        """Let data and diff be ``other``'s memory from now on, also under this blob's names in the workspace.

        The shapes may differ if the counts agree: then this blob is a view of the other's memory.
        """
        shapes_changed()
        dims = self.dims
        if dims == other.dims:
            self.data_cell, self.diff_cell = other.data_cell, other.diff_cell
        else:
            other.make_diff()
            self.data_cell, self.diff_cell = (
                cell.viewed_as(dims) for cell in (other.data_cell, other.diff_cell)
            )
        workspace.link(self.name, self.data_cell)
        workspace.link(DIFF.format(self.name), self.diff_cell)
