"""What every kernel promises: inputs untouched, outputs fresh, shapes inferred, in place the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import SHARED, needs_shared
from freshpot.engine.workspace import Workspace
from freshpot.errors import FreshpotError
from freshpot.net import Net, Op, registry
from freshpot.net.gradient import gradient_of
from freshpot.ops._operator import Operator
from freshpot.testing import reference

FOLDER = SHARED / "reference" / "caffe2" if SHARED else Path()
RECORDED = reference.operators(FOLDER) if SHARED else []

#: operators whose output is, by definition, the input itself
ALIASES = {"Alias"}


def _is_pure(name: str) -> bool:
    definition = registry.find(name)
    return definition is not None and definition.run is None and name not in ALIASES


OURS = [name for name in RECORDED if _is_pure(name)]


def _calls(name: str) -> list[tuple[str, Operator, list[Any]]]:
    """Recorded calls of one operator: case, the bound operator, its inputs."""
    made = []
    for case in reference.load(FOLDER, name):
        if case.spec.get("raises") or "op" not in case.spec or case.spec.get("sweep"):
            continue
        op = reference.read_op(case.spec["op"])
        values = []
        for blob in op.inputs:
            array = case.arrays["in/" + blob]
            text = array.dtype.kind in "SU"
            values.append(array.astype(object) if text else torch.from_numpy(np.array(array)))
        made.append((case.id, registry.get(name)(op), values))
    return made


def _outputs(made: Any) -> list[Any]:
    return list(made) if isinstance(made, (tuple, list)) else [made]


def _copy(values: list[Any]) -> list[Any]:
    return [v.clone() if isinstance(v, torch.Tensor) else v.copy() for v in values]


def _equal(a: Any, b: Any) -> bool:
    return reference.compare(a, reference.to_numpy(b)) is None


def _memory(value: Any) -> int | None:
    """Where a value's memory begins; None if it has none."""
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().data_ptr() if value.numel() else None
    return value.ctypes.data if isinstance(value, np.ndarray) and value.size else None


def _run(kernel: Any, values: list[Any]) -> list[Any]:
    torch.manual_seed(1)
    with torch.no_grad():
        return _outputs(kernel(*values))


@needs_shared
@pytest.mark.parametrize("name", OURS)
def test_inputs_stay_and_outputs_are_fresh(name: str) -> None:
    for case, operator, values in _calls(name):
        before = _copy(values)
        made = _run(operator.kernel, values)[: operator.num_outputs]
        assert all(_equal(a, b) for a, b in zip(values, before, strict=True)), f"{case}: an input was changed"
        given = {m for m in map(_memory, values) if m is not None}
        fresh = [m for m in map(_memory, made) if m is not None]
        assert not given & set(fresh), f"{case}: an output shares memory with an input"
        assert len(set(fresh)) == len(fresh), f"{case}: two outputs share memory"


@needs_shared
@pytest.mark.parametrize("name", OURS)
def test_inferred_shapes_are_the_real_ones(name: str) -> None:
    for case, operator, values in _calls(name):
        if not all(isinstance(v, torch.Tensor) for v in values):
            continue
        bound = registry.get(name)(operator.op, torch.device("meta"))
        try:
            inferred = bound.infer(*(v.to("meta") for v in values))
        except (RuntimeError, NotImplementedError, ValueError, TypeError):
            continue  # what inference does, too: the kernel needs the data
        if inferred is None:
            continue
        for guess, real in zip(inferred, _run(operator.kernel, values), strict=False):
            if isinstance(guess, torch.Tensor) and isinstance(real, torch.Tensor):
                assert (guess.shape, guess.dtype) == (real.shape, real.dtype), case


def _all_pairs_there(operator: Operator) -> bool:
    """True where the engine may choose ``kernel_inplace``: the call has all blobs of the in-place pairs."""
    pairs = operator.must_inplace or operator.inplace
    return all(i < operator.num_inputs and j < operator.num_outputs for i, j in pairs)


@needs_shared
@pytest.mark.parametrize("name", [n for n in OURS if registry.get(n).kernel_inplace is not None])
def test_in_place_is_the_same(name: str) -> None:
    for case, operator, values in _calls(name):
        if operator.kernel_inplace is None or not _all_pairs_there(operator):
            continue
        plain = _run(operator.kernel, _copy(values))
        inplace = _run(operator.kernel_inplace, _copy(values))
        for a, b in zip(plain[: operator.num_outputs], inplace, strict=False):
            assert reference.compare(a, reference.to_numpy(b), rtol=1e-6, atol=1e-7) is None, case


def _gradients(name: str) -> Iterator[tuple[str, Operator, list[Any]]]:
    """The gradient operators of recorded calls, with inputs: what forward made, and random gradients."""
    generator = torch.Generator().manual_seed(3)
    for case, forward, values in _calls(name):
        op, ws = forward.op, Workspace()
        for blob, value in zip(op.inputs, values, strict=True):
            ws.feed(blob, value)
        ws.run_once(Net("forward", [op]))
        grads: list[str | None] = []
        for blob in op.outputs:
            made = ws.get(blob)
            smooth = isinstance(made, torch.Tensor) and made.is_floating_point()
            grads.append(blob + "_grad" if smooth else None)
            if smooth:
                ws.feed(blob + "_grad", torch.randn(made.shape, generator=generator))
        try:
            ops = gradient_of(op, grads).ops
        except FreshpotError:
            continue  # it has none for such a call
        for made_op in ops:
            operator = registry.get(made_op.type)(made_op)
            if all(blob in ws for blob in made_op.inputs):
                yield f"{made_op.type} of {case}", operator, [ws.get(blob) for blob in made_op.inputs]
                ws.run_once(Net("backward", [made_op]))


def _bound(operator: Operator, values: list[Any], *, inplace: bool) -> tuple[list[Any], list[Any]] | None:
    """Memory for the outputs, and calls into it; None where the operator has none for such values."""
    if operator.calls is None or not all(isinstance(v, torch.Tensor) and v.numel() for v in values):
        return None
    kernel = operator.kernel_inplace if inplace else operator.kernel
    given = _copy(values)
    made = _run(kernel, given)[: operator.num_outputs]
    if not all(isinstance(v, torch.Tensor) and v.numel() for v in made):
        return None
    memory = []
    for value in made:
        same = [v for v, g in zip(values, given, strict=True) if inplace and value is g]
        memory.append(same[0] if same else torch.full_like(value, 77))
    calls = operator.calls(values, memory)
    return None if calls is None else (memory, calls)


def _make(calls: list[Any]) -> None:
    torch.manual_seed(1)
    with np.errstate(all="ignore"):
        for function, args, kwargs in calls:
            function(*args, **kwargs)


def _other_data(values: list[Any]) -> None:
    """Other values, in the same memory: the same numbers in another order."""
    for value in values:
        value.copy_(value.flatten().flip(0).view(value.shape).clone())


def _check_calls(case: str, operator: Operator, values: list[Any], *, inplace: bool) -> bool:
    """Compare the calls with the kernel, bit for bit, twice on the same memory and then with other data in it."""
    values = _copy(values)
    found = _bound(operator, values, inplace=inplace)
    if found is None:
        return False
    memory, calls = found
    kernel = operator.kernel_inplace if inplace else operator.kernel
    for again in range(3):
        if again == 2:
            if operator.same_every_run:
                break
            _other_data(values)
        wanted_values = _copy(values)
        wanted = _run(kernel, wanted_values)[: operator.num_outputs]
        _make(calls)
        pairs = [*zip(wanted, memory, strict=True), *zip(wanted_values, values, strict=True)]
        for a, b in pairs:
            assert a.shape == b.shape, case
            assert reference.compare(a, reference.to_numpy(b), rtol=0, atol=0) is None, case
    return True


#: calls of operators of which none are recorded one by one
MORE: dict[str, list[tuple[Op, list[torch.Tensor]]]] = {
    "LearningRate": [
        (Op("LearningRate", ["i"], ["lr"], {"base_lr": -0.1, **args}), [torch.tensor([7])])
        for args in (
            {"policy": "fixed"},
            {"policy": "step", "stepsize": 3, "gamma": 0.9},
            {"policy": "inv", "gamma": 0.1, "power": 0.5},
        )
    ],
    "RmsProp": [
        (
            Op("RmsProp", ["g", "s", "m", "lr"], ["step", "s", "m"], {"momentum": 0.9}),
            [torch.rand(3, 2), torch.rand(3, 2), torch.rand(3, 2), torch.rand(1)],
        )
    ],
}

#: their calls are machine code, for sizes that no recorded case has: see test_batch_last
MACHINE_CODE = ("Conv", "MaxPool", "CaffeMaxPool")


def _has_calls(name: str) -> bool:
    definition = registry.get(name)
    return definition.calls is not None and definition.run is None and not name.startswith(MACHINE_CODE)


WITH_CALLS = [n for n in OURS if _has_calls(n)]


@needs_shared
@pytest.mark.parametrize("name", WITH_CALLS)
def test_calls_in_memory_compute_what_the_kernel_does(name: str) -> None:
    done = 0
    more = [
        (f"{name} {i}", registry.get(name)(op), values) for i, (op, values) in enumerate(MORE.get(name, []))
    ]
    for case, operator, values in [*_calls(name), *more]:
        done += _check_calls(case, operator, values, inplace=False)
        if operator.kernel_inplace is not None and _all_pairs_there(operator):
            done += _check_calls(case, operator, values, inplace=True)
    assert done, "none of the recorded calls could be bound to memory"


@needs_shared
def test_calls_of_gradients_compute_what_the_kernels_do() -> None:
    wanted = {n for n in registry.names() if _has_calls(n)} - set(WITH_CALLS)
    forward = {n for n in OURS if f"{n}Gradient" in wanted}
    wanted &= {f"{n}Gradient" for n in forward}
    done = set()
    for name in sorted(forward):
        for case, operator, values in _gradients(name):
            if operator.type in wanted and _check_calls(case, operator, values, inplace=False):
                done.add(operator.type)
    assert done == wanted


#: operators of ours, which have no recorded cases: type, number of outputs, arguments, shapes of the inputs
OWN: list[tuple[str, int, dict[str, Any], list[tuple[int, ...]]]] = [
    ("InnerProduct", 1, {}, [(6, 2, 3), (5, 6), (5,)]),
    ("InnerProduct", 1, {"axis": 2, "transpose": 1}, [(6, 2, 3), (3, 5)]),
    ("CaffeSoftmaxWithLoss", 2, {"axis": 1}, [(6, 4), (6,)]),
    ("CaffeSoftmaxWithLossGradient", 1, {"axis": 1}, [(6, 4), (6,), (6, 4), ()]),
    ("InnerProductGradient", 3, {}, [(6, 2, 3), (5, 6), (6, 5)]),
    ("InnerProductGradient", 2, {"transpose": 1, "no_bias": 1}, [(6, 2, 3), (6, 5), (6, 5)]),
    ("InnerProductGradient", 1, {}, [(6, 2, 3), (5, 6), (6, 5)]),
    ("InnerProductGradient", 1, {"no_bias": 1}, [(6, 2, 3), (5, 6), (6, 5)]),
]


@pytest.mark.parametrize(("type", "outputs", "args", "shapes"), OWN)
def test_calls_of_our_own_operators(type: str, outputs: int, args: dict[str, Any], shapes: list[Any]) -> None:
    op = Op(type, [f"i{i}" for i in range(len(shapes))], [f"o{i}" for i in range(outputs)], args)
    values = [torch.randn(s) for s in shapes]
    if type.startswith("CaffeSoftmaxWithLoss"):
        values[1] = torch.arange(6.0) % 4  # classes
    assert _check_calls(type, registry.get(type)(op), values, inplace=False)


#: Caffe's update rules: of two parameters, with what each keeps
RULES = {"AdaDelta": 2, "AdaGrad": 1, "Adam": 2, "Nesterov": 1, "RMSProp": 1, "SGD": 1}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("args", [{}, {"clip_gradients": 0.1}, {"iter_size": 2, "regularization": "L1"}])
@pytest.mark.parametrize("rows", [3, 1 << 11])
def test_calls_of_updates(rule: str, args: dict[str, Any], rows: int) -> None:
    names = [f"b{i}" for i in range(2 * (2 + RULES[rule]))]
    args = {"lr_mults": [1.0, 2.0], "decay_mults": [1.0, 0.0], "weight_decay": 0.1, "momentum": 0.9, **args}
    op = Op(f"Caffe{rule}", ["lr", "iter", *names], ["norm", *names], args)
    values = [
        torch.tensor([0.1]),
        torch.tensor([3]),
        *(torch.rand(shape) for shape in [(rows, 16), (5,)] * (2 + RULES[rule])),
    ]
    assert _check_calls(rule, registry.get(op.type)(op), values, inplace=True)


def test_every_operator_of_ours_with_calls_is_there() -> None:
    ours = {n for n in registry.names() if _has_calls(n)} - set(WITH_CALLS)
    assert ours - {f"{n}Gradient" for n in OURS} == {type for type, *_ in OWN} | {f"Caffe{n}" for n in RULES}


@needs_shared
@pytest.mark.parametrize("name", [n for n in OURS if not registry.get(n).remembers])
def test_a_kernel_remembers_nothing_unless_it_says_so(name: str) -> None:
    for case, operator, values in _calls(name):
        if operator.generator is not None or not all(
            isinstance(v, (torch.Tensor, np.ndarray)) for v in values
        ):
            continue
        first = _run(operator.kernel, values)
        for a, b in zip(first, _run(operator.kernel, values), strict=True):
            if isinstance(a, (torch.Tensor, np.ndarray)):
                assert _equal(a, b), case


#: smooth operators of one tensor, checked by differences in double precision: type, arguments, lower end
SMOOTH: list[tuple[str, dict[str, Any], float]] = [
    *(
        (name, {}, -0.9)
        for name in ("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Cube")
    ),
    *(
        (name, {}, -0.9)
        for name in ("Sigmoid", "Erf", "Softplus", "Softsign", "Swish", "Mish", "Gelu", "Exp", "Sqr")
    ),
    *((name, {}, 0.2) for name in ("Log", "Sqrt", "Rsqrt", "Cbrt", "Reciprocal")),
    ("Elu", {"alpha": 0.7}, -0.9),
    ("Selu", {}, -0.9),
    ("LeakyRelu", {"alpha": 0.3}, -0.9),
    ("Gelu", {"fast_gelu": 1}, -0.9),
    ("Softmax", {"axis": 1}, -0.9),
    ("ReduceSum", {"axes": [0]}, -0.9),
    ("ReduceMean", {"axes": [1], "keepdims": 0}, -0.9),
    ("ReduceL2", {"axes": [1]}, -0.9),
    ("AveragedLoss", {}, -0.9),
    ("Transpose", {}, -0.9),
    ("Scale", {"scale": 1.7}, -0.9),
    ("Negative", {}, -0.9),
]


@pytest.mark.parametrize(("name", "args", "low"), SMOOTH)
def test_gradient_equals_difference_quotient(name: str, args: dict[str, Any], low: float) -> None:
    op = Op(name, ["X"], ["Y"], dict(args))
    generator = torch.Generator().manual_seed(7)
    X = torch.rand((3, 4), generator=generator) * (0.9 - low) + low
    step = 1e-3 * torch.randn((3, 4), generator=generator)
    kernel = registry.get(name)(op).kernel
    up, down = (kernel(X.double() + s * step.double()) for s in (1, -1))
    dY = torch.randn(up.shape, generator=generator)
    ws = Workspace()
    ws.feed("X", X.numpy())
    ws.run_once(Net("forward", [op]))
    ws.feed("Y_grad", dY.numpy())
    ws.run_once(Net("backward", gradient_of(op, ["Y_grad"]).ops))
    found = (ws.get("X_grad").double() * step).sum()
    wanted = ((up - down) / 2 * dY).sum()
    torch.testing.assert_close(found, wanted, rtol=2e-3, atol=2e-6)
