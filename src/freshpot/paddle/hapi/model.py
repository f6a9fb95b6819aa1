"""Model: a network with its training, evaluation and prediction."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from freshpot.errors import ArgumentError, DataError
from freshpot.paddle._files import load, save
from freshpot.paddle._tensor import Tensor, to_tensor
from freshpot.paddle.hapi.callbacks import Callback, LRScheduler, ModelCheckpoint, ProgBarLogger
from freshpot.paddle.hapi.summary import summary
from freshpot.paddle.io.loader import DataLoader
from freshpot.paddle.metric import Metric
from freshpot.paddle.nn.layer import Layer

__all__ = ["Model"]


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _tensors(values: Any) -> list[Tensor]:
    return [value if isinstance(value, Tensor) else to_tensor(np.asarray(value)) for value in _list(values)]


def _shortest(loss: Tensor) -> float:
    """A float32 as the Python number that prints the same digits."""
    return float(str(np.float32(loss.item())))


class Model:
    """A network, with what trains and measures it.

    Args:
        network: a layer.
        inputs, labels: :class:`InputSpec` each, or lists; they tell how many of a batch's fields are inputs.
    """

    def __init__(self, network: Layer, inputs: Any = None, labels: Any = None) -> None:
        self.network = network
        self._inputs, self._labels = _list(inputs), _list(labels)
        self._optimizer: Any = None
        self._loss: Any = None
        self._metrics: list[Metric] = []
        self.stop_training = False
        self.mode = "train"

    def prepare(
        self, optimizer: Any = None, loss: Any = None, metrics: Any = None, amp_configs: Any = None
    ) -> None:
        """Say what trains, what is minimised, what is measured.

        Raises:
            ArgumentError: a loss that cannot be called, or a metric that is none.
        """
        if loss is not None and not callable(loss):
            raise ArgumentError(f"prepare: loss must be a layer or a function, got {type(loss).__name__}")
        wrong = [m for m in _list(metrics) if not isinstance(m, Metric)]
        if wrong:
            raise ArgumentError(f"prepare: {type(wrong[0]).__name__} is no paddle.metric.Metric")
        self._optimizer, self._loss, self._metrics = optimizer, loss, _list(metrics)

    def parameters(self, *args: Any, **keywords: Any) -> Any:
        """The network's parameters."""
        return self.network.parameters(*args, **keywords)

    def summary(self, input_size: Any = None, dtype: Any = None) -> dict[str, int]:
        """Print layers, shapes and numbers of parameters."""
        if input_size is None and self._inputs:
            input_size = [tuple(spec.shape) for spec in self._inputs]
        return summary(self.network, input_size, dtype)

    # ---- one batch ----
    def _run(self, inputs: Any, labels: Any) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        wanted = _tensors(labels)
        outputs = _list(self.network(*_tensors(inputs)))
        losses = _list(self._loss(*outputs, *wanted)) if self._loss is not None else []
        return outputs, wanted, losses

    def _measure(self, outputs: list[Tensor], labels: list[Tensor]) -> list[Any]:
        return [m.update(*_list(m.compute(*outputs, *labels))) for m in self._metrics]

    def _answer(self, losses: list[Tensor], measured: list[Any]) -> Any:
        numbers = [_shortest(loss) for loss in losses]
        return (numbers, measured) if self._metrics and self._loss is not None else numbers or measured

    def train_batch(self, inputs: Any, labels: Any = None, update: bool = True) -> Any:
        """One step; the losses, and what the metrics say.

        Raises:
            ArgumentError: ``prepare`` was not given an optimizer and a loss.
        """
        if self._optimizer is None or self._loss is None:
            raise ArgumentError("training needs prepare(optimizer, loss)")
        self.network.train()
        outputs, wanted, losses = self._run(inputs, labels)
        total = losses[0]
        for loss in losses[1:]:
            total = total + loss  # type: ignore[operator]
        total.backward()
        if update:
            self._optimizer.step()
            self._optimizer.clear_grad()
        return self._answer(losses, self._measure(outputs, wanted))

    @torch.no_grad()
    def eval_batch(self, inputs: Any, labels: Any = None) -> Any:
        """Losses and what the metrics say, without learning."""
        self.network.eval()
        outputs, wanted, losses = self._run(inputs, labels)
        return self._answer(losses, self._measure(outputs, wanted))

    @torch.no_grad()
    def predict_batch(self, inputs: Any) -> list[np.ndarray[Any, Any]]:
        """The outputs as arrays."""
        self.network.eval()
        return [output.numpy() for output in _list(self.network(*_tensors(inputs)))]

    test_batch = predict_batch

    # ---- whole data sets ----
    def fit(
        self,
        train_data: Any = None,
        eval_data: Any = None,
        batch_size: int = 1,
        epochs: int = 1,
        eval_freq: int = 1,
        log_freq: int = 10,
        save_dir: str | None = None,
        save_freq: int = 1,
        verbose: int = 2,
        drop_last: bool = False,
        shuffle: bool = True,
        num_workers: int = 0,
        callbacks: Any = None,
        accumulate_grad_batches: int = 1,
        num_iters: int | None = None,
    ) -> None:
        """Train; evaluate every ``eval_freq`` epochs where ``eval_data`` is given."""
        loader = self._loader(train_data, batch_size, shuffle, drop_last)
        watching = self._callbacks(callbacks, log_freq, verbose, epochs, save_dir, save_freq)
        self.stop_training = False
        _tell(watching, "on_train_begin", {})
        for epoch in range(epochs):
            _tell(watching, "on_epoch_begin", epoch, {})
            logs = self._epoch(loader, watching, "train", accumulate_grad_batches, num_iters)
            _tell(watching, "on_epoch_end", epoch, logs)
            if eval_data is not None and (epoch % eval_freq == 0 or epoch == epochs - 1):
                self._evaluate(self._loader(eval_data, batch_size, False, False), watching)
            if self.stop_training:
                break
        _tell(watching, "on_train_end", {})

    def evaluate(
        self,
        eval_data: Any,
        batch_size: int = 1,
        log_freq: int = 10,
        verbose: int = 2,
        num_workers: int = 0,
        callbacks: Any = None,
        num_iters: int | None = None,
    ) -> dict[str, Any]:
        """Losses of the last batch and metrics of all."""
        loader = self._loader(eval_data, batch_size, False, False)
        logs = self._evaluate(loader, self._callbacks(callbacks, log_freq, verbose), num_iters)
        return {name: logs[name] for name in self._names() if name in logs}

    def _evaluate(self, loader: Any, watching: list[Any], limit: int | None = None) -> dict[str, Any]:
        _tell(watching, "on_eval_begin", {})
        logs = self._epoch(loader, watching, "eval", 1, limit)
        _tell(watching, "on_eval_end", logs)
        return logs

    def predict(
        self,
        test_data: Any,
        batch_size: int = 1,
        num_workers: int = 0,
        stack_outputs: bool = False,
        verbose: int = 1,
        callbacks: Any = None,
    ) -> list[Any]:
        """For each output a list of batches, or with ``stack_outputs`` one array."""
        loader = self._loader(test_data, batch_size, False, False)
        watching = self._callbacks(callbacks, 1, verbose)
        total, samples, made = _length(loader), 0, []
        _tell(watching, "on_predict_begin", {})
        for step, batch in enumerate(loader):
            fields = _list(batch)
            inputs = fields[: len(self._inputs) or max(1, len(fields) - 1)]
            made.append(self.predict_batch(inputs))
            samples += len(inputs[0])
            _tell(watching, "on_predict_batch_end", step, {"steps": total})
        _tell(watching, "on_predict_end", {"samples": samples})
        outputs = [list(part) for part in zip(*made, strict=True)]
        return [np.concatenate(part) for part in outputs] if stack_outputs else outputs

    def _epoch(
        self, loader: Any, watching: list[Any], mode: str, accumulate: int, limit: int | None
    ) -> dict[str, Any]:
        for metric in self._metrics:
            metric.reset()
        total, samples = _length(loader), 0
        total = min(total, limit) if total and limit else total or limit
        logs: dict[str, Any] = {"steps": total}
        for step, batch in enumerate(loader):
            if limit is not None and step >= limit:
                break
            fields = _list(batch)
            if not fields:
                raise DataError("the data set gave a batch without fields")
            cut = len(self._inputs) if 0 < len(self._inputs) < len(fields) else max(1, len(fields) - 1)
            inputs, labels = fields[:cut], fields[cut:]
            samples += len(inputs[0])
            _tell(watching, f"on_{mode}_batch_begin", step, logs)
            if mode == "train":
                answer = self.train_batch(inputs, labels, (step + 1) % accumulate == 0 or step + 1 == total)
            else:
                answer = self.eval_batch(inputs, labels)
            logs.update(self._logs(answer), samples=samples)
            _tell(watching, f"on_{mode}_batch_end", step, logs)
        return logs

    def _logs(self, answer: Any) -> dict[str, Any]:
        losses = answer[0] if isinstance(answer, tuple) else answer
        logs: dict[str, Any] = {"loss": losses} if self._loss is not None else {}
        for metric in self._metrics:
            logs.update(zip(_list(metric.name()), _list(metric.accumulate()), strict=True))
        return logs

    def _names(self) -> list[str]:
        names = ["loss"] if self._loss is not None else []
        return names + [name for metric in self._metrics for name in _list(metric.name())]

    def _loader(self, data: Any, batch_size: int, shuffle: bool, drop_last: bool) -> Any:
        if data is None:
            raise ArgumentError("give a data set or a DataLoader")
        if isinstance(data, (DataLoader, list)) or not hasattr(data, "__getitem__"):
            return data
        return DataLoader(data, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last)

    def _callbacks(
        self,
        given: Any,
        log_freq: int,
        verbose: int,
        epochs: int = 1,
        save_dir: str | None = None,
        save_freq: int = 1,
    ) -> list[Callback]:
        all_of = _list(given)
        if not any(isinstance(c, ProgBarLogger) for c in all_of):
            all_of.insert(0, ProgBarLogger(log_freq, verbose))
        if not any(isinstance(c, LRScheduler) for c in all_of):
            all_of.append(LRScheduler())
        if save_dir and not any(isinstance(c, ModelCheckpoint) for c in all_of):
            all_of.append(ModelCheckpoint(save_freq, save_dir))
        for callback in all_of:
            callback.set_model(self)
            callback.set_params(
                {"epochs": epochs, "verbose": verbose, "metrics": self._names(), "save_dir": save_dir}
            )
        return all_of

    # ---- files ----
    def save(self, path: str, training: bool = True) -> None:
        """``path.pdparams``, and while training ``path.pdopt``."""
        save(self.network.state_dict(), path + ".pdparams")
        if training and self._optimizer is not None:
            save(self._optimizer.state_dict(), path + ".pdopt")

    def load(self, path: str, skip_mismatch: bool = False, reset_optimizer: bool = False) -> None:
        """Take up what :meth:`save` wrote.

        Raises:
            FormatError: a file is corrupt or no data.
            ArgumentError: a shape that does not fit (``skip_mismatch`` leaves it out).
        """
        base = path.removesuffix(".pdparams")
        state = load(base + ".pdparams")
        if skip_mismatch:
            own = self.network.state_dict()
            state = {n: v for n, v in state.items() if n in own and own[n].shape == list(np.shape(v))}
        self.network.set_state_dict(state)
        if self._optimizer is not None and not reset_optimizer and os.path.exists(base + ".pdopt"):
            self._optimizer.set_state_dict(load(base + ".pdopt"))


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except (TypeError, ArgumentError):
        return None


def _tell(callbacks: list[Any], event: str, *args: Any) -> None:
    for callback in callbacks:
        heard = getattr(callback, event, None)
        if heard is not None:
            heard(*args)
