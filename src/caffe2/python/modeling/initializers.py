"""How a parameter gets its first value. Source: caffe2/python/modeling/initializers.py."""

from __future__ import annotations

from typing import Any

from caffe2.python.core import BlobReference, DataType, ScopedBlobReference
from caffe2.python.modeling.parameter_info import ParameterInfo

#: A fill operator's name and its arguments.
FillSpec = tuple[str, dict[str, Any]]


class Initializer:
    """Fills the parameter with one operator, for instance ``Initializer("ConstantFill", value=1.0)``."""

    def __init__(self, operator_name: str | None = None, **kwargs: Any) -> None:
        self.operator_name = operator_name
        self.operator_kwargs = kwargs

    def update(self, operator_name: str, kwargs: dict[str, Any]) -> None:
        """Name the operator, if none was named yet."""
        if self.operator_name is not None:
            raise ValueError(f"the initializer fills with {self.operator_name} already, not {operator_name}.")
        self.operator_name = operator_name
        self.operator_kwargs = kwargs

    def create_param(self, param_name: Any, init_net: Any, shape: list[int]) -> ParameterInfo:
        """Add the fill to ``init_net``; returns the new parameter."""
        return ParameterInfo(None, self._fill(init_net, param_name, shape), shape=shape)

    def _fill(self, init_net: Any, name: Any, shape: list[int]) -> BlobReference:
        if self.operator_name is None:
            raise ValueError(f"parameter '{name}': the initializer names no fill operator.")
        return getattr(init_net, self.operator_name)([], name, shape=shape, **self.operator_kwargs)


class ExternalInitializer:
    """Fills nothing: whoever runs the net provides the parameter in the workspace."""

    def create_param(self, param_name: Any, init_net: Any, shape: list[int]) -> ParameterInfo:
        """A parameter that refers to a blob made elsewhere."""
        if isinstance(param_name, BlobReference):
            param = BlobReference(str(param_name), init_net)
        elif isinstance(param_name, str):
            param = ScopedBlobReference(param_name, init_net)
        else:
            raise TypeError(
                f"a parameter's name must be str or BlobReference; got {type(param_name).__name__}."
            )
        return ParameterInfo(None, param, shape=shape)


class PseudoFP16Initializer(Initializer):
    """A half precision parameter whose single precision master ``NAME_fp32`` the optimizer updates.

    Source: Micikevicius et al., Mixed Precision Training, arXiv:1710.03740.
    """

    def create_param(self, param_name: Any, init_net: Any, shape: list[int]) -> ParameterInfo:
        """Fill the master, and make the parameter from it."""
        master = self._fill(init_net, param_name + "_fp32", shape)
        param = init_net.FloatToHalf(master, param_name)
        return ParameterInfo(None, param, shape=shape, blob_copy={DataType.FLOAT: master})


class ReversePseudoFP16Initializer(Initializer):
    """A single precision parameter with a half precision copy ``NAME_fp16``."""

    def create_param(self, param_name: Any, init_net: Any, shape: list[int]) -> ParameterInfo:
        """Fill the parameter, and make the copy from it."""
        param = self._fill(init_net, param_name, shape)
        half = init_net.FloatToHalf(param, param_name + "_fp16")
        return ParameterInfo(None, param, shape=shape, blob_copy={DataType.FLOAT16: half})


def update_initializer(
    initializer_class: type[Initializer] | None,
    operator_name_and_kwargs: FillSpec | None,
    default_operator_name_and_kwargs: FillSpec,
) -> Initializer:
    """An initializer of the given class (`Initializer` if None) that fills as asked, or else by default."""
    operator_name, kwargs = (operator_name_and_kwargs or default_operator_name_and_kwargs)[:2]
    return (initializer_class or Initializer)(operator_name, **kwargs)
