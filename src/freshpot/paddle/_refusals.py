"""What PyTorch's kernels refuse, in the door's own errors: the function that was called, and what it was given.

Called by ``lifted`` functions and Tensor's own methods (:mod:`freshpot.paddle._tensor`) when a kernel has raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import torch

from freshpot.errors import ArgumentError, DTypeError, FreshpotError, NotSupportedError

__all__ = ["KINDS", "OutOfRangeError", "refuse", "was_refused"]


class OutOfRangeError(ArgumentError, IndexError):
    """An index or an axis that is not there."""


#: errors of these very types are the kernels'; tracers raise types of their own, which are left alone
KINDS: dict[type[BaseException], type[FreshpotError]] = {
    RuntimeError: ArgumentError,
    ValueError: ArgumentError,
    torch.linalg.LinAlgError: ArgumentError,
    IndexError: OutOfRangeError,
    TypeError: DTypeError,
    NotImplementedError: NotSupportedError,
}


def refuse(name: str, args: Any, keywords: dict[str, Any], error: Exception) -> NoReturn:
    """Raise an error in place of a kernel's, or another's own error as it is.

    Raises:
        ArgumentError, OutOfRangeError, DTypeError: what the kernel refused.
    """
    kind = KINDS.get(type(error))
    if kind is None:
        raise error
    why = (str(error).strip().splitlines() or [type(error).__name__])[0]
    given = ", ".join([*_described(args), *(f"{key}={value}" for key, value in _named(keywords))])
    raise kind(f"{name}: {why}{'' if why.endswith('.') else '.'} Given: {given or 'nothing'}.") from error


def was_refused(error: BaseException) -> bool:
    """Whether an error stands for a kernel's."""
    return type(error.__cause__) in KINDS


def _described(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, torch.Tensor) or hasattr(value, "data_"):
            tensor = value if isinstance(value, torch.Tensor) else value.data_
            yield f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        elif isinstance(value, (list, tuple)):
            yield f"[{', '.join(_described(value[:4]))}{', …' if len(value) > 4 else ''}]"
        else:
            text = repr(value)
            yield text if len(text) <= 40 else f"{text[:37]}…"


def _named(keywords: dict[str, Any]) -> Iterator[tuple[str, str]]:
    return zip(keywords, _described(keywords.values()), strict=True)
