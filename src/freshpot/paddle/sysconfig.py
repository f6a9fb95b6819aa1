"""``paddle.sysconfig``: the folders of the original's headers and libraries, which freshpot does not have."""

from __future__ import annotations

from typing import NoReturn

from freshpot.errors import NotSupportedError

__all__ = ["get_include", "get_lib"]


def get_include() -> NoReturn:
    """Raises:
    NotSupportedError: there are no headers here: operators in C++ are not built.
    """
    raise NotSupportedError("paddle.sysconfig: freshpot has no C++ headers and libraries of Paddle's")


get_lib = get_include
