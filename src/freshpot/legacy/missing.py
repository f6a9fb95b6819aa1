"""Packages that a program imports and this machine lacks: named together, with the command that installs them."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable

__all__ = ["hint", "missing"]

#: what is imported -> what is installed, of the packages that programs of that time use
_PACKAGES = {
    **{
        name: name
        for name in ("bokeh", "flask", "gensim", "imageio", "ipywidgets", "joblib", "moviepy", "networkx")
    },
    **{
        name: name
        for name in ("nltk", "onnx", "pandas", "plotly", "pydot", "requests", "scipy", "seaborn", "tornado")
    },
    **{
        name: name
        for name in ("future", "matplotlib", "six", "tabulate", "tqdm", "wget", "easydict", "statsmodels")
    },
    "IPython": "ipython",
    "Image": "pillow",
    "PIL": "pillow",
    "cv2": "opencv-python",
    "leveldb": "plyvel",
    "pycocotools": "pycocotools",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def hint(name: str | None) -> str:
    """What to do about a module that is not there; empty if it is no package known here."""
    package = _PACKAGES.get((name or "").partition(".")[0])
    return f"; install it: pip install {package}" if package else ""


def missing(trees: Iterable[ast.Module | None]) -> str:
    """A sentence on all the known packages that a program imports and that cannot be found; empty if there are none.

    An import within ``try`` does not count: the program has another way.
    """
    roots: dict[str, None] = {}
    for tree in trees:
        tried = {
            id(n) for t in ast.walk(tree or ast.Module([], [])) if isinstance(t, ast.Try) for n in ast.walk(t)
        }
        for node in ast.walk(tree or ast.Module([], [])):
            if id(node) in tried:
                continue
            if isinstance(node, ast.Import):
                roots.update(dict.fromkeys(alias.name.partition(".")[0] for alias in node.names))
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots[node.module.partition(".")[0]] = None
    wanted = [name for name in roots if name in _PACKAGES and not _is_there(name)]
    if not wanted:
        return ""
    packages = dict.fromkeys(_PACKAGES[name] for name in wanted)
    return f"not installed: {', '.join(wanted)}. To have them: pip install {' '.join(packages)}"


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a module without a spec is there
        return True
