"""What solvers print of losses and scores.

Owned here: smoothing the loss, adding up test scores, their lines. Who calls it: `solver`, `caffe test`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from caffe import _log
from caffe._net.net import CaffeNet

if TYPE_CHECKING:
    from caffe._solver.solver import Solver


class Display:
    """The smoothed loss of a run of `step`, and the lines of a displayed iteration."""

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self._last_shown = 0
        self.restart()

    def restart(self) -> None:
        """Begin a run of `step`."""
        self._losses: list[float] = []
        self.smoothed_loss = 0.0
        self._started = time.perf_counter()

    def add_loss(self, loss: float, start: int) -> None:
        """Take in the loss of an iteration; ``start`` is the iteration that the run began at."""
        average, count = self._solver._param.average_loss, len(self._losses)
        if count < average:
            self._losses.append(loss)
            self.smoothed_loss = (self.smoothed_loss * count + loss) / (count + 1)
        else:
            place = (self._solver.iter - start) % average
            self.smoothed_loss += (loss - self._losses[place]) / average
            self._losses[place] = loss

    def iteration(self) -> None:
        """Print speed, loss, and the outputs of the train net."""
        solver, now = self._solver, time.perf_counter()
        lapse = now - self._started
        speed = (solver.iter - self._last_shown) / (lapse or 1)
        _log.info(
            "solver.cpp:239",
            f"Iteration {solver.iter} ({speed:g} iter/s, {lapse:g}s/{solver._param.display} iters), "
            f"loss = {self.smoothed_loss:g}",
        )
        self._started, self._last_shown = now, solver.iter
        scores = Scores(solver._train)
        scores.add(0.0)
        scores.say("solver.cpp:258", "    Train net output #{i}: ")


class Scores:
    """Sums of a net's outputs, element by element, over batches."""

    def __init__(self, net: CaffeNet) -> None:
        self._net = net
        self._sums: np.ndarray | None = None
        self._owners: list[int] = []
        self.loss = 0.0

    def add(self, loss: float) -> list[tuple[str, float]]:
        """Take in the outputs as they are now; returns them as (name, value)."""
        self.loss += loss
        names, values = self._net.blob_names, []
        owners: list[int] = []
        for blob in self._net.output_ids:
            found = self._net.blob_list[blob].data_array().ravel().tolist()
            values += found
            owners += [blob] * len(found)
        now = np.array(values, np.float32)
        if self._sums is None or len(self._sums) != len(now):
            self._sums, self._owners = now, owners
        else:
            self._sums = self._sums + now
        return [(names[owner], value) for owner, value in zip(owners, values, strict=True)]

    def means(self, count: int) -> dict[str, float]:
        """Mean of every output that is one number, by name."""
        if self._sums is None:
            return {}
        names = [self._net.blob_names[blob] for blob in self._owners]
        return {n: v / count for n, v in zip(names, self._sums.tolist(), strict=True) if names.count(n) == 1}

    def say(self, where: str, lead: str, count: int = 1) -> None:
        """Print the mean of every output; ``lead`` goes before each, with its number for ``{i}``."""
        sums = self._sums if self._sums is not None else np.zeros(0, np.float32)
        for i, (blob, total) in enumerate(zip(self._owners, sums.tolist(), strict=True)):
            mean, weight = total / count, self._net.blob_loss_weights[blob]
            loss = f" (* {weight:g} = {weight * mean:g} loss)" if weight else ""
            _log.info(where, f"{lead.format(i=i)}{self._net.blob_names[blob]} = {mean:g}{loss}")
