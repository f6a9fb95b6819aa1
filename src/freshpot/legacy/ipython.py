"""``IPython.display`` where IPython is not installed: values show themselves, pictures are saved. And
``get_ipython()``, through which notebooks saved as scripts do their magics.
"""

from __future__ import annotations

import pprint
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["modules"]


class _Image:
    """A picture, by its bytes or a file's name."""

    def __init__(
        self, data: Any = None, url: str | None = None, filename: Any = None, **ignored: Any
    ) -> None:
        if isinstance(data, str | Path):
            data, filename = None, data
        self.url = url
        self.data = data if filename is None else Path(filename).read_bytes()

    def _repr_png_(self) -> bytes | None:
        return self.data

    def __repr__(self) -> str:
        return "<IPython.core.display.Image object>"


class _Text:
    """HTML, Markdown and their like: shown as they are written."""

    def __init__(self, data: Any = "", *args: Any, **ignored: Any) -> None:
        self.data = data

    def __repr__(self) -> str:
        return str(self.data)


class _Events:
    """Callbacks that a notebook would run around its cells: none is run."""

    def register(self, *args: Any) -> None: ...

    def unregister(self, *args: Any) -> None: ...


class Notebook:
    """What the program sees of the notebook it runs in.

    Args:
        show: shows a picture and says True, or says False.
        magic: does a magic, by name, rest of the line and the cell below it.
        command: does a shell line; ``capture=True``: returns its lines.
        names: the namespace of the program.
    """

    def __init__(
        self,
        show: Callable[[Any], bool],
        magic: Callable[..., Any],
        command: Callable[..., Any],
        names: dict[str, Any],
    ) -> None:
        self._show, self._magic, self._command = show, magic, command
        self.user_ns = names
        self.events = _Events()

    def get_ipython(self) -> Notebook:
        return self

    def magic(self, line: str) -> Any:
        """``%name rest``, with or without the sign."""
        name, _, rest = line.lstrip("%").partition(" ")
        return self._magic(name, rest.strip())

    def run_line_magic(self, name: str, line: str = "", *args: Any) -> Any:
        return self._magic(name, line)

    def run_cell_magic(self, name: str, line: str, cell: str) -> Any:
        return self._magic(name, line, cell)

    def system(self, command: str) -> None:
        self._command(command)

    def getoutput(self, command: str, *args: Any, **ignored: Any) -> list[str]:
        return self._command(command, capture=True)

    system_raw = system_piped = system

    def display(self, *values: Any, **ignored: Any) -> None:
        """Show values, pictures as pictures."""
        for value in values:
            if not self._show(value):
                print(value if isinstance(value, str) else pprint.pformat(value, sort_dicts=False))


def modules(notebook: Notebook) -> dict[str, ModuleType]:
    """IPython and IPython.display."""
    package, module = ModuleType("IPython"), ModuleType("IPython.display")
    package.__path__ = []
    contents = dict.fromkeys(
        ["HTML", "Markdown", "Latex", "Math", "Javascript", "SVG", "Pretty", "JSON"], _Text
    )
    vars(module).update(
        contents, Image=_Image, display=notebook.display, clear_output=lambda *args, **keywords: None
    )
    vars(package).update(
        display=module, get_ipython=notebook.get_ipython, version_info=(9, 0, 0), __version__="9.0.0"
    )  # matplotlib asks for the version
    return {"IPython": package, "IPython.display": module}
