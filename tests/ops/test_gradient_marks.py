"""Where a `@gradient` mark counts: in an operator's class and in its abstract bases, once each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from freshpot.net import Op, registry
from freshpot.net.gradient import gradient_of
from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Operator]]:
    """Operators that are defined for one test, by type."""
    registry.load()
    known = dict(registry._definitions)
    monkeypatch.setattr(registry, "_definitions", defined := dict(known))

    class _Times(Operator, abstract=True):
        inputs = (Port("X", FLOAT),)
        outputs = (Port("Y"),)
        factor: float

        def kernel(self, X: Tensor) -> Any:
            return X * self.factor

        @gradient("dY -> dX", inplace=((0, 0),))
        def backward(self, dY: Tensor) -> Tensor:
            return dY * self.factor

    class _Again(_Times, abstract=True):
        pass

    class TestTwice(_Times):
        factor = 2.0

    class TestThrice(_Again):
        factor = 3.0

    class TestOwn(_Times):
        factor = 4.0

        @gradient("X dY -> dX")
        def backward(self, X: Tensor, dY: Tensor) -> Tensor:
            return dY * self.factor + 0 * X

    class TestNone(_Times):
        factor = 5.0
        backward = None

    class TestChild(TestTwice):
        factor = 6.0

    return {name: definition for name, definition in defined.items() if name not in known}


def test_every_operator_of_the_family_gets_a_gradient_of_its_own(family: dict[str, type[Operator]]) -> None:
    forwards = ("TestTwice", "TestThrice", "TestOwn", "TestNone", "TestChild")
    assert set(family) == {*forwards, "TestTwiceGradient", "TestThriceGradient", "TestOwnGradient"}


@pytest.mark.parametrize(
    ("name", "inputs", "factor"),
    [
        ("TestTwice", ["Y_grad"], 2.0),
        ("TestThrice", ["Y_grad"], 3.0),
        ("TestOwn", ["X", "Y_grad"], 4.0),
    ],
)
def test_the_rule_names_it(
    family: dict[str, type[Operator]], name: str, inputs: list[str], factor: float
) -> None:
    (made,) = gradient_of(Op(name, ["X"], ["Y"]), ["Y_grad"]).ops
    assert (made.type, made.inputs, made.outputs) == (f"{name}Gradient", inputs, ["X_grad"])
    dX = registry.get(made.type)(made).kernel(*[torch.ones(2)] * len(inputs))
    assert dX.tolist() == [factor, factor]


def test_operators_that_derive_from_operators_keep_what_they_had(family: dict[str, type[Operator]]) -> None:
    (made,) = gradient_of(Op("TestChild", ["X"], ["Y"]), ["Y_grad"]).ops
    assert made.type == "TestTwiceGradient"
    assert family["TestNone"].gradient_rule is None
