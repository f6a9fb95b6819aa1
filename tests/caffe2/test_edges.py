"""What old programs do at the edges: empty batches, older forms of operators, gradients of loops, shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from caffe2.python import core, optimizer, workspace
from caffe2.python._errors import MisuseError
from caffe2.python.context import Managed
from caffe2.python.net_builder import NetBuilder, ops
from freshpot.errors import ArityError

RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    workspace.ResetWorkspace()
    yield
    workspace.ResetWorkspace()


def run(op_type: str, inputs: list[Any], outputs: int = 1, **args: Any) -> list[np.ndarray]:
    names = [f"in{i}" for i in range(len(inputs))]
    for name, value in zip(names, inputs, strict=True):
        workspace.FeedBlob(name, np.asarray(value))
    made = [f"out{i}" for i in range(outputs)]
    workspace.RunOperatorOnce(core.CreateOperator(op_type, names, made, **args))
    return [workspace.FetchBlob(name) for name in made]


def floats(*shape: int) -> np.ndarray:
    return (RNG.random(shape) + 0.5).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "new", "wanted"),
    [
        ((0,), (-1, 0), (0, 0)),
        ((0,), (0, 0, -1), (0, 0, 0)),
        ((1, 0), (0, -1), (0, 0)),
        ((1, 0), (0,), (0,)),
        ((2, 0, 3), (7, -1, 0), (7, 0, 0)),
        ((4, 0), (-1, 3), (0, 3)),
        ((2, 3), (0, -1), (2, 3)),
    ],
)
def test_reshape_of_nothing(shape: tuple[int, ...], new: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    assert run("Reshape", [np.zeros(shape, np.float32)], 2, shape=new)[0].shape == wanted
    assert run("Reshape", [np.zeros(shape, np.float32), np.array(new)], 2)[0].shape == wanted


def test_empty_batches() -> None:
    label = np.zeros(0, np.int32)
    assert run("LabelCrossEntropy", [floats(0, 3), label])[0].shape == (0,)
    assert run("LabelCrossEntropyGradient", [floats(0, 3), label, floats(0)])[0].shape == (0, 3)
    table, ends = np.zeros((4, 3), np.uint8), floats(4, 2)
    summed = run("SparseLengthsSum8BitsRowwise", [table, label, np.zeros(2, np.int32), ends])[0]
    np.testing.assert_array_equal(summed, np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("columns", range(1, 9))
def test_one_row_of_a_table_in_bytes(columns: int) -> None:
    """Scale and bias of a single row stand at any byte."""
    x = floats(3, columns)
    table = run("FloatToFused8BitRowwiseQuantized", [x])[0]
    row = run("GatherFused8BitRowwise", [table, np.array([1], np.int32)])[0]
    np.testing.assert_allclose(row, x[1:2], atol=0.01)


@pytest.mark.parametrize(
    ("shape", "args"), [((2, 3), {}), ((3,), {}), ((1, 3), {}), ((2,), {"broadcast": 1, "axis": 0})]
)
def test_older_form_of_div_gradient(shape: tuple[int, ...], args: dict[str, Any]) -> None:
    a, b, dc = floats(2, 3), floats(*shape), floats(2, 3)
    whole = run("DivGradient", [dc, a, b, run("Div", [a, b], **args)[0]], 2, **args)
    older = run("DivGradient", [b, run("Div", [a, b], **args)[0], dc], 2, **args)
    for new, old in zip(whole, older, strict=True):
        np.testing.assert_array_equal(old, new)


def test_gradient_of_a_loop_that_overwrites() -> None:
    """s = x^4 + y^2 + z^3, computed in place: gradients come into the loop and leave it under one name."""
    with NetBuilder(_use_control_ops=True) as builder:
        for name, value in {"i": 0, "one": 1, "two": 2, "x": 2.0, "y": 3.0, "z": 2.0}.items():
            ops.Copy(ops.Const(value), name)
        with ops.WhileNet():
            with ops.Condition():
                ops.Add(["i", "one"], "i")
                ops.LE(["i", "two"])
            ops.Pow("x", "x", exponent=2.0)
            with ops.IfNet(ops.LT(["i", "two"])):
                ops.Pow("y", "y", exponent=2.0)
            with ops.Else():
                ops.Pow("z", "z", exponent=3.0)
        ops.Sum(["x", "y", "z"], "s")
    net = builder.get()[0]
    net.AddGradientOperators(["s"])
    workspace.RunNetOnce(net)
    found = [float(workspace.FetchBlob(blob)) for blob in ("s", "x_grad", "y_grad", "z_grad")]
    assert found == [16 + 9 + 8, 4 * 8, 2 * 3, 3 * 4]


SHAPES: list[tuple[str, dict[str, tuple[tuple[int, ...], int]], dict[str, tuple[int, ...] | None]]] = [
    ("ScatterAssign", {"d": ((4, 3), 1), "i": ((2,), 2), "s": ((2, 3), 1)}, {"d": (4, 3)}),
    ("LengthsToRanges", {"l": ((4,), 2)}, {"y": (4, 2)}),
    ("GatherRanges", {"d": ((9,), 1), "r": ((3, 2, 2), 2)}, {"y": None, "n": (3,)}),
    ("SparseToDense", {"i": ((4,), 2), "v": ((4, 2), 1), "like": ((15,), 1)}, {"y": (15, 2)}),
]


@pytest.mark.parametrize(("op_type", "given", "wanted"), SHAPES, ids=[case[0] for case in SHAPES])
def test_shapes_that_need_no_data(op_type: str, given: Any, wanted: Any) -> None:
    net = core.Net("shapes")
    net.Proto().op.extend([core.CreateOperator(op_type, list(given), list(wanted))])
    shapes, _ = workspace.InferShapesAndTypes(
        [net],
        blob_dimensions={name: list(shape) for name, (shape, _) in given.items()},
        blob_types={name: dtype for name, (_, dtype) in given.items()},
    )
    assert {name: tuple(shapes[name]) if name in shapes else None for name in wanted} == wanted


def test_the_gradient_of_a_malformed_operator_is_refused() -> None:
    net = core.Net("malformed")
    product = net.Mul("a", "b")  # one input, one output: not what was meant
    with pytest.raises(ArityError, match="takes 2 inputs"):
        net.AddGradientOperators([product])


def test_operators_and_engines() -> None:
    assert "Relu" in core._REGISTERED_OPERATORS
    assert core.IsOperatorWithEngine("Relu", "CUDNN")
    assert not core.IsOperatorWithEngine("Relu", "NOEXIST")
    with pytest.raises(AttributeError, match="no attribute '_REGISTERED'"):
        core._REGISTERED  # noqa: B018


def test_devices_of_parameters() -> None:
    from caffe2.python import brew, model_helper

    model = model_helper.ModelHelper(name="devices")
    with core.DeviceScope(core.DeviceOption(0, random_seed=5)):
        brew.fc(model, "x", "y", 2, 3)
    assert optimizer._get_param_to_device(model)["y_w"].random_seed == 5


def test_no_context_is_an_assertion_error() -> None:
    class Mine(Managed):
        pass

    with pytest.raises(MisuseError, match="no Mine is active"):
        Mine.current()
    assert issubclass(MisuseError, AssertionError)
