"""`CNNModelHelper`: the older class whose methods are the `brew` helpers. Source: caffe2/python/cnn.py."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python.model_helper import ModelHelper
from freshpot.errors import ArgumentError

brew: Any = importlib.import_module("caffe2.python.brew")  # its helpers are found at run time

#: Method -> helper and the settings of the model that the method hands on.
_CONV = ("use_cudnn", "order", "cudnn_exhaustive_search", "ws_nbytes_limit")
_LAYERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "VideoInput": ("video_input", ()),
    "ConvNd": ("conv_nd", _CONV),
    "Conv": ("conv", _CONV),
    "ConvTranspose": ("conv_transpose", _CONV),
    "GroupConv": ("group_conv", _CONV),
    "GroupConv_Deprecated": ("group_conv_deprecated", _CONV),
    "FC": ("fc", ()),
    "PackedFC": ("packed_fc", ()),
    "FC_Prune": ("fc_prune", ()),
    "FC_Decomp": ("fc_decomp", ()),
    "FC_Sparse": ("fc_sparse", ()),
    "ImageInput": ("image_input", ("order",)),
    "Dropout": ("dropout", ("order", "use_cudnn")),
    "LRN": ("lrn", ("order", "use_cudnn")),
    "Softmax": ("softmax", ("use_cudnn",)),
    "SpatialBN": ("spatial_bn", ("order",)),
    "SpatialGN": ("spatial_gn", ("order",)),
    "InstanceNorm": ("instance_norm", ("order",)),
    "Relu": ("relu", ("order", "use_cudnn")),
    "PRelu": ("prelu", ()),
    "Concat": ("concat", ("order",)),
    "DepthConcat": ("concat", ("order",)),
    "Sum": ("sum", ()),
    "Transpose": ("transpose", ("use_cudnn",)),
    "Iter": ("iter", ()),
    "Accuracy": ("accuracy", ()),
    "MaxPool": ("max_pool", ("use_cudnn", "order")),
    "MaxPoolWithIndex": ("max_pool_with_index", ("order",)),
    "AveragePool": ("average_pool", ("use_cudnn", "order")),
    "AddWeightDecay": ("add_weight_decay", ()),
}


class CNNModelHelper(ModelHelper):
    """A model whose methods ``Conv``, ``FC``, ``MaxPool`` … make layers with parameters.

    Args:
        order: NCHW or NHWC.
        name: name of the net, ``CNN`` if not given.
        use_cudnn, cudnn_exhaustive_search, ws_nbytes_limit: defaults of the convolutions.
        init_params, skip_sparse_optim, param_model: as for `ModelHelper`.
    """

    def __init__(
        self,
        order: str = "NCHW",
        name: str | None = None,
        use_cudnn: bool = True,
        cudnn_exhaustive_search: bool = False,
        ws_nbytes_limit: int | None = None,
        init_params: bool = True,
        skip_sparse_optim: bool = False,
        param_model: ModelHelper | None = None,
    ) -> None:
        if order not in ("NHWC", "NCHW"):
            raise ArgumentError(f"order must be NCHW or NHWC; got '{order}'.")
        settings = {
            "order": order,
            "use_cudnn": use_cudnn,
            "cudnn_exhaustive_search": cudnn_exhaustive_search,
            **({"ws_nbytes_limit": ws_nbytes_limit} if ws_nbytes_limit else {}),
        }
        super().__init__(
            name="CNN" if name is None else name,
            init_params=init_params,
            skip_sparse_optim=skip_sparse_optim,
            param_model=param_model,
            arg_scope=settings,
        )
        warnings.warn("CNNModelHelper is the old way: use ModelHelper with brew.", stacklevel=2)
        self.order = order
        self.use_cudnn = use_cudnn
        self.cudnn_exhaustive_search = cudnn_exhaustive_search
        self.ws_nbytes_limit = ws_nbytes_limit

    def __getattr__(self, op_type: str) -> Any:
        return _layer(self, op_type) if op_type in _LAYERS else super().__getattr__(op_type)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_LAYERS})

    @property
    def XavierInit(self) -> tuple[str, dict[str, Any]]:
        """Fill by `XavierFill`."""
        return ("XavierFill", {})

    @property
    def MSRAInit(self) -> tuple[str, dict[str, Any]]:
        """Fill by `MSRAFill`."""
        return ("MSRAFill", {})

    @property
    def ZeroInit(self) -> tuple[str, dict[str, Any]]:
        """Fill with zeros."""
        return ("ConstantFill", {})

    def ConstantInit(self, value: float) -> tuple[str, dict[str, Any]]:
        """Fill with one value."""
        return ("ConstantFill", {"value": value})

    @property
    def CPU(self) -> Any:
        """Device option of the CPU."""
        return caffe2_pb2.DeviceOption(device_type=caffe2_pb2.CPU)

    @property
    def GPU(self) -> Any:
        """Device option of the first GPU."""
        return caffe2_pb2.DeviceOption(device_type=caffe2_pb2.CUDA, device_id=0)


def _layer(model: CNNModelHelper, name: str) -> Callable[..., Any]:
    helper, settings = _LAYERS[name]

    def method(*args: Any, **kwargs: Any) -> Any:
        handed_on = {setting: getattr(model, setting) for setting in settings}
        return getattr(brew, helper)(model, *args, **handed_on, **kwargs)

    method.__name__ = name
    return method
