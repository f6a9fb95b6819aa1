"""``paddle.utils``: the names of parts, versions, a check that all works, weights where the original keeps them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from freshpot.errors import ArgumentError, DataError, NotSupportedError
from freshpot.paddle import version
from freshpot.paddle._missing import missing
from freshpot.paddle.nn import layer

__all__ = ["deprecated", "download", "require_version", "run_check", "try_import", "unique_name"]


@contextlib.contextmanager
def _guard(new_generator: Any = None) -> Iterator[None]:
    before = layer.switch_names()
    try:
        yield
    finally:
        layer.switch_names(before)


#: ``generate(key)``: ``key_0``, ``key_1`` …; ``guard()``: within it, counting starts anew
unique_name = types.SimpleNamespace(
    generate=layer.unique_name, guard=_guard, switch=lambda new_generator=None: layer.switch_names()
)


def run_check() -> None:
    """A step of a small network on the device of now; prints that it works."""
    functional, creation = (
        importlib.import_module(f"freshpot.paddle.{name}") for name in ("nn.functional", "tensor")
    )
    print("Running verify PaddlePaddle program ... ")
    weight = creation.ones([2, 2])
    weight.stop_gradient = False
    functional.linear(creation.ones([1, 2]), weight).sum().backward()
    device = "GPU" if weight.place.is_gpu_place() else "CPU"
    if weight.grad.numpy().tolist() != [[1.0, 1.0], [1.0, 1.0]]:
        raise ArgumentError(
            f"run_check: the gradient on this {device} is wrong: {weight.grad.numpy().tolist()}"
        )
    print(f"PaddlePaddle works well on 1 {device}.")
    print("PaddlePaddle is installed successfully! Let's start deep learning with PaddlePaddle now.")


def require_version(min_version: str, max_version: str | None = None) -> None:
    """Nothing, if the version is between those.

    Raises:
        ArgumentError: it is not, or those are no versions.
    """
    own = [int(part) for part in (version.major, version.minor, version.patch, version.rc)]
    if own < _numbers(min_version) or (max_version is not None and own > _numbers(max_version)):
        wanted = min_version if max_version is None else f"{min_version} to {max_version}"
        raise ArgumentError(f"require_version: {wanted} is wanted, this is {version.full_version}")


def _numbers(text: Any) -> list[int]:
    if not isinstance(text, str) or not re.fullmatch(r"\d+(\.\d+){0,3}", text):
        raise ArgumentError(f"require_version: {text!r} is no version such as '2.0.0'")
    numbers = [int(part) for part in text.split(".")]
    return numbers + [0] * (4 - len(numbers))


def try_import(module_name: str, err_msg: str | None = None) -> types.ModuleType:
    """A module.

    Raises:
        NotSupportedError: it is not installed; says what to install.
    """
    try:
        return importlib.import_module(module_name)
    except ImportError as error:
        install = "opencv-python" if module_name == "cv2" else module_name.partition(".")[0]
        raise NotSupportedError(
            err_msg or f"{module_name} is not installed: pip install {install}"
        ) from error


def deprecated(
    update_to: str = "", since: str = "", reason: str = "", level: int = 0
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator of functions that warn when they are called (``level`` 1), or refuse (2); with 0, only marks them."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        text = f'API "{function.__module__}.{function.__name__}" is deprecated'
        text += (f" since {since}" if since else "") + ", and will be removed in future versions."
        text += f' Please use "{update_to}" instead.' if update_to else ""
        text += f"\nreason: {reason}" if reason else ""

        @functools.wraps(function)
        def call(*args: Any, **keywords: Any) -> Any:
            if level == 2:
                raise NotSupportedError(text)
            if level == 1:
                warnings.warn(text, DeprecationWarning, stacklevel=2)
            return function(*args, **keywords)

        return call if level else function

    return mark


def _weights(url: str, md5sum: str | None = None) -> str:
    """The path of a file of weights where the original keeps what it fetched.

    Raises:
        DataError: it is not there; nothing is downloaded.
    """
    path = Path("~/.cache/paddle/hapi/weights").expanduser() / url.rpartition("/")[2]
    if not path.is_file():
        raise DataError(f"{path} is not there, and is not downloaded; put it there")
    return str(path)


#: ``get_weights_path_from_url(url)``: where the original keeps what it fetched from there
download = types.SimpleNamespace(get_weights_path_from_url=_weights)


def __getattr__(name: str) -> Any:
    raise missing("utils", name, __all__)
