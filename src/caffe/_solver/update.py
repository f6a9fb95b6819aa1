"""A net's update: one operator over all its parameters, bound to the net's workspace.

Owned here: which operator a solver type means, its arguments, the histories. Who calls it: `solver`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from caffe import _log
from caffe._net.blob import DIFF
from caffe._net.net import CaffeNet
from freshpot.engine import Plan
from freshpot.engine.kept import glance
from freshpot.errors import ArgumentError, ArityError, ShapeError
from freshpot.net import Op

#: solver type -> histories it keeps for each parameter
SLOTS = {"AdaDelta": 2, "AdaGrad": 1, "Adam": 2, "Nesterov": 1, "RMSProp": 1, "SGD": 1}


class Update:
    """The update of a net's parameters, with its histories (zeros at first)."""

    def __init__(self, kind: str, net: CaffeNet, param: Any) -> None:
        self._kind = kind
        self._net = net
        self._param = param
        ws = net.workspace
        blobs = [p.blob for p in net.learnable]
        self._names = [f"@history{i}" for i in range(SLOTS[kind] * len(blobs))]
        for i, name in enumerate(self._names):
            ws.feed(name, torch.zeros(blobs[i % len(blobs)].dims))
        self._lr = ws.feed("@lr", torch.zeros(1))
        self._iter = ws.feed("@iter", torch.zeros(1, dtype=torch.int64))
        self._norm = ws.create_local("@norm")
        net.site.on_host.update(("@lr", "@iter"))
        self._plan: Plan | None = None
        self._plan_device: torch.device | None = None
        net.clear_param_diffs()

    def run(self, rate: float, iteration: int) -> None:
        """Update the parameters; their diffs become the steps."""
        self._net.follow_mode()
        plan = self.prepare(rate, iteration)
        if plan is None:
            return
        try:
            plan.run()
        finally:
            self._net.site.finish()
        self.say_clipped()

    def prepare(self, rate: float, iteration: int) -> Plan | None:
        """The update of an iteration, for somebody who runs it; None if there is nothing to update."""
        if not self._names:
            return None
        if self._plan is None or self._plan_device != self._net.site.device:
            self._plan, self._plan_device = self._net.bound([self._op()]), self._net.site.device
        glance(self._lr).numpy()[0] = rate  # at a third of what a call of torch costs
        glance(self._iter).numpy()[0] = iteration
        return self._plan

    def say_clipped(self) -> None:
        """Say in the log if the update clipped the gradients."""
        if self._names and self._param.clip_gradients >= 0:
            self._say_clipped(float(glance(self._norm)), self._param.clip_gradients)

    def _say_clipped(self, norm: float, limit: float) -> None:
        if norm > limit:
            _log.info(
                "sgd_solver.cpp:93",
                f"Gradient clipping: scaling down gradients (L2 norm {norm:g} > {limit:g}) "
                f"by scale factor {limit / norm:g}",
            )

    def _op(self) -> Op:
        p, params = self._param, self._net.learnable
        if p.weight_decay and p.regularization_type not in ("L1", "L2"):
            raise ArgumentError(f"there is no regularization_type '{p.regularization_type}'. Known: L1, L2.")
        names = [entry.blob.name for entry in params]
        blobs = [*names, *(DIFF.format(name) for name in names), *self._names]
        args = {
            "lr_mults": [float(e.lr_mult) for e in params],
            "decay_mults": [float(e.decay_mult) for e in params],
            "weight_decay": p.weight_decay,
            "regularization": p.regularization_type if p.weight_decay else "L2",
            "iter_size": p.iter_size,
        }
        for name in ("clip_gradients", "momentum", "momentum2", "rms_decay", "delta"):
            args[name] = getattr(p, name)
        return Op(f"Caffe{self._kind}", ["@lr", "@iter", *blobs], ["@norm", *blobs], args)

    # ---- histories -----------------------------------------------------------------------------
    def history(self) -> list[np.ndarray]:
        """The histories, in the order of solver states."""
        return [self._net.workspace.get(name).cpu().numpy() for name in self._names]

    def check(self, history: Sequence[np.ndarray], path: str) -> None:
        """Refuse histories that are not this update's.

        Raises:
            ArityError, ShapeError: they are those of another net or solver type.
        """
        if len(history) != len(self._names):
            raise ArityError(
                f"{path} has {len(history)} history blobs; the {self._kind} solver of this net needs "
                f"{len(self._names)}. Is it of another net, or another solver type?",
                net=self._net.name or None,
            )
        own = (self._net.workspace.get(name) for name in self._names)
        for i, (target, values) in enumerate(zip(own, history, strict=True)):
            if target.numel() != values.size or _trimmed(target.shape) != _trimmed(values.shape):
                entry = self._net.learnable[i % len(self._net.learnable)]
                raise ShapeError(
                    f"history {i} in {path} has shape {values.shape}; parameter '{entry.blob.name}' has "
                    f"{tuple(target.shape)}. Is it of another net?",
                    net=self._net.name or None,
                    blob=entry.blob.name,
                )

    def restore(self, history: Sequence[np.ndarray]) -> None:
        """Take histories that were checked."""
        for name, values in zip(self._names, history, strict=True):
            target = self._net.workspace.get(name)
            target.copy_(torch.from_numpy(values).reshape(target.shape))


def _trimmed(shape: Any) -> list[int]:
    """A shape without ones in front: old files wrote four numbers for every blob."""
    sizes = list(shape)
    while sizes and sizes[0] == 1:
        sizes.pop(0)
    return sizes
