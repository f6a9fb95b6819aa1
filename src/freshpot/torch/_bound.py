"""One operator of a net as a differentiable function of tensors.

Owned here: running a definition's kernel so that autograd records the engine's own gradient operators.
Who calls it: `_module`.

In eager mode each operator is one `torch.autograd.Function` whose backward runs the operators that its
gradient rule makes, so gradients are the engine's, ties of a maximum included. While a graph is being
traced (torch.export, torch.compile) the kernel itself is traced, and autograd derives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import dropout

from freshpot.errors import FreshpotError, GradientError, KernelError, NotSupportedError
from freshpot.net import Op, registry
from freshpot.net.gradient import gradient_of
from freshpot.net.grads import GradName, Sparse
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe

Env = dict[str, Any]


class Bound:
    """An operator bound to its arguments and a device. Calling it reads and writes a dict of blobs."""

    def __init__(self, op: Op, device: torch.device, net: str, returned: Sequence[str] = ()) -> None:
        definition = registry.get(op.type)
        self.op = op
        self.net = net
        self.device = device
        self._definition = definition
        try:
            self.operator: Operator = definition(op, device)
            # what an operator keeps between runs must not come from a tracer, whose tensors are no numbers
            self._traced: Operator = definition(op, device)
        except FreshpotError as error:
            raise error.at(net=net, op=str(op)) from None
        self.stops = definition.gradient_stops
        #: the gradients of its outputs are put together, so none may be missing (Split)
        self.joins = any(port.many for port in definition.outputs)
        #: for a tracer, PyTorch's own dropout says more than random numbers and a product
        self._plain_dropout = op.type == "Dropout" and set(returned).isdisjoint(op.outputs[1:])
        #: the old shape, which a tracer cannot know, is for the gradient alone
        self._plain_reshape = op.type == "Reshape" and len(op.inputs) == 1
        self._backwards: dict[tuple[Any, ...], Backward] = {}

    def __call__(self, env: Env) -> None:
        """Run while recording for autograd."""
        values = [env[name] for name in self.op.inputs]
        if not self.stops and torch.is_grad_enabled() and any(map(_learns, values)):
            made = _Differentiable.apply(self, *values)
        else:
            with torch.no_grad():
                made = self.run(values)
        env.update(zip(self.op.outputs, made, strict=False))

    def trace(self, env: Env) -> None:
        """Run the kernel in the open, for a tracer."""
        values = [env[name] for name in self.op.inputs]
        if self._plain_dropout:
            args = self.op.args
            env[self.op.outputs[0]] = dropout(values[0], args.get("ratio", 0.5), not args["is_test"])  # type: ignore
            return
        if self._plain_reshape:
            made: Any = values[0].reshape(self._open_shape(values[0]))
        elif torch.compiler.is_dynamo_compiling():
            made = self._traced.kernel(*values)
        else:
            made = self._exported(values)
        if not isinstance(made, (tuple, list)):
            made = (made,)
        if self.stops:
            made = tuple(value.detach() for value in made)
        env.update(zip(self.op.outputs, made, strict=False))

    def _exported(self, values: Sequence[Any]) -> Any:
        """The kernel's results for torch.export, which has no numbers to look at."""
        try:
            return self._definition(self.op, self.device).kernel(*values)
        except RuntimeError as error:
            if ".numpy()" not in str(error):
                raise
            raise NotSupportedError(
                f"net '{self.net}': {self.op} looks at numbers, which torch.export does not have: export a module "
                "without it (outputs=)."
            ) from error

    def _open_shape(self, data: Any) -> list[Any]:
        """A new shape whose sizes may be symbols."""
        return [data.shape[i] if size == 0 else size for i, size in enumerate(self.op.args["shape"])]  # type: ignore

    def check(self, env: Env) -> None:
        """Check the inputs against the operator's declaration.

        Raises:
            DTypeError, ShapeError: what does not fit, naming net, operator and blob.
        """
        try:
            self.operator.check_inputs([env[name] for name in self.op.inputs])
        except FreshpotError as error:
            raise error.at(net=self.net, op=str(self.op)) from None

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The outputs that the net names, as a tuple; errors name the operator."""
        try:
            made = self.operator.kernel(*values)
        except FreshpotError as error:
            raise error.at(net=self.net, op=str(self.op)) from None
        except Exception as error:
            inputs = ", ".join(f"'{n}' {describe(v)}" for n, v in zip(self.op.inputs, values, strict=True))
            raise KernelError(
                f"{type(error).__name__}: {error} Inputs: {inputs or 'none'}.", net=self.net, op=str(self.op)
            ) from error
        if not isinstance(made, (tuple, list)):
            made = (made,)
        return tuple(made[: len(self.op.outputs)])

    def backward(self, given: tuple[bool, ...], wanted: tuple[bool, ...]) -> Backward:
        """The gradient operators for these outputs' gradients and those inputs; made once.

        Raises:
            GradientError: the operator has none.
        """
        key = (given, wanted)
        if key not in self._backwards:
            try:
                self._backwards[key] = Backward(self.op, given, wanted, self.device)
            except GradientError as error:
                raise error.at(net=self.net, op=str(self.op)) from None
        return self._backwards[key]


class Backward:
    """The gradient operators of one operator, with names of their own: in0 …, out0 …"""

    def __init__(
        self, op: Op, given: tuple[bool, ...], wanted: tuple[bool, ...], device: torch.device
    ) -> None:
        own = _own_names(op)
        self.inputs, self.outputs = own.inputs, own.outputs
        self.output_grads = [f"out{i}@grad" for i in range(len(given))]
        names: list[GradName] = [
            name if there else None for name, there in zip(self.output_grads, given, strict=True)
        ]
        result = gradient_of(own, names)
        self.input_grads = [
            grad if want else None for grad, want in zip(result.input_grads, wanted, strict=True)
        ]
        _leave_out_unasked(result.ops, self.input_grads)
        self.steps = [(made, registry.get(made.type)(made, device)) for made in result.ops]

    def run(self, inputs: Sequence[Any], outputs: Sequence[Any], grads: Sequence[Any]) -> list[Any]:
        """The gradient of each wanted input, None for the others."""
        env = dict(zip(self.inputs, inputs, strict=True))
        env.update(zip(self.outputs, outputs, strict=True))
        env.update((n, g) for n, g in zip(self.output_grads, grads, strict=True) if g is not None)
        for op, operator in self.steps:
            made = operator.kernel(*[env[name] for name in op.inputs])
            if not isinstance(made, (tuple, list)):
                made = (made,)
            env.update(zip(op.outputs, made, strict=False))
        return [_dense(grad, env, value) for grad, value in zip(self.input_grads, inputs, strict=True)]


def _own_names(op: Op) -> Op:
    """The operator with a name of its own for every blob, but for those that it must overwrite."""
    inputs = [f"in{i}" for i in range(len(op.inputs))]
    outputs = [f"out{i}" for i in range(len(op.outputs))]
    for i, j in registry.get(op.type).must_inplace:
        if i < len(inputs) and j < len(outputs):
            outputs[j] = inputs[i]
    return Op(op.type, inputs, outputs, dict(op.args), op.device, name=op.name)


def _leave_out_unasked(ops: list[Op], wanted: Sequence[GradName]) -> None:
    """Drop last outputs that cost work and that nobody wants (the gradient of the data)."""
    read = {name for op in ops for name in op.inputs} | {grad for grad in wanted if isinstance(grad, str)}
    for op in ops:
        unread = len(op.outputs) > 1 and op.outputs[-1] not in read
        if unread and registry.get(op.type)(op).saves_without_last():
            op.outputs.pop()


def _dense(grad: GradName, env: Env, value: Any) -> Any:
    if grad is None:
        return None
    if isinstance(grad, Sparse):
        rows = env[grad.indices].reshape(-1).long()
        return torch.zeros_like(value).index_add_(
            0, rows, env[grad.values].reshape(len(rows), *value.shape[1:])
        )
    return env[grad].reshape(value.shape)


def _learns(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


class _Differentiable(torch.autograd.Function):
    """An operator's kernel forwards, its gradient operators backwards."""

    @staticmethod
    def forward(ctx: Any, bound: Bound, *values: Any) -> tuple[Any, ...]:
        made = bound.run(values)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(
            *[t for t in made if isinstance(t, torch.Tensor) and not t.is_floating_point()]
        )
        tensors = [isinstance(value, torch.Tensor) for value in (*values, *made)]
        ctx.save_for_backward(
            *[v for v, is_tensor in zip((*values, *made), tensors, strict=True) if is_tensor]
        )
        ctx.others = [
            None if is_tensor else v for v, is_tensor in zip((*values, *made), tensors, strict=True)
        ]
        ctx.tensors, ctx.bound, ctx.count = tensors, bound, len(values)
        return made

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        saved = iter(ctx.saved_tensors)
        kept = [next(saved) if is_tensor else v for v, is_tensor in zip(ctx.others, ctx.tensors, strict=True)]
        inputs, outputs = kept[: ctx.count], kept[ctx.count :]
        wanted = tuple(ctx.needs_input_grad[1:])
        if ctx.bound.joins:
            grads = tuple(_zeros(g, out) for g, out in zip(grads, outputs, strict=True))
        try:
            made = ctx.bound.backward(tuple(g is not None for g in grads), wanted)
        except GradientError:  # the rule may need the gradient of an output that nothing reads
            grads = tuple(_zeros(g, out) for g, out in zip(grads, outputs, strict=True))
            made = ctx.bound.backward(tuple(g is not None for g in grads), wanted)
        grads = tuple(None if g is None else g.contiguous() for g in grads)
        return (None, *made.run(inputs, outputs, grads))


def _zeros(grad: Any, output: Any) -> Any:
    if grad is not None or not isinstance(output, torch.Tensor) or not output.is_floating_point():
        return grad
    return torch.zeros_like(output)
