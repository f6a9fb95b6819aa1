"""``paddle.dataset``: data as readers, as in 1.x. MNIST only."""

from typing import Any

from freshpot.errors import NotSupportedError
from freshpot.paddle.dataset import mnist

__all__ = ["mnist"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotSupportedError(f"paddle.dataset.{name}: only mnist is done here; see paddle.vision.datasets")
