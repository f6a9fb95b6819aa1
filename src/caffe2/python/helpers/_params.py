"""Parameters of layers, for helpers that name them outright (without parameter sharing)."""

from __future__ import annotations

from typing import Any

from caffe2.python import core
from caffe2.python.modeling.initializers import ExternalInitializer, FillSpec, update_initializer

XAVIER: FillSpec = ("XavierFill", {})
ZERO: FillSpec = ("ConstantFill", {})


def fill_or_refer(model: Any, name: str, fill: FillSpec, shape: list[int]) -> core.BlobReference:
    """A blob that the model's init net fills, or a reference to it if the model is not initialised here."""
    if not model.init_params:
        return core.ScopedBlobReference(name, model.param_init_net)
    operator, kwargs = fill
    return getattr(model.param_init_net, operator)([], name, shape=shape, **kwargs)


def initializer(model: Any, kind: Any, fill: FillSpec | None, default: FillSpec) -> Any:
    """How `model.create_param` shall fill a parameter; externally if the model is not initialised here."""
    return update_initializer(kind, fill, default) if model.init_params else ExternalInitializer()


def with_engine(kwargs: dict[str, Any], use_cudnn: bool) -> dict[str, Any]:
    """The arguments with the engine that ``use_cudnn`` stands for."""
    return {**kwargs, "engine": "CUDNN"} if use_cudnn else kwargs
