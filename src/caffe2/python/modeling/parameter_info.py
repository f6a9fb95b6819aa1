"""What a model knows about one parameter. Source: caffe2/python/modeling/parameter_info.py."""

from __future__ import annotations

import math
from typing import Any

from caffe2.python import core


class ParameterTags:
    """Words that a parameter can be marked with when it is created."""

    BIAS = "BIAS"
    WEIGHT = "WEIGHT"
    COMPUTED_PARAM = "COMPUTED_PARAM"


class ParameterInfo:
    """One parameter: its blob, shape, gradient, copies of other precision, and its own optimizer.

    ``blob_copy`` maps element types (``core.DataType.FLOAT`` …) to blobs with the same values.
    Raises TypeError if ``param`` is not a BlobReference.
    """

    def __init__(
        self,
        param_id: int | None,
        param: core.BlobReference,
        key: Any = None,
        shape: list[int] | None = None,
        length: int | None = None,
        grad: Any = None,
        blob_copy: dict[int, core.BlobReference] | None = None,
    ) -> None:
        if not isinstance(param, core.BlobReference):
            raise TypeError(f"a parameter must be a BlobReference; got {type(param).__name__} '{param}'.")
        self.param_id = param_id
        self.name = str(param)
        self.blob = param
        self.key = key
        self.shape = shape
        self.size = None if shape is None else math.prod(shape)
        self.length = max(1, length or 1)
        self.grad = grad
        self.blob_copy = blob_copy
        self.regularizer: Any = None
        self._optimizer: Any = None

    @property
    def parameter(self) -> core.BlobReference:
        """The parameter's blob."""
        return self.blob

    @property
    def optimizer(self) -> Any:
        """The optimizer of this parameter alone, or None: then the model's optimizer updates it."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, value: Any) -> None:
        if self._optimizer is not None:
            raise ValueError(f"parameter '{self.name}' has an optimizer already: {self._optimizer!r}.")
        self._optimizer = value

    def __str__(self) -> str:
        return self.name
