"""What all update rules share: parameters, learning rate, decay, clipping, state."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle import _tensor
from freshpot.paddle._tensor import Parameter, Tensor, to_tensor
from freshpot.paddle.optimizer.schedules import LRScheduler
from freshpot.paddle.regularizer import L2Decay

__all__ = ["Optimizer", "Slots"]

Groups = list[dict[str, Any]]
Slots = dict[str, torch.Tensor]


class Optimizer:
    """Base class of the update rules.

    A parameter whose gradient was cleared and not computed since counts with a gradient of zeros, as in the original.

    Args:
        learning_rate: a number or an :class:`LRScheduler`.
        parameters: a list of parameters, or of dictionaries ``{"params": [...], "learning_rate": factor,
            "weight_decay": ...}``.
        weight_decay: a number (L2) or a decay of :mod:`freshpot.paddle.regularizer`; a parameter's own wins.
        grad_clip: one of ``nn.ClipGradBy...``.

    Raises:
        ArgumentError: no parameters, or a learning rate that is neither.
    """

    #: accumulators: name -> what it starts with
    slots: ClassVar[dict[str, float]] = {}

    def __init__(
        self,
        learning_rate: Any = 0.001,
        parameters: Any = None,
        weight_decay: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        if not _tensor.recorder and (parameters is None or not list(parameters)):
            raise ArgumentError(f"{type(self).__name__}: give parameters=model.parameters(); there are none")
        if not isinstance(learning_rate, (int, float, LRScheduler)):
            raise ArgumentError(
                f"{type(self).__name__}: learning_rate must be a number or an LRScheduler, "
                f"got {type(learning_rate).__name__}"
            )
        if grad_clip is not None and not hasattr(grad_clip, "clip"):
            raise ArgumentError(
                f"{type(self).__name__}: grad_clip must be one of paddle.nn.ClipGradBy..., "
                f"got {type(grad_clip).__name__}"
            )
        self._learning_rate = learning_rate
        self._grad_clip = grad_clip
        self.regularization = (
            L2Decay(weight_decay) if isinstance(weight_decay, (int, float)) else weight_decay
        )
        self._state: defaultdict[int, Slots] = defaultdict(dict)
        self.take(list(parameters or []))

    def take(self, parameters: list[Any]) -> None:
        """Update these parameters from here on."""
        self._groups = self._make_groups(parameters)
        self._work = [(p, group) for group in self._groups for p in group["params"]]

    def _make_groups(self, given: list[Any]) -> Groups:
        if not given or not isinstance(given[0], dict):
            given = [{"params": given}]
        for group in given:
            if not all(isinstance(p, Parameter) for p in group["params"]):
                raise ArgumentError(f"{type(self).__name__}: parameters must be parameters of layers")
        return given

    def _check(self, multi_precision: bool = False, lazy_mode: bool = False) -> None:
        """Refuse what would make a difference: copies in float32, and updates of the rows that were read only."""
        for parameter in self._parameter_list:
            if multi_precision and parameter.data_.dtype in (torch.float16, torch.bfloat16):
                raise NotSupportedError(
                    f"{type(self).__name__}: multi_precision for {parameter.dtype.name} parameters is not done here"
                )
            if lazy_mode and getattr(parameter, "sparse", False):
                raise NotSupportedError(
                    f"{type(self).__name__}: lazy_mode for an Embedding with sparse=True is not done here"
                )

    @property
    def _parameter_list(self) -> list[Parameter]:
        return [p for p, _ in self._work]

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

    def set_lr_scheduler(self, scheduler: LRScheduler) -> None:
        """Let a scheduler decide the learning rate."""
        self._learning_rate = scheduler

    # ---- steps ----
    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        work, grads = [], []
        for parameter, group in self._work:
            data = parameter.data_
            if not data.requires_grad or (data.grad is None and not parameter.cleared):
                continue
            work.append((parameter, group))
            grads.append(torch.zeros_like(data) if data.grad is None else data.grad)
        if self._grad_clip is not None:
            grads = self._clipped([p for p, _ in work], grads)
        rate = self.get_lr()
        rates = []
        for place, (parameter, group) in enumerate(work):
            decay = parameter.regularizer or self._decay_of(group)
            if decay is not None:
                grads[place] = grads[place] + decay.penalty(parameter.data_)
            rates.append(rate * parameter.optimize_attr["learning_rate"] * group.get("learning_rate", 1.0))
        self.update_all([p for p, _ in work], grads, rates)

    def _decay_of(self, group: dict[str, Any]) -> Any:
        decay = group.get("weight_decay", self.regularization)
        return L2Decay(decay) if isinstance(decay, (int, float)) else decay

    def _clipped(self, parameters: list[Parameter], grads: list[torch.Tensor]) -> list[torch.Tensor]:
        places = [i for i, p in enumerate(parameters) if p.need_clip]
        for i, grad in zip(places, self._grad_clip.clip([grads[i] for i in places]), strict=True):
            grads[i] = grad
        return grads

    def update_all(self, parameters: list[Parameter], grads: list[torch.Tensor], rates: list[float]) -> None:
        """Change parameters in place; rules that can, do all of them in one call."""
        for parameter, grad, rate in zip(parameters, grads, rates, strict=True):
            self.update(parameter, grad, rate, self._slots_of(parameter))

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        raise NotImplementedError(f"{type(self).__name__} must define update()")

    def _slots_of(self, parameter: Parameter) -> Slots:
        state = self._state[id(parameter)]
        if not state:
            for name, start in self.slots.items():
                state[name] = torch.full_like(
                    parameter.data_, self.start_of(name, start), requires_grad=False
                )
        return state

    def start_of(self, name: str, start: float) -> float:
        """What an accumulator starts with."""
        return start

    def minimize(
        self, loss: Tensor, startup_program: Any = None, parameters: Any = None, no_grad_set: Any = None
    ) -> Any:
        """One step; ``loss.backward()`` has been called before. In the static mode both are appended to the program.

        Raises:
            NotSupportedError: a startup program, other parameters, or parameters to leave out.
        """
        if isinstance(loss, _tensor.Symbolic):
            static = importlib.import_module("freshpot.paddle.static.executor")
            return static.minimize(self, loss, parameters or self._parameter_list or None, no_grad_set)
        for what, value in {
            "startup_program": startup_program,
            "parameters": parameters,
            "no_grad_set": no_grad_set,
        }.items():
            if value is not None:
                raise NotSupportedError(
                    f"minimize: {what} is of the static mode; give the optimizer its parameters"
                )
        self.step()
        return [], [(p, p.grad) for p in self._parameter_list]

    def clear_grad(self, set_to_zero: bool = True) -> None:
        """Make all gradients zeros, or forget them."""
        for parameter, _ in self._work:
            data = parameter.data_
            parameter.cleared = set_to_zero and (parameter.cleared or data.grad is not None)
            data.grad = None

    clear_gradients = clear_grad

    # ---- state ----
    def saved_slots(self, slots: Slots) -> dict[str, torch.Tensor]:
        """Accumulators of a parameter as they are saved."""
        return slots

    def loaded_slots(self, parameter: Parameter, found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The way back from :meth:`saved_slots`."""
        return found

    def state_dict(self) -> dict[str, Any]:
        """Accumulators as ``<parameter>_<name>_0``, and the scheduler's state."""
        made: dict[str, Any] = {}
        for parameter in self._parameter_list:
            for name, value in self.saved_slots(self._state.get(id(parameter), {})).items():
                made[f"{parameter.name}_{name}_0"] = Tensor(value, f"{parameter.name}_{name}_0")
        if isinstance(self._learning_rate, LRScheduler):
            made["LR_Scheduler"] = self._learning_rate.state_dict()
        return made

    #: names of accumulators in a saved state
    saved_names: ClassVar[Sequence[str]] = ()

    @torch.no_grad()
    def set_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of :meth:`state_dict`; names that are not there start anew.

        Raises:
            ArgumentError: an accumulator of another shape.
        """
        if isinstance(self._learning_rate, LRScheduler) and "LR_Scheduler" in state_dict:
            self._learning_rate.set_state_dict(state_dict["LR_Scheduler"])
        for parameter in self._parameter_list:
            found = {
                name: to_tensor(state_dict[f"{parameter.name}_{name}_0"]).data_
                for name in (self.saved_names or self.slots)
                if f"{parameter.name}_{name}_0" in state_dict
            }
            own = self._slots_of(parameter)
            for name, new in self.loaded_slots(parameter, found).items():
                if own[name].numel() != new.numel():
                    raise ArgumentError(
                        f"set_state_dict: {parameter.name}_{name}_0 has shape {list(new.shape)}, "
                        f"expected {list(own[name].shape)}"
                    )
                own[name].copy_(new.reshape(own[name].shape))

    set_dict = set_state_dict
