"""Matrices: products, norms, decompositions. ``paddle.linalg`` has all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import lifted
from freshpot.paddle.tensor import maths

__all__ = [
    "bmm", "cdist", "cholesky", "cond", "corrcoef", "cov", "cross", "det", "dist", "dot", "eigh", "eigvalsh",
    "inner", "inv", "kron", "lstsq", "matmul", "matrix_power", "matrix_rank", "multi_dot", "mv", "norm", "outer",
    "pinv", "qr", "slogdet", "solve", "svd", "tensordot", "triangular_solve",
]  # fmt: skip

matmul, bmm, dot, norm, dist = maths.matmul, maths.bmm, maths.dot, maths.norm, maths.dist


@lifted
def inv(x: Any, name: str | None = None) -> Any:
    """The inverse of matrices."""
    return torch.linalg.inv(x)


@lifted
def mv(x: Any, vec: Any, name: str | None = None) -> Any:
    """A matrix times a vector."""
    return torch.mv(x, vec)


@lifted
def inner(x: Any, y: Any, name: str | None = None) -> Any:
    """Sums of products along the last axes."""
    return torch.inner(x, y)


@lifted
def outer(x: Any, y: Any, name: str | None = None) -> Any:
    """Products of every element with every element."""
    return torch.outer(x.flatten(), y.flatten())


@lifted
def cross(x: Any, y: Any, axis: int | None = None, name: str | None = None) -> Any:
    """The cross product along an axis of size 3 (by default the first such)."""
    axis = next((a for a, size in enumerate(x.shape) if size == 3), None) if axis in (None, 9) else axis
    if axis is None:
        raise ArgumentError(f"cross: no axis of shape {list(x.shape)} has size 3")
    return torch.linalg.cross(x, y, dim=axis)


@lifted
def kron(x: Any, y: Any, name: str | None = None) -> Any:
    """Kronecker's product."""
    return torch.kron(x, y)


@lifted
def tensordot(x: Any, y: Any, axes: Any = 2, name: str | None = None) -> Any:
    """Products summed over pairs of axes."""
    if isinstance(axes, Sequence) and axes and isinstance(axes[0], int):
        axes = [list(axes), list(axes)]
    return torch.tensordot(x, y, axes)


@lifted
def cdist(
    x: Any,
    y: Any,
    p: float = 2.0,
    compute_mode: str = "use_mm_for_euclid_dist_if_necessary",
    name: Any = None,
) -> Any:
    """Distances of every row to every row."""
    return torch.cdist(x, y, p, compute_mode)


@lifted
def det(x: Any, name: str | None = None) -> Any:
    """The determinant."""
    return torch.linalg.det(x)


@lifted
def slogdet(x: Any, name: str | None = None) -> Any:
    """Sign and logarithm of the determinant, in a new first axis."""
    return torch.stack(tuple(torch.linalg.slogdet(x)))


@lifted
def solve(x: Any, y: Any, left: bool = True, name: str | None = None) -> Any:
    """The solution of ``x @ made = y`` (not ``left``: ``made @ x = y``)."""
    return torch.linalg.solve(x, y, left=left)


@lifted
def triangular_solve(
    x: Any,
    y: Any,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
    name: str | None = None,
) -> Any:
    """The solution of ``x @ made = y`` for a triangle ``x``."""
    x = x.triu() if upper else x.tril()
    x, upper = (x.mT, not upper) if transpose else (x, upper)
    return torch.linalg.solve_triangular(x, y, upper=upper, unitriangular=unitriangular)


@lifted
def pinv(x: Any, rcond: float = 1e-15, hermitian: bool = False, name: str | None = None) -> Any:
    """The pseudo-inverse."""
    return torch.linalg.pinv(x, rtol=rcond, hermitian=hermitian)


@lifted
def matrix_power(x: Any, n: int, name: str | None = None) -> Any:
    """A matrix times itself."""
    return torch.linalg.matrix_power(x, n)


@lifted
def cholesky(x: Any, upper: bool = False, name: str | None = None) -> Any:
    """The triangle whose product with its transpose is ``x``."""
    return torch.linalg.cholesky(x, upper=upper)


@lifted
def multi_dot(x: Any, name: str | None = None) -> Any:
    """The product of several matrices."""
    return torch.linalg.multi_dot(list(x))


@lifted
def matrix_rank(x: Any, tol: Any = None, hermitian: bool = False, name: str | None = None) -> Any:
    """The rank."""
    return torch.linalg.matrix_rank(x.detach(), atol=tol, hermitian=hermitian).to(torch.int64)


@lifted
def cond(x: Any, p: Any = None, name: str | None = None) -> Any:
    """The condition number."""
    return torch.linalg.cond(x, p)


@lifted
def eigh(x: Any, UPLO: str = "L", name: str | None = None) -> Any:
    """Eigenvalues and eigenvectors of a symmetric matrix."""
    return tuple(torch.linalg.eigh(x, UPLO))


@lifted
def eigvalsh(x: Any, UPLO: str = "L", name: str | None = None) -> Any:
    """Eigenvalues of a symmetric matrix."""
    return torch.linalg.eigvalsh(x, UPLO)


@lifted
def qr(x: Any, mode: str = "reduced", name: str | None = None) -> Any:
    """An orthogonal matrix and a triangle ("r": the triangle alone)."""
    made = torch.linalg.qr(x, mode)
    return made[1] if mode == "r" else tuple(made)


@lifted
def svd(x: Any, full_matrices: bool = False, name: str | None = None) -> Any:
    """The singular value decomposition: U, S, V transposed."""
    return tuple(torch.linalg.svd(x, full_matrices))


@lifted
def lstsq(x: Any, y: Any, rcond: Any = None, driver: Any = None, name: str | None = None) -> Any:
    """Least squares: the solution, residuals, rank, singular values."""
    return tuple(torch.linalg.lstsq(x, y, rcond, driver=driver))


@lifted
def cov(
    x: Any,
    rowvar: bool = True,
    ddof: Any = True,
    fweights: Any = None,
    aweights: Any = None,
    name: str | None = None,
) -> Any:
    """The covariance of variables in rows (not ``rowvar``: in columns)."""
    data = x if rowvar or x.dim() < 2 else x.t()
    return torch.cov(data, correction=int(ddof), fweights=fweights, aweights=aweights)


@lifted
def corrcoef(x: Any, rowvar: bool = True, name: str | None = None) -> Any:
    """The correlation of variables in rows (not ``rowvar``: in columns)."""
    return torch.corrcoef(x if rowvar or x.dim() < 2 else x.t())
