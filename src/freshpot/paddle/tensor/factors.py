"""Matrices as products: the linear algebra that :mod:`linalg` has no room for."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.paddle._tensor import lifted

__all__ = ["cholesky_solve", "eig", "eigvals", "householder_product", "lu", "lu_unpack", "pca_lowrank"]


@lifted
def cholesky_solve(x: Any, y: Any, upper: bool = False, name: str | None = None) -> Any:
    """The solution of A z = x, where ``y`` is A's Cholesky factor."""
    return torch.cholesky_solve(x, y, upper)


@lifted
def eig(x: Any, name: str | None = None) -> Any:
    """Eigenvalues and eigenvectors (in columns), complex."""
    return tuple(torch.linalg.eig(x))


@lifted
def eigvals(x: Any, name: str | None = None) -> Any:
    """Eigenvalues, complex."""
    return torch.linalg.eigvals(x)


@lifted
def householder_product(x: Any, tau: Any, name: str | None = None) -> Any:
    """The product of reflections."""
    return torch.linalg.householder_product(x, tau)


@lifted
def lu(x: Any, pivot: bool = True, get_infos: bool = False, name: str | None = None) -> Any:
    """Lower and upper triangle in one matrix, the rows that were swapped (from 1), and with ``get_infos`` whether it
    went well (0)."""
    factors, pivots, info = torch.linalg.lu_factor_ex(x, pivot=pivot)
    return (factors, pivots, info) if get_infos else (factors, pivots)


@lifted
def lu_unpack(
    x: Any, y: Any, unpack_ludata: bool = True, unpack_pivots: bool = True, name: str | None = None
) -> Any:
    """P, L and U of what :func:`lu` gave."""
    return tuple(torch.lu_unpack(x, y, unpack_ludata, unpack_pivots))


@lifted
def pca_lowrank(
    x: Any, q: int | None = None, center: bool = True, niter: int = 2, name: str | None = None
) -> Any:
    """The ``q`` largest singular values and vectors, found from random directions: U, S, V."""
    return tuple(torch.pca_lowrank(x, min(6, *x.shape[-2:]) if q is None else q, center, niter))
