"""``paddle.amp``: mixed precision. As in the original it has no effect on a CPU, which a warning says; on a GPU the
casts are PyTorch's autocast's."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle._missing import missing
from freshpot.paddle._state import current_device, to_dtype
from freshpot.paddle._tensor import Tensor

__all__ = [
    "AmpScaler",
    "GradScaler",
    "auto_cast",
    "decorate",
    "is_bfloat16_supported",
    "is_float16_supported",
]

_LEVELS = ("O0", "OD", "O1", "O2")


def _on_gpu() -> bool:
    return current_device().type == "cuda"


def _check(level: str, dtype: str) -> None:
    if level not in _LEVELS:
        raise ArgumentError(f"amp: level {level!r}; choose {', '.join(_LEVELS)}")
    if dtype not in ("float16", "bfloat16"):
        raise ArgumentError(f"amp: dtype {dtype!r}; choose 'float16' or 'bfloat16'")


@contextlib.contextmanager
def auto_cast(
    enable: bool = True,
    custom_white_list: Any = None,
    custom_black_list: Any = None,
    level: str = "O1",
    dtype: str = "float16",
    use_promote: bool = True,
) -> Iterator[None]:
    """Within it, products and convolutions compute in half precision on a GPU. No effect on a CPU.

    Raises:
        ArgumentError: an unknown level or type.
        NotSupportedError: lists of one's own, on a GPU.
    """
    _check(level, dtype)
    if not enable or level == "O0":
        yield
    elif not _on_gpu():
        warnings.warn("amp.auto_cast has no effect on a CPU", stacklevel=3)
        yield
    elif custom_white_list or custom_black_list:
        raise NotSupportedError("amp.auto_cast: lists of one's own are not done here")
    else:
        with torch.autocast("cuda", to_dtype(dtype)):
            yield


amp_guard = auto_cast


def decorate(
    models: Any,
    optimizers: Any = None,
    level: str = "O1",
    dtype: str = "float16",
    master_weight: bool | None = None,
    save_dtype: str | None = None,
    master_grad: bool = False,
    excluded_layers: Any = None,
) -> Any:
    """The networks (and optimizers) as they are: on a CPU, and at level O1, the original changes nothing either.

    Raises:
        NotSupportedError: level O2 on a GPU: parameters in half precision with copies in float32.
    """
    _check(level, dtype)
    if level == "O2" and _on_gpu():
        raise NotSupportedError("amp.decorate: level O2 on a GPU is not done here; use O1")
    return models if optimizers is None else (models, optimizers)


def is_float16_supported(device: Any = None) -> bool:
    """Whether the device computes in float16: GPUs do."""
    return _on_gpu()


def is_bfloat16_supported(device: Any = None) -> bool:
    """Whether the device computes in bfloat16: CPUs do, and GPUs of compute capability 8 and later."""
    return not _on_gpu() or torch.cuda.is_bf16_supported()


class AmpScaler:
    """Scales a loss so that small gradients survive float16, and takes the scale out before the step.

    A step whose gradients are not finite is left out; after ``decr_every_n_nan_or_inf`` of them the scale is multiplied
    by ``decr_ratio``, after ``incr_every_n_steps`` good ones by ``incr_ratio``. No effect on a CPU.

    Raises:
        ArgumentError: ratios on the wrong side of 1.
    """

    def __init__(
        self,
        enable: bool = True,
        init_loss_scaling: float = 2.0**15,
        incr_ratio: float = 2.0,
        decr_ratio: float = 0.5,
        incr_every_n_steps: int = 1000,
        decr_every_n_nan_or_inf: int = 2,
        use_dynamic_loss_scaling: bool = True,
    ) -> None:
        if enable and (incr_ratio <= 1.0 or not 0.0 < decr_ratio < 1.0):
            raise ArgumentError(
                f"GradScaler: incr_ratio {incr_ratio} must be over 1, decr_ratio {decr_ratio} below"
            )
        if enable and not _on_gpu():
            warnings.warn("amp.GradScaler has no effect on a CPU", stacklevel=2)
            enable = False
        self._enable = enable
        self._scale = float(init_loss_scaling) if enable else 1.0
        self._init = self._scale
        self._incr_ratio, self._decr_ratio = incr_ratio, decr_ratio
        self._incr_every, self._decr_every = incr_every_n_steps, decr_every_n_nan_or_inf
        self._dynamic = use_dynamic_loss_scaling
        self._good = self._bad = 0
        self._found_inf, self._unscaled = False, False

    def scale(self, var: Tensor) -> Tensor:
        """The loss times the scale."""
        return Tensor(var.data_ * self._scale) if self._enable else var

    def unscale_(self, optimizer: Any) -> None:
        """Take the scale out of the gradients now, for clipping them."""
        if not self._enable or self._unscaled:
            return
        grads = [p.data_.grad for p in optimizer._parameter_list if p.data_.grad is not None]
        for grad in grads:
            grad.div_(self._scale)
        self._found_inf = not all(bool(torch.isfinite(grad).all()) for grad in grads)
        self._unscaled = True

    def step(self, optimizer: Any) -> None:
        """The optimizer's step, unless a gradient is not finite."""
        self.unscale_(optimizer)
        if not (self._enable and self._found_inf):
            optimizer.step()

    def update(self) -> None:
        """Adjust the scale to what the last step found."""
        if not self._enable:
            return
        self._unscaled = False
        if not self._dynamic:
            return
        if self._found_inf:
            self._good, self._bad = 0, self._bad + 1
            if self._bad == self._decr_every:
                self._scale, self._bad = max(self._scale * self._decr_ratio, 1.0), 0
        else:
            self._good, self._bad = self._good + 1, 0
            if self._good == self._incr_every:
                self._scale, self._good = self._scale * self._incr_ratio, 0

    def minimize(self, optimizer: Any, *args: Any, **keywords: Any) -> None:
        """The step and the adjustment in one."""
        self.step(optimizer)
        self.update()

    # ---- what it is ----
    def is_enable(self) -> bool:
        """Whether it has an effect."""
        return self._enable

    def is_use_dynamic_loss_scaling(self) -> bool:
        """Whether the scale is adjusted."""
        return self._enable and self._dynamic

    def get_init_loss_scaling(self) -> float:
        """The first scale; 1 without effect."""
        return self._init

    def set_init_loss_scaling(self, new_init_loss_scaling: float) -> None:
        """Begin with another scale."""
        self._init = self._scale = float(new_init_loss_scaling)

    def get_incr_ratio(self) -> float:
        """What the scale grows by."""
        return self._incr_ratio

    def get_decr_ratio(self) -> float:
        """What the scale shrinks by."""
        return self._decr_ratio

    def state_dict(self) -> dict[str, Any]:
        """Scale, settings and counts; empty without effect."""
        if not self._enable:
            return {}
        return {
            "scale": self._scale, "incr_ratio": self._incr_ratio, "decr_ratio": self._decr_ratio,
            "incr_every_n_steps": self._incr_every, "decr_every_n_nan_or_inf": self._decr_every,
            "incr_count": self._good, "decr_count": self._bad, "use_dynamic_loss_scaling": self._dynamic,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave.

        Raises:
            ArgumentError: an empty state for a scaler that has an effect.
        """
        if not self._enable:
            return
        if not state_dict:
            raise ArgumentError("GradScaler: the state is empty: it is that of a scaler without effect")
        self._scale = float(state_dict["scale"])
        self._good, self._bad = int(state_dict["incr_count"]), int(state_dict["decr_count"])


class GradScaler(AmpScaler):
    """As :class:`AmpScaler`, beginning with 65536."""

    def __init__(
        self,
        enable: bool = True,
        init_loss_scaling: float = 2.0**16,
        incr_ratio: float = 2.0,
        decr_ratio: float = 0.5,
        incr_every_n_steps: int = 2000,
        decr_every_n_nan_or_inf: int = 1,
        use_dynamic_loss_scaling: bool = True,
    ) -> None:
        super().__init__(
            enable, init_loss_scaling, incr_ratio, decr_ratio, incr_every_n_steps, decr_every_n_nan_or_inf,
            use_dynamic_loss_scaling,
        )  # fmt: skip


def __getattr__(name: str) -> Any:
    raise missing("amp", name, __all__)
