"""A net as a ``torch.nn.Module``.

Owned here: the module and its state. Who calls it: users (`freshpot.torch.module`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from freshpot.errors import ArityError, MissingBlobError, near_matches
from freshpot.net import Op
from freshpot.torch._bound import Bound, Env
from freshpot.torch._modes import in_mode, is_for_use
from freshpot.torch._names import state_keys
from freshpot.torch._sources import Source, read, refuse_effects


def module(
    net: Any,
    parameters: Any = None,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> NetModule:
    """A net as a module: a readable state_dict, trained by autograd, taken by torch.export and torch.compile.

    Args:
        net: a ``caffe.Net`` or the path of a prototxt (run in the TEST phase); a Caffe2 ``NetDef``,
            ``core.Net`` or ``ModelHelper``; the path of an ONNX model or of Paddle's ``.pdmodel``; what `capture`
            gave; or a ``freshpot.net.Net``. Of a net with gradient operators the forward part is taken.
        parameters: for a prototxt the caffemodel; for a ``.pdmodel`` its ``.pdiparams``, found beside it; else a
            mapping or workspace of values by blob, or the net that makes them. None: Caffe2's current
            workspace. Values are copied.
        inputs: blobs that are data, in the order of the module's arguments. None: the net's inputs that
            ``parameters`` lack (a mapping), or that no operator reads as a parameter (a workspace).
        outputs: blobs to return; what they do not need is left out. None: the net's outputs; without any,
            what it makes and does not read.

    Raises:
        NotSupportedError: operators that are no functions of tensors (databases, files, control flow), all named.
        UnknownOperatorError, NetError: the net is wrong, or not a net.
    """
    return NetModule(read(net, parameters, inputs, outputs))


class NetModule(nn.Module):
    """A net as a module. Takes its inputs in the order of ``input_names``, or by name.

    Returns one tensor, or a tuple in the order of ``output_names``. ``train()`` and ``eval()`` switch
    dropout and batch normalisation; at first the mode is the one that the net was written for.

    Gradients are those of the engine's gradient operators. Under torch.compile and torch.export autograd
    derives the kernels instead, which differs where a maximum has ties. Under autocast it computes in float32.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        refuse_effects(source.ops, source.name)
        self.net_name = source.name
        self.input_names = tuple(source.inputs)
        self.output_names = tuple(source.outputs)
        self.ops = source.ops
        #: sizes and type of the inputs, as far as they are known; a first size of None is open
        self.shapes = dict(source.shapes)
        self._modes = {mode: [in_mode(op, mode) for op in source.ops] for mode in (False, True)}
        self._bound: dict[tuple[bool, torch.device], list[Bound]] = {}
        self._checked: Any = None
        self._slots: list[tuple[str, nn.Module, str]] = []
        for blob, key in state_keys(list(source.values), source.ops, source.as_named).items():
            self._hold(blob, key, source)
        written = {blob for op in source.ops for blob in op.outputs}
        written |= {blob for op in self._modes[True] for blob in op.outputs}
        self._states = [slot for slot in self._slots if slot[0] in written]
        for mode in (False, True):  # a tracer must find them made
            self._bind(torch.device("cpu"), mode)
        self.train(not is_for_use(source.ops))

    def _hold(self, blob: str, key: str, source: Source) -> None:
        """Keep a persistent blob under its key."""
        *path, name = key.split(".")
        owner: nn.Module = self
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner._modules[part]  # type: ignore[assignment]
        value = source.values[blob]
        if blob in source.fixed:
            owner.register_buffer(name, value, persistent=blob not in source.constants)
        else:
            owner.register_parameter(name, nn.Parameter(value))
        self._slots.append((blob, owner, name))

    def blob_of(self, key: str) -> str:
        """The net's blob that a key of the state_dict stands for.

        Raises:
            MissingBlobError: there is no such key.
        """
        keys = {found: blob for blob, (found, _) in self.state_blobs().items()}
        if key not in keys:
            raise MissingBlobError(f"there is no parameter '{key}'.{near_matches(key, keys)}")
        return keys[key]

    def state_blobs(self) -> dict[str, tuple[str, Tensor]]:
        """Each persistent blob's key and value, constants included."""
        names = {id(owner): path for path, owner in self.named_modules()}
        return {
            blob: (".".join(filter(None, (names[id(owner)], name))), getattr(owner, name))
            for blob, owner, name in self._slots
        }

    def operators(self) -> list[Op]:
        """The operators as they are in the module's mode."""
        return list(self._modes[self.training])

    def _bind(self, device: torch.device, training: bool) -> list[Bound]:
        key = (training, device)
        if key not in self._bound:
            self._bound[key] = [
                Bound(op, device, self.net_name, self.output_names) for op in self._modes[training]
            ]
        return self._bound[key]

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a file of the module has: operators are bound anew, their machine code is no data."""
        return {**self.__dict__, "_bound": {}, "_checked": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for mode in (False, True):
            self._bind(torch.device("cpu"), mode)

    # ---- running -------------------------------------------------------------------------------
    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        """Run the net.

        Raises:
            ArityError, MissingBlobError: inputs too many, too few or unknown.
            DTypeError, ShapeError, KernelError: an operator refused its inputs; names it.
        """
        env = self._given(inputs, named)
        first = next((value for value in env.values() if isinstance(value, Tensor)), None)
        for blob, owner, name in self._slots:
            env[blob] = getattr(owner, name)
            first = env[blob] if first is None else first
        for blob, _, _ in self._states:  # autograd may keep what is overwritten after the run
            env[blob] = env[blob].clone()
        device = first.device if first is not None else torch.device("cpu")
        calls = self._bind(device, self.training)
        if torch.is_autocast_enabled(device.type):  # operators are float32's
            env = {b: v.float() if _is_half(v) else v for b, v in env.items()}
            with torch.autocast(device.type, enabled=False):
                self._run(calls, env)
        else:
            self._run(calls, env)
        self._keep_states(env)
        made = tuple(env[name] for name in self.output_names)
        return made[0] if len(made) == 1 else made

    def _given(self, inputs: Sequence[Tensor], named: dict[str, Tensor]) -> Env:
        wanted = ", ".join(self.input_names) or "none"
        if len(inputs) > len(self.input_names):
            raise ArityError(f"takes inputs {wanted}; got {len(inputs)}.", net=self.net_name)
        env: Env = dict(zip(self.input_names, inputs, strict=False))
        for name, value in named.items():
            if name not in self.input_names or name in env:
                raise ArityError(
                    f"takes inputs {wanted}; '{name}' is none or given twice.", net=self.net_name
                )
            env[name] = value
        missing = [name for name in self.input_names if name not in env]
        if missing:
            raise MissingBlobError(
                f"takes inputs {wanted}; missing: {', '.join(missing)}.", net=self.net_name
            )
        return env

    def _run(self, calls: list[Bound], env: Env) -> None:
        """Run, checking operators' inputs whenever shapes or types are new."""
        if torch.compiler.is_compiling():
            for call in calls:
                call.trace(env)
            return
        seen = (self.training, *((value.shape, value.dtype, value.device) for value in env.values()))
        check = seen != self._checked
        for call in calls:
            if check:
                call.check(env)
            call(env)
        self._checked = seen

    def _keep_states(self, env: Env) -> None:
        """Write back what the net overwrote: running statistics."""
        for blob, owner, name in self._states:
            getattr(owner, name).detach().copy_(env[blob].detach())

    def extra_repr(self) -> str:
        return f"{self.net_name}: ({', '.join(self.input_names)}) -> ({', '.join(self.output_names)})"


def _is_half(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
