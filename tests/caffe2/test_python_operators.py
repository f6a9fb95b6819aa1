"""caffe2.python.workspace: operators whose work is a Python function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from caffe2.python import core, workspace
from freshpot.errors import (
    KernelError,
)

pytestmark = pytest.mark.usefixtures("fresh")


def double(inputs: Any, outputs: Any) -> None:
    outputs[0].feed(inputs[0].data * 2)


def double_gradient(inputs: Any, outputs: Any) -> None:
    outputs[0].reshape(inputs[2].shape)
    outputs[0].data[...] = inputs[2].data * 2


def test_python_operator_and_its_gradient() -> None:
    workspace.FeedBlob("X", np.full((2, 2), 3, np.float32))
    net = core.Net("py")
    net.Python(double, double_gradient)(["X"], ["Y"], name="twice")
    net.AddGradientOperators(["Y"])
    token = net.Proto().op[0].arg[2].s.decode()
    assert str(net.Proto().op[2]) == (
        'input: "X"\ninput: "Y"\ninput: "Y_autogen_grad"\noutput: "X_grad"\nname: ""\ntype: "PythonGradient"\n'
        'arg {\n  name: "grad_output_indices"\n}\narg {\n  name: "grad_input_indices"\n}\n'
        f'arg {{\n  name: "token"\n  s: "{token}"\n}}\nis_gradient_op: true\n'
    )
    workspace.RunNetOnce(net)
    assert workspace.FetchBlob("Y").tolist() == [[6, 6], [6, 6]]
    assert workspace.FetchBlob("X_grad").tolist() == [[2, 2], [2, 2]]


def test_python_operator_with_some_gradients() -> None:
    net = core.Net("py")
    net.Python(double, double, grad_output_indices=[0], grad_input_indices=[1])(["X", "Z"], ["Y", "Q"])
    grads = net.AddGradientOperators(["Y"])
    assert list(net.Proto().op[2].input) == ["X", "Z", "Y", "Q", "Y_autogen_grad"]
    assert list(net.Proto().op[2].output) == ["Z_grad"]
    assert grads == {"Y": "Y_autogen_grad", "Z": "Z_grad"}


def test_what_a_python_function_sees() -> None:
    seen: list[Any] = []

    def look(inputs: Any, outputs: Any, ws: Any) -> None:
        seen.extend([inputs[0].shape, inputs[0]._shape, inputs[0].fetch().tolist(), outputs[0].shape])
        inputs[0].data[0] = 7
        outputs[0].init([1, 2], core.DataType.INT64)
        outputs[0].data[...] = 4
        ws.blobs["made"].feed(ws.blobs["x"].fetch())
        ws.create_blob("text").feed("t")

    workspace.CreateBlob("made")
    workspace.FeedBlob("x", np.ones(2, np.float32))
    net = core.Net("look")
    net.Python(look, pass_workspace=True)("x", "y")
    workspace.RunNetOnce(net)
    assert seen == [(2,), [2], [1, 1], (0,)]
    assert workspace.FetchBlob("x").tolist() == workspace.FetchBlob("made").tolist() == [7, 1]
    assert workspace.FetchBlob("y").tolist() == [[4, 4]]
    assert workspace.FetchBlob("y").dtype == np.int64
    assert workspace.FetchBlob("text") == b"t"


class Scale:
    """A function with state, for ``python_func_type``."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, inputs: Any, outputs: Any) -> None:
        outputs[0].feed(inputs[0].data * self.factor)

    def backward(self, inputs: Any, outputs: Any) -> None:
        outputs[0].feed(inputs[-1].data * self.factor)


def make_adder(amount: float) -> Callable[[Any, Any], None]:
    def add(inputs: Any, outputs: Any) -> None:
        outputs[0].feed(inputs[0].data + amount)

    return add


def test_other_ways_to_give_a_function() -> None:
    workspace.FeedBlob("x", np.ones(1, np.float32))
    net = core.Net("ways")
    net.Python(np.float32(3), python_func_type=Scale)("x", "a")
    net.Python((make_adder, (10,), {}))("x", "b")
    net.extend_ops([core.CreatePythonOperator(double, ["x"], ["c"])])
    net.AddGradientOperators(["a"])
    workspace.RunNetOnce(net)
    assert [workspace.FetchBlob(b).item() for b in ("a", "b", "c", "x_grad")] == [3, 11, 2, 3]


def test_what_a_python_function_raises() -> None:
    def fail(inputs: Any, outputs: Any) -> None:
        raise KeyError("boo")

    net = core.Net("bad")
    net.Python(fail)([], ["y"])
    with pytest.raises(KeyError) as caught:
        workspace.RunNetOnce(net)
    assert isinstance(caught.value, KernelError)
    assert "net 'bad': operator Python () -> (y): the Python function raised KeyError: 'boo'" in str(
        caught.value
    )
    assert caught.value.__cause__.__traceback__.tb_next.tb_frame.f_code.co_name == "fail"
