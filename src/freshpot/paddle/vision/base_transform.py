"""BaseTransform: what every change of pictures is made of."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError

__all__ = ["BaseTransform"]


class BaseTransform:
    """Base class: a subclass defines ``_apply_image``, and ``_apply_<key>`` for the other ``keys`` of its inputs.

    ``_get_params(inputs)`` is called first; what it gives is ``self.params``.

    Raises:
        ArgumentError: a key without its method.
    """

    def __init__(self, keys: Any = None) -> None:
        self.keys: tuple[str, ...] = ("image",) if keys is None else tuple(keys)
        self.params: Any = None
        for key in self.keys:
            if not hasattr(self, f"_apply_{key}"):
                raise ArgumentError(
                    f"{type(self).__name__} does not change '{key}': it has no _apply_{key}()"
                )

    def __call__(self, inputs: Any) -> Any:
        fields = inputs if isinstance(inputs, tuple) else (inputs,)
        self.params = self._get_params(fields)
        made = [getattr(self, f"_apply_{key}")(field) for key, field in zip(self.keys, fields, strict=False)]
        made += fields[len(self.keys) :]
        return made[0] if len(made) == 1 else tuple(made)

    def _get_params(self, inputs: Any) -> Any:
        return None

    def _apply_image(self, image: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define _apply_image()")
