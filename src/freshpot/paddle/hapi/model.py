"""Model: a network with its training, evaluation and prediction."""

from __future__ import annotations

import importlib
import inspect
import os
import warnings
from typing import Any

import numpy as np
import torch

from freshpot.errors import ArgumentError, DataError, NotSupportedError, near_matches
from freshpot.paddle._files import load, save
from freshpot.paddle._tensor import Tensor, to_tensor
from freshpot.paddle.hapi.callbacks import Callback, LRScheduler, ModelCheckpoint, ProgBarLogger
from freshpot.paddle.hapi.summary import summary
from freshpot.paddle.io.dataset import IterableDataset
from freshpot.paddle.io.loader import DataLoader
from freshpot.paddle.io.sampler import DistributedBatchSampler
from freshpot.paddle.metric import Metric
from freshpot.paddle.nn.layer import Layer

__all__ = ["Model"]


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _tensors(values: Any) -> list[Tensor]:
    return [value if isinstance(value, Tensor) else to_tensor(np.asarray(value)) for value in _list(values)]


def _arguments(network: Layer) -> int | None:
    """How many inputs ``forward`` takes; None: as many as there are."""
    kinds = [p.kind for p in inspect.signature(network.forward).parameters.values()]
    named = sum(
        kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds
    )
    return None if inspect.Parameter.VAR_POSITIONAL in kinds else max(1, named)


def _shortest(loss: Tensor) -> float:
    """A float32 as the Python number that prints the same digits."""
    return float(str(np.float32(loss.item())))


class Model:
    """A network, with what trains and measures it.

    Args:
        network: a layer.
        inputs, labels: :class:`InputSpec` each, or lists. A batch's first fields are inputs: as many as there are
            specifications, or without any as ``network.forward`` takes.
    """

    def __init__(self, network: Layer, inputs: Any = None, labels: Any = None) -> None:
        self.network = network
        self._inputs, self._labels = _list(inputs), _list(labels)
        self._input_count = len(self._inputs) or _arguments(network)
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
            NotSupportedError: ``amp_configs`` (mixed precision).
        """
        level = amp_configs.get("level", "O1") if isinstance(amp_configs, dict) else amp_configs
        if level not in (None, "O0"):
            raise NotSupportedError("prepare: amp_configs (mixed precision) is not done here; leave it out")
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
        """Train; evaluate after epoch 0, ``eval_freq``, 2 ``eval_freq`` … where ``eval_data`` is given.

        Args:
            batch_size: one number, or one for training and one for evaluation.
            num_iters: stop after so many steps; ``epochs`` then follows from it.

        Raises:
            ArgumentError: nothing to train on, or ``num_iters`` below 1.
        """
        sizes = list(batch_size) if isinstance(batch_size, (list, tuple)) else [batch_size] * 2
        loader = self._loader(train_data, sizes[0], shuffle, drop_last, num_workers)
        tested = None if eval_data is None else self._loader(eval_data, sizes[1], False, False, num_workers)
        steps, left = _length(loader), num_iters
        if num_iters is not None:
            if num_iters < 1:
                raise ArgumentError(f"fit: num_iters must be 1 or more, got {num_iters}")
            epochs = epochs if steps is None else num_iters // steps + 1
            steps = num_iters if steps is None else min(num_iters, steps)
        watching = self._callbacks(callbacks, log_freq, verbose, epochs, steps, save_dir, save_freq)
        self.stop_training = False
        logs: dict[str, Any] = {}
        _tell(watching, "on_train_begin", None)
        for epoch in range(epochs):
            _tell(watching, "on_epoch_begin", epoch, None)
            logs = self._epoch(loader, watching, "train", accumulate_grad_batches, left)
            _tell(watching, "on_epoch_end", epoch, logs)
            if tested is not None and epoch % eval_freq == 0:
                self._evaluate(tested, watching)
            left = None if left is None else left - logs["step"] - 1
            if self.stop_training or left == 0:
                break
        _tell(watching, "on_train_end", logs)

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
        loader = self._loader(eval_data, batch_size, False, False, num_workers)
        logs = self._evaluate(loader, self._callbacks(callbacks, log_freq, verbose), num_iters)
        return {name: logs[name] for name in self._names() if name in logs}

    def _evaluate(self, loader: Any, watching: list[Any], limit: int | None = None) -> dict[str, Any]:
        steps = _length(loader)
        steps = limit if steps is None else min(steps, limit or steps)
        _tell(watching, "on_eval_begin", {"steps": steps, "metrics": self._names()})
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
        loader = self._loader(test_data, batch_size, False, False, num_workers)
        watching, made = self._callbacks(callbacks, 2, verbose), []
        logs: dict[str, Any] = {}
        _tell(watching, "on_predict_begin", {"steps": _length(loader)})
        for step, batch in enumerate(loader):
            fields = _list(batch)
            inputs = fields[: self._input_count]
            _tell(watching, "on_predict_batch_begin", step, logs)
            made.append(self.predict_batch(inputs))
            logs = {"step": step, "batch_size": len(inputs[0])}
            _tell(watching, "on_predict_batch_end", step, logs)
        _tell(watching, "on_predict_end", logs)
        outputs = [list(part) for part in zip(*made, strict=True)]
        return [np.concatenate(part) for part in outputs] if stack_outputs else outputs

    def _epoch(
        self, loader: Any, watching: list[Any], mode: str, accumulate: int, limit: int | None
    ) -> dict[str, Any]:
        for metric in self._metrics:
            metric.reset()
        total = _length(loader)
        logs: dict[str, Any] = {}
        for step, batch in enumerate(loader):
            fields = _list(batch)
            if not fields:
                raise DataError("the data set gave a batch without fields")
            inputs, labels = fields[: self._input_count], fields[self._input_count :]
            _tell(watching, f"on_{mode}_batch_begin", step, logs)
            if mode == "train":
                answer = self.train_batch(inputs, labels, (step + 1) % accumulate == 0 or step + 1 == total)
            else:
                answer = self.eval_batch(inputs, labels)
            logs.update(self._logs(answer), step=step, batch_size=len(inputs[0]))
            _tell(watching, f"on_{mode}_batch_end", step, logs)
            if limit is not None and step + 1 >= limit:
                break
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

    def _loader(self, data: Any, batch_size: int, shuffle: bool, drop_last: bool, num_workers: int) -> Any:
        if data is None:
            raise ArgumentError("give a data set or a DataLoader")
        if isinstance(data, IterableDataset):
            return DataLoader(data, batch_size=batch_size, drop_last=drop_last, num_workers=num_workers)
        if isinstance(data, (DataLoader, list)) or not hasattr(data, "__getitem__"):
            return data
        order = DistributedBatchSampler(data, batch_size, shuffle=shuffle, drop_last=drop_last)
        return DataLoader(data, batch_sampler=order, num_workers=num_workers)

    def _callbacks(
        self,
        given: Any,
        log_freq: int,
        verbose: int,
        epochs: int | None = None,
        steps: int | None = None,
        save_dir: str | None = None,
        save_freq: int = 1,
    ) -> list[Callback]:
        all_of = _list(given)
        if verbose and not any(isinstance(c, ProgBarLogger) for c in all_of):
            all_of.insert(0, ProgBarLogger(log_freq, verbose))
        if not any(isinstance(c, LRScheduler) for c in all_of):
            all_of.append(LRScheduler())
        if save_dir and not any(isinstance(c, ModelCheckpoint) for c in all_of):
            all_of.append(ModelCheckpoint(save_freq, save_dir))
        params = {
            "batch_size": None, "epochs": epochs, "steps": steps, "verbose": verbose,
            "metrics": self._names() if epochs is not None else [], "save_dir": save_dir,
        }  # fmt: skip
        for callback in all_of:
            callback.set_model(self)
            callback.set_params(dict(params))
        return all_of

    # ---- files ----
    def save(self, path: str, training: bool = True) -> None:
        """``path.pdparams``, and ``path.pdopt`` where there is an optimizer; not for training: as ``jit.save`` does.

        Raises:
            ArgumentError: not ``training``, and the model was not told its ``inputs``.
        """
        if not training:
            jit = importlib.import_module("freshpot.paddle.jit")
            jit.save(self.network, path, self._inputs or None, who="Model.save")
            return
        save(self.network.state_dict(), path + ".pdparams")
        if self._optimizer is not None:
            save(self._optimizer.state_dict(), path + ".pdopt")

    def load(self, path: str, skip_mismatch: bool = False, reset_optimizer: bool = False) -> None:
        """Take up what :meth:`save` wrote.

        Raises:
            FormatError: a file is corrupt or no data.
            ArgumentError: a parameter that the file lacks, or has in another shape (``skip_mismatch`` leaves both as
                they are, and says so).
        """
        base = path.removesuffix(".pdparams")
        state = load(base + ".pdparams")
        for name, value in self.network.state_dict().items():
            if name not in state:
                wrong = f"{name} is not found in the providing file.{near_matches(name, state)}"
            elif (shape := list(np.shape(state[name]))) != value.shape:
                wrong = f"{name} receives a shape {shape}, but the expected shape is {value.shape}."
            else:
                continue
            if not skip_mismatch:
                raise ArgumentError(f"{base}.pdparams: {wrong} Is it the model of another net?")
            warnings.warn(f"Skip loading for {name}. {wrong}", stacklevel=2)
            state.pop(name, None)
            reset_optimizer = True
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
