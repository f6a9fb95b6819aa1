"""What tests of recorded graphs share: a GPU made of CPU tensors, operators that cannot be captured, a real GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from freshpot.engine import graph
from freshpot.net import registry
from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators that cannot be captured, known in here alone."""
    registry.load()
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))

    class ReadsTheDevice(Operator):
        """Y = X, or 0 where the first number of X is negative."""

        inputs = (Port("X", FLOAT),)
        outputs = (Port("Y"),)

        def kernel(self, X: Tensor) -> Tensor:
            return X * 1 if float(X.reshape(-1)[0]) >= 0 else X * 0

    class TakesAMask(ReadsTheDevice):
        """How many numbers are positive is counted on the host."""

        def kernel(self, X: Tensor) -> Tensor:
            return X[X > 0].sum().reshape(1) + X * 0

    class TakesAConstant(ReadsTheDevice):
        """Copies a number from the host."""

        def kernel(self, X: Tensor) -> Tensor:
            return X * torch.tensor([2.0], device=X.device)

    class Remembers(ReadsTheDevice):
        """Counts its calls."""

        remembers = True

        def setup(self) -> None:
            super().setup()
            self.calls_so_far = 0

        def kernel(self, X: Tensor) -> Tensor:
            self.calls_so_far += 1
            return X + self.calls_so_far

    class FailsInCaptures(ReadsTheDevice):
        """Its kernel is not what it was when it was watched."""

        times = 0

        def kernel(self, X: Tensor) -> Tensor:
            type(self).times += 1
            return X * 1 if self.times != 5 else X * float(X.sum())

    class FailsNow(ReadsTheDevice):
        """Fails on demand, which is the user's mistake."""

        fails = False

        def kernel(self, X: Tensor) -> Tensor:
            if self.fails:
                raise ValueError("it fails now")
            return X * (1 if float(X[0]) > -1 else 2)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real GPU, with the originals' precision, or skip the test."""
    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU that torch can use")
    monkeypatch.setenv("FRESHPOT_STRICT_DEVICE", "1")
    monkeypatch.setattr(graph, "_given_up", None)
