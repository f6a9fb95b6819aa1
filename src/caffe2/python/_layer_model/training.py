"""How a `LayerModelHelper` is trained: optimizers, regularizers and what changes the net at the end.

Owned here: what is added to a training net behind the layers. Who calls it: layer_model_helper.py, whose class this
is a part of, and layer_model_instantiator.py.
"""

from __future__ import annotations

from typing import Any

from caffe2.python import core, muji, schema
from caffe2.python._errors import MisuseError, require
from caffe2.python.modeling.net_modifier import NetModifier
from caffe2.python.optimizer import get_param_device
from caffe2.python.regularizer import RegularizationBy, Regularizer


class ModelTraining:
    """The updates of a model's parameters."""

    add_loss: Any

    def _start_training(self) -> None:
        self.param_to_optim: dict[str, Any] = {}
        self.param_to_reg: dict[Any, Any] = {}
        self._default_optimizer: Any = None
        self._post_grad_net_modifiers: list[NetModifier] = []
        self._final_net_modifiers: list[NetModifier] = []

    @property
    def default_optimizer(self) -> Any:
        """The optimizer of parameters whose layer names none."""
        return self._default_optimizer

    @default_optimizer.setter
    def default_optimizer(self, optimizer: Any) -> None:
        self._default_optimizer = optimizer

    def NoOptim(self, *args: Any, **kwargs: Any) -> None:
        """The optimizer of a parameter that is not trained."""

    def _add_modifier(self, known: list[NetModifier], modifier: Any) -> None:
        require(isinstance(modifier, NetModifier), f"expected a NetModifier; got {type(modifier).__name__}.")
        require(modifier not in known, f"modifier {modifier} was added already.")
        known.append(modifier)

    def add_post_grad_net_modifiers(self, modifier: Any) -> None:
        """Let a `NetModifier` change the training net behind the gradients."""
        self._add_modifier(self._post_grad_net_modifiers, modifier)

    def add_final_net_modifiers(self, modifier: Any) -> None:
        """Let a `NetModifier` change the training net at the end."""
        self._add_modifier(self._final_net_modifiers, modifier)

    def apply_post_grad_net_modifiers(
        self,
        trainer_net: Any,
        trainer_init_net: Any,
        grad_map: dict[str, Any],
        blob_to_device: dict[str, Any] | None = None,
        modify_output_record: bool = False,
    ) -> None:
        """Run the modifiers of `add_post_grad_net_modifiers` on the gradients of parameters."""
        grads = {param: grad_map[param] for param in self.param_to_optim if param in grad_map}
        options = {"blob_to_device": blob_to_device, "modify_output_record": modify_output_record}
        for modifier in self._post_grad_net_modifiers:
            modifier(trainer_net, trainer_init_net, grads, **options)  # type: ignore[arg-type]

    def apply_final_net_modifiers(
        self,
        trainer_net: Any,
        trainer_init_net: Any,
        grad_map: dict[str, Any],
        blob_to_device: dict[str, Any] | None = None,
        modify_output_record: bool = False,
    ) -> None:
        """Run the modifiers of `add_final_net_modifiers`."""
        options = {"blob_to_device": blob_to_device, "modify_output_record": modify_output_record}
        for modifier in self._final_net_modifiers:
            modifier(trainer_net, trainer_init_net, grad_map, **options)  # type: ignore[arg-type]

    def _regularizers(self) -> list[tuple[Any, Any]]:
        pairs = [(param, by) for param, by in self.param_to_reg.items() if by is not None]
        for param, by in pairs:
            if not isinstance(by, Regularizer):
                raise MisuseError(f"the regularizer of {param} is a {type(by).__name__}, not a Regularizer.")
        return pairs

    def apply_regularizers_on_loss(
        self, train_net: Any, train_init_net: Any, blob_to_device: dict[str, Any] | None = None
    ) -> None:
        """Add the penalties on parameters to the loss."""
        for param, regularizer in self._regularizers():
            blob = regularizer(train_net, train_init_net, param, grad=None, by=RegularizationBy.ON_LOSS)
            if blob is not None:
                self.add_loss(schema.Scalar(blob=blob), str(blob))

    def _device_of(self, param: Any, grad: Any, blob_to_device: dict[str, Any] | None) -> Any:
        return get_param_device(
            param, grad, param_to_device=blob_to_device or {}, default_device=muji.OnCPU()
        )

    def apply_regularizers_after_optimizer(
        self,
        train_net: Any,
        train_init_net: Any,
        grad_map: dict[str, Any],
        blob_to_device: dict[str, Any] | None = None,
    ) -> None:
        """Add the bounds on parameters behind their updates."""
        for param, regularizer in self._regularizers():
            grad = grad_map.get(str(param))
            with core.DeviceScope(self._device_of(param, grad, blob_to_device)):
                by = RegularizationBy.AFTER_OPTIMIZER
                regularizer(train_net, train_init_net, param, grad=grad, by=by)

    def apply_optimizers(
        self,
        train_net: Any,
        train_init_net: Any,
        grad_map: dict[str, Any],
        blob_to_device: dict[str, Any] | None = None,
    ) -> None:
        """Add the parameters' updates; MisuseError if one has no optimizer."""
        for param, optimizer in self.param_to_optim.items():
            require(
                optimizer is not None, f"parameter {param} has no optimizer: set default_optimizer first."
            )
            device = self._device_of(param, grad_map.get(str(param)), blob_to_device)
            if device is not None:
                del device.extra_info[:]
            with core.DeviceScope(device):
                optimizer(train_net, train_init_net, param, grad_map.get(str(param)))
