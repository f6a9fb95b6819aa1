"""``paddle.version``: the version whose behaviour this is."""

from __future__ import annotations

import torch

__all__ = ["cuda", "cudnn", "show"]

full_version, major, minor, patch, rc = "2.0.0-beta0", "2", "0", "0", "0"
commit, istaged, with_mkl = "freshpot", False, "ON"


def cuda() -> str:
    """CUDA's version, "False" without."""
    return torch.version.cuda or "False"


def cudnn() -> str:
    """cuDNN's version, "False" without."""
    return str(torch.backends.cudnn.version() or "False")


def show() -> None:
    """Print the version."""
    print(f"full_version: {full_version}\nmajor: {major}\nminor: {minor}\npatch: {patch}\nrc: {rc}")
    print(f"cuda: {cuda()}\ncudnn: {cudnn()}")
