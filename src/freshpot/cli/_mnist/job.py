"""What every dialect's main job can do, and what of it is the same for all.

Owned here: settings, history, the description beside a snapshot. Who calls it: the dialects, `cli.mnist`, `report`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from freshpot.data.mnist import MnistSplit
from freshpot.errors import ArgumentError, DataError, FormatError
from freshpot.formats.atomic import write_bytes
from freshpot.viz.dot import Dot

__all__ = ["TEST_BATCH", "History", "Job", "Settings", "TestResult"]

TEST_BATCH = 100
OnStep = Callable[[float, float], None]


@dataclass(slots=True)
class Settings:
    """What the user chose. ``device``: "cpu" or "cuda:N"."""

    model: str
    batch_size: int
    seed: int
    device: str
    out: Path

    @property
    def gpu(self) -> int | None:
        """Number of the GPU, None for the CPU."""
        return None if self.device == "cpu" else int(self.device.partition(":")[2] or 0)


@dataclass(slots=True)
class History:
    """Loss and accuracy of every training step so far (of the step's own batch)."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    @property
    def steps(self) -> int:
        return len(self.loss)

    def add(self, loss: float, accuracy: float) -> None:
        self.loss.append(loss)
        self.accuracy.append(accuracy)


@dataclass(slots=True)
class TestResult:
    """``softmax``: (N, 10) probabilities for the N test images, in file order."""

    accuracy: float
    softmax: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, softmax: np.ndarray, labels: np.ndarray) -> TestResult:
        """With the accuracy that follows."""
        return cls(float((softmax.argmax(1) == labels).mean()), softmax, labels)


class Job(ABC):
    """One model of one dialect, from empty parameters to a saved predictor.

    Attributes:
        dialect, title: its name on the command line and in prose.
        models: what ``--model`` may be.
    """

    dialect: ClassVar[str]
    title: ClassVar[str]
    models: ClassVar[tuple[str, ...]] = ("lenet",)

    def __init__(self, settings: Settings, train: MnistSplit, test: MnistSplit) -> None:
        """Build the nets, draw the parameters."""
        self.settings = settings
        self.history = History()

    @classmethod
    def check(cls, model: str) -> None:
        """Complain of a model that this dialect does not train.

        Raises:
            ArgumentError: it is one.
        """
        if model not in cls.models:
            raise ArgumentError(
                f"--model {model} is trained through the Caffe2 door only, not through {cls.dialect}."
            )

    # ---- each in its own way -------------------------------------------------------------------
    @abstractmethod
    def train(self, steps: int, on_step: OnStep) -> None:
        """Train up to a total of ``steps``; the history grows, ``on_step`` is told loss and accuracy of each."""

    @abstractmethod
    def test(self) -> TestResult:
        """Run the test images through the net; accuracy is over all of them."""

    @abstractmethod
    def snapshot(self) -> Path:
        """Write all that `resume` needs to go on from here; returns the file with the parameters."""

    @abstractmethod
    def resume(self) -> int:
        """Go on from the snapshot in the output folder; returns the steps done so far.

        Raises:
            DataError: there is no snapshot, or it is of another dialect or model. FormatError: it is damaged.
        """

    @abstractmethod
    def save(self) -> Path:
        """Write the trained net for those who use it; returns the file to load."""

    @abstractmethod
    def predict(self, path: Path, images: np.ndarray) -> np.ndarray:
        """Load what `save` wrote into nets and workspaces of its own, and predict.

        Args:
            images: (N, 28, 28) uint8.

        Returns:
            (N, 10) probabilities.
        """

    @abstractmethod
    def prepared(self, images: np.ndarray) -> np.ndarray:
        """Pictures (N, 28, 28) uint8 as the net takes them: (N, 1, 28, 28) float32."""

    # ---- to look at ----------------------------------------------------------------------------
    @abstractmethod
    def parameters(self) -> int:
        """How many numbers are learnt."""

    def conv1(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Filters (K, 1, h, w) and biases (K,) of the first convolution, if it has one."""
        return None

    def graph(self) -> Dot | None:
        """The net as a graph, if the door has one."""
        return None

    # ---- the description beside a snapshot -----------------------------------------------------
    @classmethod
    def description(cls, out: Path) -> Path:
        """Where the snapshot of a folder is described; it is written last."""
        return out / "snapshot.json"

    def _describe(self, **more: Any) -> None:
        about = {
            "dialect": self.dialect,
            "model": self.settings.model,
            **more,
            "loss": self.history.loss,
            "accuracy": self.history.accuracy,
        }
        write_bytes(self.description(self.settings.out), json.dumps(about).encode())

    def _described(self, *files: str) -> dict[str, Any]:
        """The description, checked, with the history taken up.

        Args:
            files: of the output folder that a snapshot of this dialect has.

        Raises:
            DataError, FormatError: as `resume`.
        """
        out = self.settings.out
        path = self.description(out)
        if not path.exists():
            raise DataError(f"no snapshot to resume from in {out} (no {path.name}).")
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            dialect, model = about.get("dialect", "caffe2"), about["model"]
            history = History([float(x) for x in about["loss"]], [float(x) for x in about["accuracy"]])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"not a snapshot description: {error}", path=path) from error
        for what, found, wanted in (
            ("dialect", dialect, self.dialect),
            ("model", model, self.settings.model),
        ):
            if found != wanted:
                raise DataError(f"the snapshot in {out} is of {what} '{found}', not '{wanted}'.")
        missing = [name for name in files if not (out / name).exists()]
        if missing:
            raise DataError(f"the snapshot in {out} is not complete: {' and '.join(missing)} missing.")
        if len(history.loss) != len(history.accuracy):
            raise FormatError("not a snapshot description: losses and accuracies differ in number", path=path)
        self.history = history
        return dict(about)
