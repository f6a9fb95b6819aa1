"""Logs of trainings: how many inputs in how much time, and what else a program says.

Source: caffe2/python/experiment_util.py.
"""

from __future__ import annotations

import abc
import datetime
import logging
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any


class ExternalLogger(abc.ABC):
    """Another place to log to."""

    @abc.abstractmethod
    def set_runtime_args(self, runtime_args: dict[str, Any]) -> None:
        """Called once, with the program's arguments, ``experiment_id`` and ``hostname``."""

    @abc.abstractmethod
    def log(self, log_dict: dict[str, Any]) -> None:
        """Called with every entry."""


class ModelTrainerLog:
    """A log of comma-separated values in ``<experiment_id>.log`` in the current folder.

    Args:
        expname: begins the experiment's id; the time follows.
        runtime_args: the program's arguments: a dict or a namespace. They are the log's first line.
        external_loggers: other places to log to.
    """

    def __init__(
        self, expname: str, runtime_args: Any, external_loggers: Iterable[ExternalLogger] | None = None
    ) -> None:
        now = datetime.datetime.now()
        self.experiment_id = f"{expname}_{now:%Y%m%d_%H%M%S}"
        self.filename = f"{self.experiment_id}.log"
        self.logstr(f"# {runtime_args}")
        self.headers: list[str] | None = None
        self.start_time = self.last_time = time.time()
        self.last_input_count = 0
        self.external_loggers = list(external_loggers or ())
        if self.external_loggers:
            args = dict(runtime_args if isinstance(runtime_args, Mapping) else vars(runtime_args))
            args.update(experiment_id=self.experiment_id, hostname=socket.gethostname())
            for logger in self.external_loggers:
                logger.set_runtime_args(args)

    def logstr(self, str: str) -> None:
        """Write a line."""
        with open(self.filename, "a", encoding="utf-8") as file:
            file.write(f"{str}\n")
        logging.getLogger("experiment_logger").info("%s", str)

    def log(self, input_count: int, batch_count: int, additional_values: Mapping[str, Any]) -> None:
        """Write an entry; the names of the columns come before the first.

        Args:
            input_count: inputs seen so far.
            batch_count: batches seen so far.
            additional_values: further columns, always the same.
        """
        entry = self._entry(input_count, batch_count)
        entry.update((name, additional_values[name]) for name in sorted(additional_values))
        if self.headers is None:
            self.headers = list(entry)
            self.logstr(",".join(self.headers))
        self.logstr(",".join(map(str, entry.values())))
        for logger in self.external_loggers:
            try:
                logger.log(entry)
            except Exception as error:  # a training must not end because a log elsewhere cannot be written
                logging.warning("external logger %s failed: %s", type(logger).__name__, error)

    def _entry(self, input_count: int, batch_count: int) -> dict[str, Any]:
        now = time.time()
        seconds, inputs = now - self.last_time, input_count - self.last_input_count
        self.last_time, self.last_input_count = now, input_count
        return {
            "time_spent": seconds,
            "cumulative_time_spent": now - self.start_time,
            "input_count": inputs,
            "cumulative_input_count": input_count,
            "cumulative_batch_count": batch_count,
            "inputs_per_sec": inputs / seconds if seconds > 0 else 0.0,
        }
