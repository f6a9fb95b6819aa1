"""A training step as one net, and small nets, on the device: what tests of recorded graphs run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from far_device import FAR
from freshpot.engine import Plan, Workspace
from freshpot.net import Net, Op
from freshpot.net.op import CUDA, Device

GPU = Device(CUDA, 0)
HOST = Device(0, 0)


def layers() -> Net:
    """Two layers, their gradients, a learning rate that changes in every run, and updates."""
    return Net(
        "layers",
        [
            Op("FC", ["X", "W", "b"], ["H"]),
            Op("Relu", ["H"], ["H"]),
            Op("Dropout", ["H"], ["H2", "mask"], {"ratio": 0.5, "is_test": 0}),
            Op("FC", ["H2", "V", "c"], ["Y"]),
            Op("Iter", ["it"], ["it"], device=HOST),
            Op("LearningRate", ["it"], ["rate"], {"base_lr": -0.1, "policy": "exp", "gamma": 0.9}),
            Op("ConstantFill", ["Y"], ["dY"], {"value": 0.5}),
            Op("FCGradient", ["H2", "V", "dY"], ["dV", "dc", "dH2"]),
            Op("DropoutGrad", ["dH2", "mask"], ["dH"], {"ratio": 0.5, "is_test": 0}),
            Op("ReluGradient", ["H", "dH"], ["dH"]),
            Op("FCGradient", ["X", "W", "dH"], ["dW", "db", "dX"]),
            Op("WeightedSum", ["W", "one", "dW", "rate"], ["W"]),
            Op("WeightedSum", ["V", "one", "dV", "rate"], ["V"]),
            Op("MomentumSGDUpdate", ["db", "mb", "rate", "b"], ["db", "mb", "b"], {"momentum": 0.9}),
            Op("Adam", ["c", "m1", "m2", "dc", "rate", "it"], ["c", "m1", "m2"]),
        ],
        device=GPU,
    )


SHAPES = {
    "X": (4, 3),
    "W": (5, 3),
    "b": (5,),
    "V": (2, 5),
    "c": (2,),
    "mb": (5,),
    "m1": (2,),
    "m2": (2,),
}


def to_gpu(ws: Workspace, name: str, array: np.ndarray) -> None:
    """Feed the device."""
    ws.feed(name, torch.from_numpy(array).to(FAR))


def fed() -> Workspace:
    ws, rng = Workspace(), np.random.default_rng(0)
    for name, shape in SHAPES.items():
        to_gpu(ws, name, np.abs(rng.standard_normal(shape)).astype(np.float32))
    to_gpu(ws, "one", np.ones(1, np.float32))
    ws.feed("it", np.zeros(1, np.int64))
    return ws


def data(seed: int, shape: tuple[int, ...] = (4, 3)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def near(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value


def small(*ops: Op, **blobs: Any) -> tuple[Workspace, Plan]:
    """A net on the device over blobs that lie there, but for those that are no arrays of float32."""
    ws = Workspace()
    for name, value in blobs.items():
        array = np.asarray(value)
        if array.dtype == np.float64:
            to_gpu(ws, name, array.astype(np.float32))
        else:
            ws.feed(name, array)
    return ws, Plan(Net("small", list(ops), device=GPU), ws)


def on_gpu(ws: Workspace, name: str) -> list[float]:
    return ws.find(name).on_cpu().tolist()
