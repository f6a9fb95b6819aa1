"""Pictures of a graph: by Graphviz where it is installed, else by freshpot's own layout, which is said once."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from collections.abc import Sequence

from freshpot.errors import DataError, NotSupportedError
from freshpot.viz.dot import Dot
from freshpot.viz.raster import scene_to_image
from freshpot.viz.scene import make_scene
from freshpot.viz.svg import scene_to_svg

__all__ = ["OWN_FORMATS", "render", "render_own"]

OWN_FORMATS = ("png", "svg", "svgz", "pdf", "jpg", "jpeg", "gif")
GRAPHVIZ_SECONDS = 120.0
_said = False


def render(graph: Dot, format: str, prog: str | Sequence[str] = "dot") -> bytes:
    """The picture of ``graph``.

    Args:
        graph: what to draw.
        format: any of Graphviz's, or :data:`OWN_FORMATS` without it.
        prog: Graphviz program, or a list of it and its arguments.

    Raises:
        NotSupportedError: a format that needs Graphviz, which is not installed.
        DataError: Graphviz refused the graph or took longer than two minutes.
    """
    command = [prog] if isinstance(prog, str) else list(prog)
    found = shutil.which(command[0])
    if found:
        return _run([found, *command[1:], f"-T{format}"], graph)
    _say_once(command[0])
    return render_own(graph, format)


def render_own(graph: Dot, format: str) -> bytes:
    """The picture by freshpot's own layout, whether Graphviz is there or not.

    Raises:
        NotSupportedError: a format that is not in :data:`OWN_FORMATS`.
    """
    if format not in OWN_FORMATS:
        raise NotSupportedError(
            f"drawing a graph as '{format}' needs Graphviz, which is not installed; without it freshpot "
            f"draws {', '.join(OWN_FORMATS)}"
        )
    scene = make_scene(graph)
    if format == "svg":
        return scene_to_svg(scene).encode()
    if format == "svgz":
        return gzip.compress(scene_to_svg(scene).encode(), mtime=0)
    return scene_to_image(scene, format)


def _run(command: list[str], graph: Dot) -> bytes:
    """Graphviz's output for the graph's text; no shell is involved."""
    try:
        done = subprocess.run(
            command,
            input=graph.to_string().encode(),
            capture_output=True,
            timeout=GRAPHVIZ_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"Graphviz took longer than {GRAPHVIZ_SECONDS:g} s to draw '{graph.name}'") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[:500]
        raise DataError(f"Graphviz ({' '.join(command)}) could not draw '{graph.name}': {words}")
    return done.stdout


def _say_once(program: str) -> None:
    global _said
    if not _said:
        _said = True
        print(
            f"freshpot: Graphviz ('{program}') is not installed; drawing graphs without it", file=sys.stderr
        )
