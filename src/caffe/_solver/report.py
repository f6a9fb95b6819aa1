"""What solvers print of losses and scores.

Owned here: smoothing the loss, adding up test scores, their lines. Who calls it: `solver`, `caffe test`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe import _log
from caffe._net.net import CaffeNet

if TYPE_CHECKING:
    from caffe._solver.solver import Solver
    from caffe._solver.whole import Losses

#: losses that are left on the device at most
_MOST_LATE = 1000


class Display:
    """The smoothed loss of a run of `step`, and the lines of a displayed iteration."""

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self._last_shown = 0
        self.restart()

    def restart(self) -> None:
        """Begin a run of `step`."""
        self._losses: list[float] = []
        self._smoothed = 0.0
        #: losses that are on the device still, and how many iterations had been done
        self._late: list[tuple[Losses, int]] = []
        self._started = time.perf_counter()

    @property
    def smoothed_loss(self) -> float:
        """The mean of the last losses. Losses that are on the device are read now."""
        late, self._late = self._late, []
        if late:
            numbers = iter(
                torch.stack([t for losses, _ in late for layer in losses for _, t in layer]).tolist()
            )
            for losses, done in late:
                self._take(sum(sum(weight * next(numbers) for weight, _ in layer) for layer in losses), done)
        return self._smoothed

    def add_loss(self, loss: float | Losses, start: int) -> None:
        """Take in the loss of an iteration; ``start`` is the iteration that the run began at."""
        done = self._solver.iter - start
        if not isinstance(loss, list) or not loss:
            _ = self.smoothed_loss  # what is late comes first
            self._take(0.0 if isinstance(loss, list) else loss, done)
            return
        self._late.append((loss, done))
        if len(self._late) >= _MOST_LATE:
            _ = self.smoothed_loss

    def _take(self, loss: float, done: int) -> None:
        average, count = self._solver._param.average_loss, len(self._losses)
        if count < average:
            self._losses.append(loss)
            self._smoothed = (self._smoothed * count + loss) / (count + 1)
        else:
            place = done % average
            self._smoothed += (loss - self._losses[place]) / average
            self._losses[place] = loss

    def iteration(self) -> None:
        """Print speed, loss, and the outputs of the train net."""
        solver, loss, now = self._solver, self.smoothed_loss, time.perf_counter()
        lapse = now - self._started
        speed = (solver.iter - self._last_shown) / (lapse or 1)
        _log.info(
            "solver.cpp:239",
            f"Iteration {solver.iter} ({speed:g} iter/s, {lapse:g}s/{solver._param.display} iters), "
            f"loss = {loss:g}",
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
