"""ParamAttr: what a layer's user says about a parameter."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError

__all__ = ["ParamAttr"]


class ParamAttr:
    """A parameter's name, beginning, learning-rate factor, decay, and whether it learns and is clipped."""

    def __init__(
        self,
        name: str | None = None,
        initializer: Any = None,
        learning_rate: float = 1.0,
        regularizer: Any = None,
        trainable: bool = True,
        do_model_average: bool = True,
        need_clip: bool = True,
    ) -> None:
        self.name = name
        self.initializer = initializer
        self.learning_rate = learning_rate
        self.regularizer = regularizer
        self.trainable = trainable
        self.do_model_average = do_model_average
        self.need_clip = need_clip

    @staticmethod
    def of(value: Any) -> ParamAttr | None:
        """From what layers accept: a ParamAttr, a name, an initialiser, a decay, None or True; False gives None.

        Raises:
            ArgumentError: something else.
        """
        if value is False:
            return None
        if value is None or value is True:
            return ParamAttr()
        if isinstance(value, ParamAttr):
            return value
        if isinstance(value, str):
            return ParamAttr(name=value)
        if hasattr(value, "fill"):
            return ParamAttr(initializer=value)
        if hasattr(value, "penalty"):
            return ParamAttr(regularizer=value)
        raise ArgumentError(
            f"a parameter's attribute must be a ParamAttr or False, got {type(value).__name__}"
        )
