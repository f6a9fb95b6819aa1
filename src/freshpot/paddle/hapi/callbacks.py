"""Callbacks of ``Model``; :mod:`progress` has the lines they print."""

from __future__ import annotations

import os
from typing import Any

from freshpot.errors import ArgumentError
from freshpot.paddle._missing import missing
from freshpot.paddle.hapi.progress import ProgressBar
from freshpot.paddle.optimizer import lr

__all__ = [
    "Callback",
    "EarlyStopping",
    "LRScheduler",
    "ModelCheckpoint",
    "ProgBarLogger",
    "ReduceLROnPlateau",
]


class Callback:
    """Base class: define any of ``on_{train,eval,predict}_{begin,end}``, ``on_epoch_{begin,end}`` and
    ``on_{train,eval,predict}_batch_{begin,end}``.

    Attributes:
        model: the ``Model``.
        params: batch_size, epochs, steps, verbose, metrics, save_dir of a run.
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        """Told before a run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Told before a run."""
        self.model = model

    # fmt: off
    def on_train_begin(self, logs: Any = None) -> None: """Before the first epoch."""
    def on_train_end(self, logs: Any = None) -> None: """After the last epoch."""
    def on_eval_begin(self, logs: Any = None) -> None: """Before an evaluation; ``logs`` has steps and metrics."""
    def on_eval_end(self, logs: Any = None) -> None: """After an evaluation; ``logs`` has its results."""
    def on_predict_begin(self, logs: Any = None) -> None: """Before a prediction; ``logs`` has steps."""
    def on_predict_end(self, logs: Any = None) -> None: """After a prediction."""
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None: """Before an epoch."""
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None: """After an epoch; ``logs`` has its last results."""
    def on_train_batch_begin(self, step: int, logs: Any = None) -> None: """Before a batch."""
    def on_train_batch_end(self, step: int, logs: Any = None) -> None: """After a batch; ``logs`` has the results."""
    def on_eval_batch_begin(self, step: int, logs: Any = None) -> None: """Before a batch."""
    def on_eval_batch_end(self, step: int, logs: Any = None) -> None: """After a batch; ``logs`` has the results."""
    def on_predict_batch_begin(self, step: int, logs: Any = None) -> None: """Before a batch."""
    def on_predict_batch_end(self, step: int, logs: Any = None) -> None: """After a batch."""
    # fmt: on


class ProgBarLogger(Callback):
    """Prints progress every ``log_freq`` steps; ``verbose`` 0: nothing, 1: a bar, 2: lines."""

    def __init__(self, log_freq: int = 1, verbose: int = 2) -> None:
        super().__init__()
        self.log_freq, self.verbose = log_freq, verbose
        self._done = self._samples = 0
        self._total: int | None = None
        self._metrics: list[str] = []

    def _begin(self, total: int | None, metrics: list[str]) -> None:
        self._done = self._samples = 0
        self._total, self._metrics = total, metrics
        self._bar = ProgressBar(total, self.verbose)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """The epoch's heading."""
        if self.verbose:
            print(f"Epoch {epoch + 1}/{self.params['epochs']}")
        self._begin(self.params["steps"], self.params["metrics"])

    def on_eval_begin(self, logs: Any = None) -> None:
        """The heading."""
        if self.verbose:
            print("Eval begin...")
        self._begin(logs["steps"], logs["metrics"])

    def on_predict_begin(self, logs: Any = None) -> None:
        """The heading."""
        if self.verbose:
            print("Predict begin...")
        self._begin(logs["steps"], [])

    def _show(self, logs: Any) -> None:
        self._bar.update(self._done, [(name, logs[name]) for name in self._metrics if name in logs])

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        """A line every ``log_freq`` steps; the last comes with the end."""
        self._done += 1
        self._samples += logs.get("batch_size", 1)
        if (
            self.verbose
            and self._done % self.log_freq == 0
            and (self._total is None or self._done < self._total)
        ):
            self._show(logs)

    on_eval_batch_end = on_predict_batch_end = on_train_batch_end

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """The last line."""
        if self.verbose and self._total is not None:
            self._show(logs)

    def on_eval_end(self, logs: Any = None) -> None:
        """The last line, and how many samples."""
        if self.verbose and self._total is not None:
            self._show(logs)
            print(f"Eval samples: {self._samples}")

    def on_predict_end(self, logs: Any = None) -> None:
        """The last line, and how many samples."""
        if self.verbose:
            if self._done % self.log_freq or self.verbose == 1:
                self._show(logs)
            print(f"Predict samples: {self._samples}")


class ModelCheckpoint(Callback):
    """Saves after every ``save_freq`` epochs, and as ``final``."""

    def __init__(self, save_freq: int = 1, save_dir: str | None = None) -> None:
        super().__init__()
        self.save_freq, self.save_dir = save_freq, save_dir

    def _save(self, name: str) -> None:
        if self.save_dir:
            path = os.path.join(self.save_dir, name)
            print(f"save checkpoint at {os.path.abspath(path)}")
            self.model.save(path)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save the epoch."""
        if epoch % self.save_freq == 0:
            self._save(str(epoch))

    def on_train_end(self, logs: Any = None) -> None:
        """Save the end."""
        self._save("final")


class LRScheduler(Callback):
    """Moves the optimizer's learning rate on, every step or every epoch.

    Raises:
        ArgumentError: both.
    """

    def __init__(self, by_step: bool = True, by_epoch: bool = False) -> None:
        super().__init__()
        if by_step and by_epoch:
            raise ArgumentError("LRScheduler: by_step or by_epoch, not both")
        self.by_step, self.by_epoch = by_step, by_epoch

    def _move(self) -> None:
        rate = getattr(self.model._optimizer, "_learning_rate", None)
        if isinstance(rate, lr.LRScheduler) and not isinstance(rate, lr.ReduceOnPlateau):
            rate.step()

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        """By step."""
        if self.by_step:
            self._move()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """By epoch."""
        if self.by_epoch:
            self._move()


class _Watch(Callback):
    """What watches a result of evaluations, and whether it becomes better."""

    monitor: str
    up: bool

    def _watch(self, monitor: str, mode: str) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"{type(self).__name__}: mode {mode!r}; choose 'auto', 'min' or 'max'")
        self.monitor, self.up = monitor, mode == "max" or (mode == "auto" and "acc" in monitor)

    def _found(self, logs: dict[str, Any]) -> float:
        if self.monitor not in logs:
            raise ArgumentError(f"{type(self).__name__}: no '{self.monitor}' among {', '.join(logs)}")
        value = logs[self.monitor]
        return float(value[0] if isinstance(value, (list, tuple)) else value)

    def _better(self, value: float, best: float, margin: float) -> bool:
        return value - margin > best if self.up else value + margin < best

    def _worst(self) -> float:
        return float("-inf") if self.up else float("inf")


class EarlyStopping(_Watch):
    """Stops when ``monitor`` of the evaluations has not become better for ``patience`` of them.

    Raises:
        ArgumentError: another mode, or a result that is not there.
    """

    def __init__(
        self,
        monitor: str = "loss",
        mode: str = "auto",
        patience: int = 0,
        verbose: int = 1,
        min_delta: float = 0,
        baseline: float | None = None,
        save_best_model: bool = True,
    ) -> None:
        super().__init__()
        self._watch(monitor, mode)
        self.patience, self.verbose, self.min_delta = patience, verbose, abs(min_delta)
        self.baseline, self.save_best_model = baseline, save_best_model
        self.wait_epoch = self.stopped_epoch = 0
        self.best_value = self._worst()

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to watch."""
        self.wait_epoch = 0
        self.best_value = self._worst() if self.baseline is None else self.baseline

    def on_eval_end(self, logs: Any = None) -> None:
        """Compare."""
        value, folder = self._found(logs), self.params.get("save_dir")
        best = os.path.join(folder, "best_model") if folder and self.save_best_model else None
        if self._better(value, self.best_value, self.min_delta):
            self.best_value, self.wait_epoch = value, 0
            if best:
                self.model.save(best)
        else:
            self.wait_epoch += 1
        if self.wait_epoch >= self.patience:
            self.model.stop_training = True
            if self.verbose:
                print(f"Epoch {self.stopped_epoch + 1}: Early stopping.")
                if best:
                    print(f"Best checkpoint has been saved at {os.path.abspath(best)}")
        self.stopped_epoch += 1


class ReduceLROnPlateau(_Watch):
    """Multiplies the learning rate by ``factor`` when ``monitor`` has not become better for ``patience`` evaluations.

    Raises:
        ArgumentError: a factor of 1 or more, another mode, a result that is not there, a scheduler's learning rate.
    """

    def __init__(
        self,
        monitor: str = "loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 1,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0,
    ) -> None:
        super().__init__()
        if factor >= 1.0:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be below 1, got {factor}")
        self._watch(monitor, mode)
        self.factor, self.patience, self.verbose, self.min_delta = factor, patience, verbose, min_delta
        self.cooldown, self.min_lr, self.epoch = cooldown, min_lr, 0
        self.on_train_begin()

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to watch."""
        self.best, self.wait, self.cooldown_counter = self._worst(), 0, 0

    def on_eval_end(self, logs: Any = None) -> None:
        """Compare."""
        value, optimizer = self._found(logs), self.model._optimizer
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.wait = self.cooldown_counter - 1, 0
        if self._better(value, self.best, self.min_delta):
            self.best, self.wait = value, 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            rate = optimizer.get_lr()
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.set_lr(max(rate * self.factor, self.min_lr))
                if self.verbose:
                    new = optimizer.get_lr()
                    print(f"\nEpoch {self.epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
                self.cooldown_counter, self.wait = self.cooldown, 0
        self.epoch += 1


def __getattr__(name: str) -> Any:
    raise missing("callbacks", name, __all__)
