"""PaddlePaddle 2.0's API on PyTorch's tensors. ``install()`` binds it to the name ``paddle``."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from freshpot.errors import NotSupportedError
from freshpot.paddle import (
    amp,
    autograd,
    compat,
    dataset,
    device,
    distributed,
    distribution,
    fluid,
    framework,
    io,
    jit,
    linalg,
    metric,
    nn,
    onnx,
    optimizer,
    reader,
    regularizer,
    static,
    sysconfig,
    tensor,
    text,
    utils,
    version,
    vision,
)
from freshpot.paddle._files import load, save
from freshpot.paddle._missing import missing
from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle._print import set_printoptions
from freshpot.paddle._state import (
    DTYPES,
    CPUPlace,
    CUDAPinnedPlace,
    CUDAPlace,
    DType,
    finfo,
    get_default_dtype,
    get_device,
    get_flags,
    get_rng_state,
    iinfo,
    is_compiled_with_cuda,
    set_default_dtype,
    set_device,
    set_flags,
    set_rng_state,
)
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.autograd import enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled
from freshpot.paddle.device import (
    get_cudnn_version,
    is_compiled_with_cinn,
    is_compiled_with_distribute,
    is_compiled_with_rocm,
    is_compiled_with_xpu,
)
from freshpot.paddle.distributed import DataParallel
from freshpot.paddle.hapi import callbacks
from freshpot.paddle.hapi.flops import flops
from freshpot.paddle.hapi.model import Model
from freshpot.paddle.hapi.summary import summary
from freshpot.paddle.io import DataLoader
from freshpot.paddle.io.reader import batch
from freshpot.paddle.jit._translated import layer
from freshpot.paddle.nn.layer import create_parameter
from freshpot.paddle.tensor import *  # noqa: F403

#: the version whose behaviour and printed formats these are
__version__ = version.full_version

__all__ = [
    *tensor.__all__, "CPUPlace", "CUDAPinnedPlace", "CUDAPlace", "DataLoader", "DataParallel", "Model",
    "ParamAttr", "Tensor", "amp", "autograd", "batch", "callbacks", "compat", "create_parameter", "dataset",
    "device", "disable_static", "distributed", "distribution", "dtype", "enable_grad", "enable_static",
    "finfo", "flops", "fluid", "framework", "get_cuda_rng_state", "get_cudnn_version", "get_default_dtype",
    "get_device", "get_flags", "get_rng_state", "grad", "iinfo", "in_dynamic_mode", "install", "io",
    "is_compiled_with_cinn", "is_compiled_with_cuda", "is_compiled_with_distribute", "is_compiled_with_rocm",
    "is_compiled_with_xpu", "is_grad_enabled", "jit", "layer", "linalg", "load", "metric", "nn", "no_grad",
    "onnx", "optimizer", "reader", "regularizer", "save", "set_cuda_rng_state", "set_default_dtype",
    "set_device", "set_flags", "set_grad_enabled", "set_printoptions", "set_rng_state", "static", "summary",
    "sysconfig", "tensor", "text", "utils", "version", "vision",
]  # fmt: skip

get_cuda_rng_state, set_cuda_rng_state = get_rng_state, set_rng_state
dtype = DType
globals().update({name: dtype for name, dtype in DTYPES.items() if name != "bool"})
globals()["bool"] = DTYPES["bool"]


def disable_static(place: Any = None) -> None:
    """The dynamic mode, in which functions run at once. It is on at first."""
    static.program.disable()
    if place is not None:
        set_device("cpu" if place.is_cpu_place() else f"gpu:{place.device.index or 0}")


def enable_static() -> None:
    """The static mode: functions of what :func:`freshpot.paddle.static.data` gives are written down in a program."""
    static.program.enable()


def in_dynamic_mode() -> Any:
    """True, unless the static mode is on."""
    return not static.program.is_static()


#: modules of the original whose names lie in a module of freshpot's
_ALIASES = {
    **{f"tensor.{name}": tensor for name in tensor.ALIASES},
    **{f"vision.transforms.{name}": vision.transforms for name in vision.transforms.ALIASES},
}


def install(force: Any = False) -> None:
    """Bind the names ``paddle``, ``paddle.nn`` … to this module, unless a real Paddle is there (and not ``force``).

    Raises:
        NotSupportedError: a real Paddle is installed or imported; say ``force=True`` to hide it.
    """
    own, known = sys.modules[__name__], sys.modules.get("paddle")
    spec = None if known is not None else importlib.util.find_spec("paddle")
    real = known is not None or (spec is not None and spec.origin is not None)  # a mere folder has no origin
    if known is not own and real and not force:
        raise NotSupportedError(
            "a real paddle is installed; say install(force=True) to use freshpot's in its place"
        )
    for name, module in list(sys.modules.items()):
        if (name == __name__ or name.startswith(__name__ + ".")) and "._" not in name:
            sys.modules["paddle" + name.removeprefix(__name__)] = module
    sys.modules["paddle.callbacks"] = callbacks
    for place, module in _ALIASES.items():
        sys.modules[f"paddle.{place}"] = module


def __getattr__(name: str) -> Any:
    raise missing("", name, __all__)
