"""Layers whose parameters can be sampled in training. Source: caffe2/python/layers/sampling_trainable_mixin.py."""

from __future__ import annotations

import abc
from typing import Any

from caffe2.python._errors import require


class SamplingTrainableMixin(metaclass=abc.ABCMeta):
    """Training runs on ``train_param_blobs``, the rest on ``param_blobs``; they are the same unless set."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._train_param_blobs: Any = None
        self._train_param_blobs_frozen = False

    @property
    @abc.abstractmethod
    def param_blobs(self) -> list[Any]:
        """The parameters that prediction uses."""

    @property
    def train_param_blobs(self) -> list[Any]:
        """The parameters that training uses; they can be set once, before they are asked for."""
        if self._train_param_blobs is None:
            self.train_param_blobs = self.param_blobs
        return self._train_param_blobs

    @train_param_blobs.setter
    def train_param_blobs(self, blobs: Any) -> None:
        require(not self._train_param_blobs_frozen, "train_param_blobs were set or used already.")
        require(blobs is not None, "train_param_blobs cannot be None.")
        self._train_param_blobs_frozen = True
        self._train_param_blobs = blobs

    def _add_ops(self, net: Any, param_blobs: list[Any]) -> None:
        raise NotImplementedError

    def add_ops(self, net: Any) -> None:
        """Add the operators on ``param_blobs``."""
        self._add_ops(net, self.param_blobs)

    def add_train_ops(self, net: Any) -> None:
        """Add the operators on ``train_param_blobs``."""
        self._add_ops(net, self.train_param_blobs)
