"""Caffe's Python package, served by freshpot.

``import caffe`` gives the names that BVLC Caffe's own package gave: nets, solvers, NetSpec, io.
"""

from typing import Any as _Any

import torch as _torch

from freshpot._loading import no_garbage as _no_garbage

with _no_garbage():
    from caffe import _log, _mode, _random, io
    from caffe._caffe import Layer, Timer
    from caffe._caffe import StringVec as _StringVec
    from caffe._mode import (
        set_device,
        set_mode_cpu,
        set_mode_gpu,
        set_multiprocess,
        set_solver_count,
        set_solver_rank,
    )
    from caffe._nccl import NCCL
    from caffe._net.layer import original_types as _original_types
    from caffe._solver.solver import (
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        RMSPropSolver,
        SGDSolver,
        get_solver,
    )
    from caffe.classifier import Classifier
    from caffe.detector import Detector
    from caffe.net_spec import NetSpec, layers, params, to_proto
    from caffe.proto.caffe_pb2 import TEST, TRAIN
    from caffe.pycaffe import Net

__version__ = "1.0.0"

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Timer",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]


def layer_type_list() -> _StringVec:
    """Names of BVLC Caffe's layer types, sorted. Those that only its branches have can be used, too."""
    return _StringVec(sorted(_original_types()))


def set_random_seed(seed: int) -> None:
    """Start the generator that fillers, dropout and data layers draw from."""
    _random.seed(seed)


def init_log(level: int = _log.INFO, stderr: bool = True) -> None:
    """Show log lines of ``level`` (0 information … 3 fatal) and above; they go to standard error."""
    _log.set_level(level)


def log(message: str) -> None:
    """Write a log line of level 0."""
    _log.info("_caffe.cpp:68", message)


def has_nccl() -> bool:
    """Whether this PyTorch has the library NCCL, by which GPUs exchange; `NCCL` works without it, between CPUs."""
    return bool(_torch.distributed.is_nccl_available())


def solver_count() -> int:
    """How many solvers train together."""
    return _mode.solver_count


def solver_rank() -> int:
    """Which of them this one is."""
    return _mode.solver_rank


def __getattr__(name: str) -> _Any:
    """Names of 2014; see `_before_2015`."""
    if name in ("set_phase_train", "set_phase_test"):
        from caffe import _before_2015

        return getattr(_before_2015, name)
    raise AttributeError(f"module 'caffe' has no attribute '{name}'")
