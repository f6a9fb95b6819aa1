"""``IPython.display`` where IPython is not installed: values show themselves, pictures are saved."""

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


def modules(show: Callable[[Any], bool]) -> dict[str, ModuleType]:
    """IPython and IPython.display.

    Args:
        show: shows a picture and says True, or says False.
    """

    def display(*values: Any, **ignored: Any) -> None:
        for value in values:
            if not show(value):
                print(value if isinstance(value, str) else pprint.pformat(value, sort_dicts=False))

    package, module = ModuleType("IPython"), ModuleType("IPython.display")
    package.__path__ = []
    contents = dict.fromkeys(
        ["HTML", "Markdown", "Latex", "Math", "Javascript", "SVG", "Pretty", "JSON"], _Text
    )
    vars(module).update(contents, Image=_Image, display=display, clear_output=lambda *args, **keywords: None)
    vars(package).update(
        display=module, get_ipython=lambda: None, version_info=(9, 0, 0), __version__="9.0.0"
    )  # matplotlib asks for the version
    return {"IPython": package, "IPython.display": module}
