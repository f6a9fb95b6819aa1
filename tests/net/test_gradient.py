"""The gradient builder over the IR: names, order, sums and checks."""

from __future__ import annotations

import pytest

from freshpot.errors import GradientError, UnknownOperatorError
from freshpot.net import Device, Net, Op
from freshpot.net.gradient import backward, gradient_of
from freshpot.net.grads import GradientResult, Sparse
from freshpot.net.sums import ONLY_SUM_MARK, SUM_MARK

CUDA1 = Device(1, 1)


def op(type: str, inputs: str, outputs: str, **kwargs: object) -> Op:
    return Op(type, inputs.split(), outputs.split(), **kwargs)


def lines(ops: list[Op]) -> list[str]:
    return [f"{o.type}: {' '.join(o.inputs)} -> {' '.join(o.outputs)}" for o in ops]


#: forward operators, blobs to derive, gradient operators, gradients; as the original answers
CASES = {
    "chain": (
        [op("Relu", "a", "b"), op("Relu", "b", "c")],
        {"c": None},
        [
            "ConstantFill: c -> c_autogen_grad",
            "ReluGradient: c c_autogen_grad -> b_grad",
            "ReluGradient: b b_grad -> a_grad",
        ],
        {"c": "c_autogen_grad", "b": "b_grad", "a": "a_grad"},
    ),
    "given gradient passed through and summed": (
        [op("Relu", "a", "b"), op("Sum", "a b", "c"), op("Sum", "c a", "d")],
        {"d": "given"},
        ["ReluGradient: b given -> a_grad", "Sum: a_grad given given -> a_grad"],
        {"d": "given", "c": "given", "a": "a_grad", "b": "given"},
    ),
    "one operator reads a blob twice": (
        [op("Mul", "a a", "b")],
        {"b": None},
        [
            "ConstantFill: b -> b_autogen_grad",
            "MulGradient: b_autogen_grad a a -> a_grad _a_grad_autosplit_0",
            "Sum: a_grad _a_grad_autosplit_0 -> a_grad",
        ],
        {"b": "b_autogen_grad", "a": "a_grad"},
    ),
    "two blobs to derive, one from the other": (
        [op("Relu", "a", "b"), op("Relu", "b", "c")],
        {"b": None, "c": None},
        [
            "ConstantFill: b -> b_autogen_grad",
            "ConstantFill: c -> c_autogen_grad",
            "ReluGradient: c c_autogen_grad -> _b_grad_autosplit_0",
            "Sum: b_autogen_grad _b_grad_autosplit_0 -> b_autogen_grad",
            "ReluGradient: b b_autogen_grad -> a_grad",
        ],
        {"b": "b_autogen_grad", "c": "c_autogen_grad", "a": "a_grad"},
    ),
    "sparse gradients joined": (
        [op("Gather", "w i", "g1"), op("Gather", "w j", "g2"), op("Sum", "g1 g2", "s")],
        {"s": "sg"},
        [
            "Concat: j i -> w_grad_indices_concat w_grad_indices_concat_split",
            "Concat: sg sg -> w_grad_values_concat w_grad_values_concat_split",
        ],
        {
            "s": "sg",
            "g1": "sg",
            "g2": "sg",
            "i": None,
            "j": None,
            "w": Sparse("w_grad_indices_concat", "w_grad_values_concat"),
        },
    ),
    "a stopped gradient": (
        [op("StopGradient", "a", "a"), op("Relu", "a", "b")],
        {"b": "bg"},
        ["ReluGradient: b bg -> a_grad"],
        {"b": "bg", "a": None},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_backward(name: str) -> None:
    ops, ys, wanted, grads = CASES[name]
    made, found = backward([Op(o.type, list(o.inputs), list(o.outputs)) for o in ops], ys)
    assert lines(made) == wanted
    assert found == grads


def test_gradients_of_other_rules_are_renamed_in_branches_too() -> None:
    def rule(forward: Op, grads: object) -> GradientResult:
        branch = Net("then", [op("Copy", "g", "a_grad")])
        return GradientResult([Op("If", list(forward.outputs), ["a_grad"], {"then_net": branch})], ["a_grad"])

    made, _ = backward([op("If", "a", "b"), op("If", "a", "c")], {"b": "x", "c": "y"}, gradient_for=rule)
    assert [o.outputs for o in made] == [["a_grad"], ["_a_grad_autosplit_0"], ["a_grad"]]
    assert made[1].args["then_net"].ops[0].outputs == ["_a_grad_autosplit_0"]


@pytest.mark.parametrize(
    ("device", "outer", "wanted"),
    [
        (None, None, Device(extra_info=[SUM_MARK])),
        (CUDA1, None, Device(1, 1, extra_info=[SUM_MARK])),
        (Device(0, extra_info=["x:1"]), None, Device(0, extra_info=["x:1", SUM_MARK])),
        (Device(0, extra_info=[ONLY_SUM_MARK]), CUDA1, Device(1, 1, extra_info=[SUM_MARK])),
    ],
)
def test_device_of_sums(device: Device | None, outer: Device | None, wanted: Device) -> None:
    ops = [op("Relu", "a", "b", device=device), op("Relu", "a", "c", device=device)]
    made, _ = backward(ops, {"b": "x", "c": "y"}, device=outer)
    assert made[-1].type == "Sum"
    assert made[-1].device == wanted


REFUSED = {
    "output overwritten": (
        [op("Relu", "a", "b"), op("Relu", "b", "b")],
        {"b": None},
        GradientError,
        "operator Relu (a) -> (b): its gradient needs output 'b' at version 0, but the blob is at version 1 when "
        "the gradients run: it was overwritten.\n"
        "Versions of blob 'b':\n"
        "  0 is written by operator Relu (a) -> (b)\n"
        "  0 is read by operator Relu (b) -> (b)\n"
        "  1 is written by operator Relu (b) -> (b)\n"
        "Let the later operator write to a blob of another name.",
    ),
    "input overwritten": (
        [op("Sin", "a", "b"), op("Relu", "b", "a")],
        {"a": None},
        GradientError,
        "its gradient needs input 'a' at version 0, but the blob is at version 1",
    ),
    "gradient of another version": (
        [op("Tanh", "a", "b"), op("Copy", "b", "c"), op("Copy", "d", "b")],
        {"b": "bg", "c": "cg"},
        GradientError,
        "overwritten",
    ),
    "orphan": (
        [op("StopGradient", "a", "b")],
        {"b": None},
        GradientError,
        "operator StopGradient (a) -> (b): nothing reads its output 'b', so it stops no gradient. "
        "Usually input and output are the same blob.",
    ),
    "dense and sparse": (
        [op("Gather", "w i", "g"), op("Mul", "w w", "m")],
        {"g": "x", "m": "y"},
        GradientError,
        "blob 'w' has dense and sparse gradients, which cannot be added up. "
        "Make them alike, for instance with SparseToDense.",
    ),
    "devices": (
        [op("Relu", "a", "b", device=CUDA1), op("Relu", "a", "c")],
        {"b": "x", "c": "y"},
        GradientError,
        "the gradients of blob 'a' are made on different devices (cpu and cuda:1), so they cannot be added up.",
    ),
    "unknown": ([op("NoSuch", "a", "b")], {"b": None}, UnknownOperatorError, "NoSuch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    ops, ys, error, message = REFUSED[name]
    with pytest.raises(error) as caught:
        backward(ops, ys)
    assert message in str(caught.value)


def test_gradient_operator_that_reads_a_strange_blob_is_refused() -> None:
    def rule(forward: Op, grads: object) -> GradientResult:
        return GradientResult([op("Copy", "elsewhere", "a_grad")], ["a_grad"])

    with pytest.raises(
        GradientError, match="its gradient reads 'elsewhere', which is no blob of the operator"
    ):
        backward([op("Relu", "a", "b")], {"b": "x"}, gradient_for=rule)


def test_passed_through_gradient_with_the_name_of_the_sum_is_refused() -> None:
    ops = [op("Sum", "a b", "c"), op("Sum", "a b", "d")]
    with pytest.raises(GradientError, match="'a_grad' is passed through as a gradient"):
        backward(ops, {"c": "a_grad", "d": "x"})


def test_operator_without_gradient_says_why() -> None:
    with pytest.raises(GradientError, match="has no gradient"):
        gradient_of(op("ReluGradient", "y dy", "dx"), ["g"])
    assert issubclass(GradientError, (RuntimeError, ValueError))
