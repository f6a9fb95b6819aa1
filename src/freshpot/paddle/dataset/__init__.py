"""``paddle.dataset``: data as readers, as in 1.x; from the same files as :mod:`freshpot.paddle.text`'s."""

from typing import Any

from freshpot.errors import NotSupportedError
from freshpot.paddle.dataset import (
    cifar,
    conll05,
    imdb,
    imikolov,
    mnist,
    movielens,
    uci_housing,
    wmt14,
    wmt16,
)

__all__ = ["cifar", "conll05", "imdb", "imikolov", "mnist", "movielens", "uci_housing", "wmt14", "wmt16"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotSupportedError(f"paddle.dataset.{name}: done here are {', '.join(__all__)}")
