"""Whether data sets give PIL's pictures or arrays, where they are not told; shared by the data sets."""

from __future__ import annotations

from freshpot.errors import ArgumentError

__all__ = ["get_image_backend", "set_image_backend"]

_KNOWN = ("pil", "cv2")
_backend: str = "pil"


def set_image_backend(backend: str) -> None:
    """Choose "pil" or "cv2".

    Raises:
        ArgumentError: something else.
    """
    global _backend
    if backend not in _KNOWN:
        raise ArgumentError(f"set_image_backend: {backend!r}; choose 'pil' or 'cv2'")
    _backend = backend


def get_image_backend() -> str:
    """Give "pil", unless set otherwise."""
    return _backend


def chosen_backend(who: str, backend: str | None) -> str:
    """The backend that ``who`` was told, or else the one that is set.

    Raises:
        ArgumentError: it is neither "pil" nor "cv2".
    """
    chosen = _backend if backend is None else backend
    if chosen not in _KNOWN:
        raise ArgumentError(f"{who}: backend {chosen!r}; choose 'pil' or 'cv2'")
    return chosen
