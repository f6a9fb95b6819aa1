"""What all update rules share: parameters, learning rate, decay, clipping, state."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import Parameter, Tensor, to_tensor
from freshpot.paddle.optimizer.lr import LRScheduler
from freshpot.paddle.regularizer import L2Decay

__all__ = ["Optimizer"]

Groups = list[dict[str, Any]]


class Optimizer:
    """Base class of the update rules.

    Args:
        learning_rate: a number or an :class:`LRScheduler`.
        parameters: a list of parameters, or of dictionaries ``{"params": [...], "learning_rate": factor,
            "weight_decay": ...}``.
        weight_decay: a number (L2) or a decay of :mod:`freshpot.paddle.regularizer`; a parameter's own wins.
        grad_clip: one of ``nn.ClipGradBy...``.

    Raises:
        ArgumentError: no parameters, or a learning rate that is neither.
    """

    #: accumulators: name -> what it starts with, and whether it is one number
    slots: ClassVar[dict[str, tuple[float, bool]]] = {}

    def __init__(
        self,
        learning_rate: Any = 0.001,
        parameters: Any = None,
        weight_decay: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        if parameters is None or not list(parameters):
            raise ArgumentError(f"{type(self).__name__}: give parameters=model.parameters(); there are none")
        if not isinstance(learning_rate, (int, float, LRScheduler)):
            raise ArgumentError(
                f"{type(self).__name__}: learning_rate must be a number or an LRScheduler, "
                f"got {type(learning_rate).__name__}"
            )
        self._learning_rate = learning_rate
        self._grad_clip = grad_clip
        self.regularization = (
            L2Decay(weight_decay) if isinstance(weight_decay, (int, float)) else weight_decay
        )
        self._groups = self._make_groups(list(parameters))
        self._state: defaultdict[int, dict[str, torch.Tensor]] = defaultdict(dict)

    def _make_groups(self, given: list[Any]) -> Groups:
        if not isinstance(given[0], dict):
            given = [{"params": given}]
        for group in given:
            if not all(isinstance(p, Parameter) for p in group["params"]):
                raise ArgumentError(f"{type(self).__name__}: parameters must be parameters of layers")
        return given

    @property
    def _parameter_list(self) -> list[Parameter]:
        return [p for group in self._groups for p in group["params"]]

    # ---- learning rate ----
    def get_lr(self) -> float:
        """The learning rate now."""
        rate = self._learning_rate
        return float(rate()) if isinstance(rate, LRScheduler) else float(rate)

    def set_lr(self, value: float) -> None:
        """Another learning rate.

        Raises:
            ArgumentError: a scheduler decides it.
        """
        if isinstance(self._learning_rate, LRScheduler):
            raise ArgumentError("set_lr: the learning rate is an LRScheduler's; change that")
        self._learning_rate = float(value)

    # ---- steps ----
    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        work = [(p, group) for group in self._groups for p in group["params"] if p.data_.grad is not None]
        work = [(p, group) for p, group in work if p.data_.requires_grad]
        grads = self._clipped([p for p, _ in work])
        rate = self.get_lr()
        for (parameter, group), grad in zip(work, grads, strict=True):
            decay = parameter.regularizer or self._decay_of(group)
            if decay is not None:
                grad = grad + decay.penalty(parameter.data_)
            own = rate * parameter.optimize_attr["learning_rate"] * group.get("learning_rate", 1.0)
            self.update(parameter, grad, own, self._slots_of(parameter))

    def _decay_of(self, group: dict[str, Any]) -> Any:
        decay = group.get("weight_decay", self.regularization)
        return L2Decay(decay) if isinstance(decay, (int, float)) else decay

    def _clipped(self, parameters: list[Parameter]) -> list[Any]:
        grads: list[Any] = [p.data_.grad for p in parameters]
        if self._grad_clip is None:
            return grads
        places = [i for i, p in enumerate(parameters) if p.need_clip]
        for i, grad in zip(places, self._grad_clip.clip([grads[i] for i in places]), strict=True):
            grads[i] = grad
        return grads

    def _slots_of(self, parameter: Parameter) -> dict[str, torch.Tensor]:
        state = self._state[id(parameter)]
        if not state:
            for name, (start, single) in self.slots.items():
                shape = (1,) if single else parameter.data_.shape
                state[name] = torch.full(shape, self.start_of(name, start), dtype=parameter.data_.dtype)
                state[name] = state[name].to("cpu" if single else parameter.data_.device)
        return state

    def start_of(self, name: str, start: float) -> float:
        """What an accumulator starts with."""
        return start

    def update(
        self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: dict[str, torch.Tensor]
    ) -> None:
        """Change one parameter in place."""
        raise NotImplementedError(f"{type(self).__name__} must define update()")

    def minimize(
        self, loss: Tensor, startup_program: Any = None, parameters: Any = None, no_grad_set: Any = None
    ) -> Any:
        """One step; ``loss.backward()`` has been called before."""
        self.step()
        return [], [(p, p.grad) for p in self._parameter_list]

    def clear_grad(self, set_to_zero: bool = True) -> None:
        """Forget all gradients."""
        for parameter in self._parameter_list:
            parameter.data_.grad = None

    clear_gradients = clear_grad

    # ---- state ----
    def state_dict(self) -> dict[str, Any]:
        """Accumulators as ``<parameter>_<name>_0``, and the scheduler's state."""
        made: dict[str, Any] = {}
        for parameter in self._parameter_list:
            for name, value in self._state.get(id(parameter), {}).items():
                made[f"{parameter.name}_{name}_0"] = Tensor(value, f"{parameter.name}_{name}_0")
        if isinstance(self._learning_rate, LRScheduler):
            made["LR_Scheduler"] = self._learning_rate.state_dict()
        return made

    def set_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of :meth:`state_dict`; names that are not there start anew.

        Raises:
            ArgumentError: an accumulator of another shape.
        """
        if isinstance(self._learning_rate, LRScheduler) and "LR_Scheduler" in state_dict:
            self._learning_rate.set_state_dict(state_dict["LR_Scheduler"])
        for parameter in self._parameter_list:
            for name in self.slots:
                value = state_dict.get(f"{parameter.name}_{name}_0")
                if value is None:
                    continue
                own, new = self._slots_of(parameter)[name], to_tensor(value).data_
                if own.numel() != new.numel():
                    raise ArgumentError(
                        f"set_state_dict: {parameter.name}_{name}_0 has shape {list(new.shape)}, "
                        f"expected {list(own.shape)}"
                    )
                own.copy_(new.reshape(own.shape))

    set_dict = set_state_dict
