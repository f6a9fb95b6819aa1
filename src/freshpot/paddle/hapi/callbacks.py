"""Callbacks of ``Model``, and the lines it prints."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

from freshpot.errors import ArgumentError
from freshpot.paddle.optimizer import lr

__all__ = ["Callback", "EarlyStopping", "LRScheduler", "ModelCheckpoint", "ProgBarLogger"]


class Callback:
    """Base class: any ``on_{train,eval,predict}_{begin,end,batch_begin,batch_end}``, ``on_epoch_{begin,end}``."""

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        """Told before a run: epochs, steps, verbose, metrics."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Told before a run."""
        self.model = model


class ProgBarLogger(Callback):
    """Prints ``step 200/938 - loss: 1.5219 - acc: 0.98 - 14ms/step`` every ``log_freq`` steps."""

    def __init__(self, log_freq: int = 1, verbose: int = 2) -> None:
        super().__init__()
        self.log_freq, self.verbose = log_freq, verbose

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """The epoch's heading."""
        if self.verbose:
            print(f"Epoch {epoch + 1}/{self.params['epochs']}")
        self._start()

    def on_eval_begin(self, logs: Any = None) -> None:
        """The heading."""
        if self.verbose:
            print("Eval begin...")
        self._start()

    def on_predict_begin(self, logs: Any = None) -> None:
        """The heading."""
        if self.verbose:
            print("Predict begin...")
        self._start()

    def _start(self) -> None:
        self._began = time.time()

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        """A line every ``log_freq`` steps, and one at the end."""
        done, total = step + 1, logs.get("steps")
        if self.verbose and (done % self.log_freq == 0 or done == total):
            self._line(done, total, logs)

    on_eval_batch_end = on_predict_batch_end = on_train_batch_end

    def on_eval_end(self, logs: Any = None) -> None:
        """How many samples."""
        if self.verbose:
            print(f"Eval samples: {logs['samples']}")

    def on_predict_end(self, logs: Any = None) -> None:
        """How many samples."""
        if self.verbose:
            print(f"Predict samples: {logs['samples']}")

    def _line(self, done: int, total: int | None, logs: dict[str, Any]) -> None:
        width = len(str(total)) if total else 3
        text = f"step {done:{width}d}/{total}" if total else f"step {done:3d}"
        for name in self.params["metrics"]:
            if name in logs:
                values = logs[name] if isinstance(logs[name], list) else [logs[name]]
                text += f" - {name}:" + "".join(f" {_number(value)}" for value in values)
        text += f" - {_pace((time.time() - self._began) / done)}/step"
        if self.verbose == 1:
            sys.stdout.write("\r" + text + ("\n" if done == total else ""))
        else:
            print(text)
        sys.stdout.flush()


def _number(value: Any) -> str:
    if not isinstance(value, (float, np.floating)):
        return str(value)
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


def _pace(seconds: float) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


class ModelCheckpoint(Callback):
    """Saves after every ``save_freq`` epochs, and as ``final``."""

    def __init__(self, save_freq: int = 1, save_dir: str | None = None) -> None:
        super().__init__()
        self.save_freq, self.save_dir = save_freq, save_dir

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save the epoch."""
        if self.save_dir and epoch % self.save_freq == 0:
            path = os.path.join(self.save_dir, str(epoch))
            print(f"save checkpoint at {os.path.abspath(path)}")
            self.model.save(path)

    def on_train_end(self, logs: Any = None) -> None:
        """Save the end."""
        if self.save_dir:
            path = os.path.join(self.save_dir, "final")
            print(f"save checkpoint at {os.path.abspath(path)}")
            self.model.save(path)


class LRScheduler(Callback):
    """Moves the optimizer's learning rate on, every step or every epoch."""

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


class EarlyStopping(Callback):
    """Stops when ``monitor`` of the evaluation has not become better for more than ``patience`` evaluations."""

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
        self.monitor, self.patience, self.verbose, self.min_delta = monitor, patience, verbose, abs(min_delta)
        self.up = mode == "max" or (mode == "auto" and "acc" in monitor)
        self.best, self.waited, self.save_best_model = baseline, 0, save_best_model
        self.save_dir: str | None = None

    def on_eval_end(self, logs: Any = None) -> None:
        """Compare."""
        if self.monitor not in logs:
            raise ArgumentError(f"EarlyStopping: no '{self.monitor}' among {', '.join(logs)}")
        found = logs[self.monitor]
        value = float(found[0] if isinstance(found, list) else found)
        gain = None if self.best is None else (value - self.best) * (1 if self.up else -1)
        if gain is None or gain > self.min_delta:
            self.best, self.waited = value, 0
            if self.save_best_model and self.params.get("save_dir"):
                self.model.save(os.path.join(self.params["save_dir"], "best_model"))
            return
        self.waited += 1
        if self.waited > self.patience:
            self.model.stop_training = True
            if self.verbose:
                print("Early stopping: no better than before.")
