"""What tasks hand back.

Owned here: `TaskOutput`, `TaskOutputList`. Who calls it: `task`, `session`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2.python._errors import require
from caffe2.python.schema import Field, from_blob_list


class TaskOutput:
    """A blob, a list of blobs or a record that can be fetched once its task has run.

    Args:
        names: the blob, the list or the record.
    """

    def __init__(self, names: Any) -> None:
        self._schema: Field | None = names if isinstance(names, Field) else None
        if isinstance(names, Field):
            names = names.field_blobs()
        self._is_scalar = type(names) not in (tuple, list)
        self.names: Any = [names] if self._is_scalar else names
        self._values: Any = None
        self._fetch_func: Callable[[Any], Any] | None = None

    def set(self, values: Any, _fetch_func: Callable[[Any], Any] | None = None) -> None:
        """Give it its values, one a name, and the function that fetches one."""
        require(
            len(values) == len(self.names), f"{len(values)} values were given for {len(self.names)} names."
        )
        self._values = values
        self._fetch_func = _fetch_func

    def get(self) -> Any:
        """The values, in the form of what the output was made from.

        Raises:
            MisuseError: its task has not run.
        """
        require(self._values is not None, f"output {self._text()} has no value yet: run its task first.")
        return self._shaped(self._values)

    def fetch(self) -> Any:
        """What is in the blobs, in the form of what the output was made from.

        Raises:
            MisuseError: its task has not run in a session.
        """
        fetch = self._fetch_func
        require(
            fetch is not None, f"output {self._text()} cannot be fetched: run its task in a session first."
        )
        return self._shaped([fetch(value) for value in self._values]) if fetch else None

    def _shaped(self, values: Any) -> Any:
        if self._is_scalar:
            return values[0]
        return from_blob_list(self._schema, values) if self._schema else values

    def _text(self) -> str:
        return ", ".join(f"'{name}'" for name in self.names) or "without blobs"

    def __repr__(self) -> str:
        return f"TaskOutput(names={self.names}, values={self._values})"


class TaskOutputList:
    """The outputs of a task."""

    def __init__(self, outputs: list[TaskOutput] | None = None) -> None:
        self.outputs = outputs or []

    def names(self) -> list[Any]:
        """The names in all of them, one after the other."""
        return [name for output in self.outputs for name in output.names]

    def set_values(self, values: Any, _fetch_func: Callable[[Any], Any] | None = None) -> None:
        """Give all of them their values, in the order of `names`."""
        wanted = len(self.names())
        require(len(values) == wanted, f"{len(values)} values were given for {wanted} output blobs.")
        at = 0
        for output in self.outputs:
            output.set(values[at : at + len(output.names)], _fetch_func)
            at += len(output.names)

    def __repr__(self) -> str:
        return f"TaskOutputList(outputs={self.outputs})"
