"""What matplotlib had in the time of the programs and has no more, while a program runs.

``hold``, ``axisbg``, ``hist(normed=)``, ``gca(projection=)``, ``'off'`` for False, the colours ``spectral`` and
``mlab.normpdf``; what today's matplotlib still has keeps its meaning. Owned here: these names. Who calls it:
`surroundings`, for programs that speak of matplotlib or pylab.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["served"]

#: colour maps under the names that they had
_COLOURS = {
    "spectral": "nipy_spectral",
    "spectral_r": "nipy_spectral_r",
    "Vega10": "tab10",
    "Vega20": "tab20",
}


@contextlib.contextmanager
def served() -> Iterator[None]:
    """Put the old names there for a time."""
    import matplotlib
    from matplotlib import axes, figure, mlab, pyplot

    library: Any = matplotlib
    added = [name for name in _COLOURS if name not in library.colormaps]
    for name in added:
        library.colormaps.register(library.colormaps[_COLOURS[name]], name=name)
    names: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
        *((library.cm, name, functools.partial(_colour, name)) for name in _COLOURS),
        (pyplot, "spectral", lambda _: lambda: pyplot.set_cmap("nipy_spectral")),
        (mlab, "normpdf", lambda _: _normal),
        *((owner, name, lambda _: _hold) for owner in (pyplot, axes.Axes) for name in ("hold", "ishold")),
        (axes.Axes, "set_axis_bgcolor", lambda _: axes.Axes.set_facecolor),
        (axes.Axes, "get_axis_bgcolor", lambda _: axes.Axes.get_facecolor),
    )
    with contextlib.ExitStack() as stack:
        for owner, name, make in names:
            if not hasattr(owner, name):
                stack.enter_context(_changed(owner, name, make))
        for name in ("add_subplot", "add_axes"):
            stack.enter_context(_changed(figure.Figure, name, _renamed("axisbg", "facecolor")))
        stack.enter_context(_changed(axes.Axes, "hist", _renamed("normed", "density")))
        stack.enter_context(_changed(axes.Axes, "tick_params", _with_words))
        stack.enter_context(_changed(axes.Axes, "grid", _with_words))
        stack.enter_context(_changed(figure.Figure, "gca", _with_projection))
        try:
            yield
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for name in added:
                    library.colormaps.unregister(name)


@contextlib.contextmanager
def _changed(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """``owner.name`` is what ``make`` makes of it, for a time."""
    there = name in vars(owner)
    before = getattr(owner, name, None)
    setattr(owner, name, make(before))
    try:
        yield
    finally:
        if there:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def _colour(name: str, _: Any) -> Any:
    import matplotlib

    library: Any = matplotlib
    return library.colormaps[_COLOURS[name]]


def _hold(*state: Any) -> bool:
    """Axes keep what was drawn: there is no other way any more."""
    return True


def _normal(x: Any, mu: float = 0, sigma: float = 1) -> Any:
    """The density of a normal distribution."""
    return np.exp(-0.5 * ((np.asarray(x) - mu) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def _renamed(old: str, new: str) -> Callable[[Any], Any]:
    """A method that takes a keyword under the name that it had."""

    def make(method: Any) -> Any:
        @functools.wraps(method)
        def call(*args: Any, **keywords: Any) -> Any:
            if old in keywords:
                keywords[new] = keywords.pop(old)
            return method(*args, **keywords)

        return call

    return make


def _with_words(method: Any) -> Any:
    """A method that takes ``'on'`` and ``'off'`` for True and False."""
    words = {"on": True, "off": False}

    @functools.wraps(method)
    def call(self: Any, *args: Any, **keywords: Any) -> Any:
        def plain(value: Any) -> Any:
            return words.get(value, value) if isinstance(value, str) else value

        return method(self, *map(plain, args), **{name: plain(value) for name, value in keywords.items()})

    return call


def _with_projection(method: Any) -> Any:
    """``figure.gca(projection='3d')``: axes of that kind, made now."""

    @functools.wraps(method)
    def call(self: Any, **keywords: Any) -> Any:
        return self.add_subplot(**keywords) if keywords else method(self)

    return call
