"""Calling machine code, on as many threads as PyTorch uses.

Owned here: from a kernel's text to a Python function over tensors. Who calls it: the modules of kernels beside
this one.

Threads are those of the OpenMP library that PyTorch has loaded (`GOMP_parallel`), so that they are warm and not
twice as many; where there is no such library, one thread does all.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from freshpot.native.build import HEADER, Kernel
from freshpot.native.machine import Code, lanes

_data_ptr = torch.Tensor.data_ptr


@functools.cache
def _openmp() -> tuple[Any, int, int] | None:
    """`GOMP_parallel`, and the addresses of the functions by which a thread learns its number."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "libgomp" in line}
        library = ctypes.CDLL(paths.pop()) if len(paths) == 1 else None
        if library is None:
            return None
        parallel = library.GOMP_parallel
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        asks = (library.omp_get_thread_num, library.omp_get_num_threads)
    except (OSError, AttributeError):
        return None
    number, count = (ctypes.cast(ask, ctypes.c_void_p).value or 0 for ask in asks)
    return parallel, number, count


class Native:
    """A compiled kernel. Calling it with tensors runs it over their memory, which it trusts.

    Args:
        name: of the function.
        emit: writes its body.
        arrays: how many tensors and numbers it takes.
    """

    def __init__(self, name: str, emit: Callable[[Kernel], None], arrays: int) -> None:
        kernel = Kernel(name, lanes())
        emit(kernel)
        self._code = Code(name, kernel.finish())
        self._address = self._code.address
        self._alone = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._address)
        self._table = ctypes.c_int64 * (HEADER + arrays)
        self._openmp = _openmp()

    def bind(self, *tensors: torch.Tensor, numbers: Sequence[int] = ()) -> Callable[[], None]:
        """The call with these tensors, for many times: it keeps them, and costs little more than itself.

        ``numbers`` follow the tensors' addresses in the table.
        """
        parallel, *thread_of_how_many = self._openmp or (None, 0, 0)
        alone, address = self._alone, self._address
        table = self._table(*thread_of_how_many, *map(_data_ptr, tensors), *numbers)
        threads_of = torch.get_num_threads

        def run(kept: tuple[torch.Tensor, ...] = tensors) -> None:
            threads = threads_of()
            if threads > 1 and parallel is not None:
                parallel(address, table, threads, 0)
            else:  # outside of parallel regions OpenMP says: the first thread of one
                alone(table)

        return run

    def __call__(self, *tensors: torch.Tensor, numbers: Sequence[int] = ()) -> None:
        self.bind(*tensors, numbers=numbers)()
