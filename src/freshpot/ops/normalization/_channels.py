"""Images with channels second or last. Who calls it: normalisation operators with an ``order``."""

from __future__ import annotations

from torch import Tensor

from freshpot.ops._operator import Operator


class ByChannel(Operator, abstract=True):
    """Base of operators that treat each channel of (N, C, …) or, with order NHWC, (N, …, C) by itself."""

    def channels_second(self, X: Tensor) -> Tensor:
        """X as (N, C, …), a view."""
        return X.movedim(-1, 1) if self.order == "NHWC" else X

    def in_order(self, Y: Tensor) -> Tensor:
        """(N, C, …) in the order the net asked for."""
        return Y.movedim(1, -1).contiguous() if self.order == "NHWC" else Y

    def channels(self, X: Tensor) -> int:
        """Number of channels of X; refuses what has none."""
        if X.dim() < 2:
            self.refuse(f"X must have batch and channels, got {tuple(X.shape)}.")
        return X.shape[1 if self.order == "NCHW" else -1]

    def check_channels(self, C: int, **values: Tensor) -> None:
        """Refuse what has not one element a channel."""
        for name, value in values.items():
            if value.numel() != C:
                self.refuse(f"{name} must have {C} elements, one a channel; got {tuple(value.shape)}.")

    def check_alike(self, **values: Tensor) -> None:
        """Refuse tensors whose shapes differ from the first one's."""
        (first, wanted), *others = values.items()
        for name, value in others:
            if value.shape != wanted.shape:
                self.refuse(f"{name} must be as {first} {tuple(wanted.shape)}, got {tuple(value.shape)}.")


def reduced(X: Tensor) -> list[int]:
    """The dimensions of (N, C, …) that are not the channels."""
    return [0, *range(2, X.dim())]


def along_channels(value: Tensor, X: Tensor) -> Tensor:
    """A vector (C,) shaped to go with (N, C, …)."""
    return value.reshape(1, -1, *(1,) * (X.dim() - 2))
