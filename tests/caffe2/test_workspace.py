"""caffe2.python.workspace: blobs, nets, plans, what comes back and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe2.proto import caffe2_pb2
from caffe2.python import core, utils, workspace
from freshpot.engine import Workspace
from freshpot.errors import (
    ArgumentError,
    DTypeError,
    FormatError,
    KernelError,
    MissingBlobError,
    NameClashError,
    NetError,
    NotSupportedError,
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(core.Net, "_net_names_used", set())
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
    yield
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()


def net_of(*ops: Any, name: str = "n") -> core.Net:
    net = core.Net(name)
    net.extend_ops(ops)
    return net


def constant(name: str, value: float = 1.0, **args: Any) -> Any:
    return core.CreateOperator("ConstantFill", [], [name], shape=[2], value=value, **args)


# ---- blobs -----------------------------------------------------------------------------------------
DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool")


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    assert workspace.FeedBlob("x", array) is True
    found = workspace.FetchBlob("x")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("text", b"text"),
        (b"\xff", b"\xff"),
        (np.array(["a", "bc"]), np.array([b"a", b"bc"], dtype=object)),
        (np.array([b"a"]), np.array([b"a"], dtype=object)),
        (np.array(3.0, np.float32), np.array(3.0, np.float32)),
        (np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)),
        (np.arange(6.0).reshape(2, 3).T, np.arange(6.0).reshape(2, 3).T),
        (np.array([1, 2], ">i4"), np.array([1, 2], np.int32)),
        (torch.ones(2), np.ones(2, np.float32)),
        (utils.NumpyArrayToCaffe2Tensor(np.ones(2, np.float32)), np.ones(2, np.float32)),
    ],
)
def test_values(value: Any, wanted: Any) -> None:
    workspace.FeedBlob("x", value)
    found = workspace.FetchBlob("x")
    assert type(found) is type(wanted)
    if isinstance(wanted, np.ndarray):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert found.tolist() == wanted.tolist()
    else:
        assert found == wanted


def test_what_is_fed_and_fetched_is_copied() -> None:
    array = np.zeros(2, np.float32)
    workspace.FeedBlob(core.BlobReference("x"), array)
    array[0] = 1
    found = workspace.FetchBlob(core.BlobReference("x"))
    found[1] = 1
    assert workspace.FetchBlobs(["x"])[0].tolist() == [0, 0]


def test_blobs_by_name() -> None:
    workspace.blobs["b"] = np.ones(1, np.float32)
    workspace.CreateBlob("a")
    assert workspace.Blobs() == ["a", "b"] == list(workspace.blobs)
    assert len(workspace.blobs) == 2
    assert "b" in workspace.blobs
    assert "c" not in workspace.blobs
    assert workspace.blobs["b"].tolist() == [1]
    assert workspace.HasBlob(core.BlobReference("b"))
    assert workspace.GetBlobSizeBytes("b") == 4
    workspace.ResetBlob("b")
    assert workspace.FetchBlob("b") == b"b, a C++ native class of type nullptr (uninitialized)."


def test_saved_blobs_are_restored() -> None:
    workspace.FeedBlob("x", np.arange(3, dtype=np.float32))
    data = workspace.SerializeBlob("x")
    assert (
        data
        == b"\n\x01x\x12\x06Tensor\x1a\x1f\x08\x03\x10\x01\x1a\x0c"
        + np.arange(3, dtype="<f4").tobytes()
        + b":\x01xB\x02\x08\x00Z\x04\x08\x00\x10\x03"
    )
    workspace.DeserializeBlob("y", data)
    assert workspace.FetchBlob("y").tolist() == [0, 1, 2]


# ---- workspaces ------------------------------------------------------------------------------------
def test_workspaces(tmp_path: Path) -> None:
    workspace.FeedBlob("x", np.ones(1))
    assert workspace.SwitchWorkspace("other", True) is None
    assert workspace.CurrentWorkspace() == "other"
    assert {"default", "other"} <= set(workspace.Workspaces())
    assert workspace.Blobs() == []
    workspace.SwitchWorkspace("default")
    assert workspace.Blobs() == ["x"]
    with workspace.WorkspaceGuard("other"):
        assert workspace.Blobs() == []
    assert workspace.ResetWorkspace(str(tmp_path / "new")) is True
    assert (workspace.Blobs(), workspace.RootFolder()) == ([], str(tmp_path / "new"))
    assert (tmp_path / "new").is_dir()
    workspace.ResetWorkspace()
    assert workspace.RootFolder() == str(tmp_path / "new")
    workspace.ResetWorkspace(".")


def test_workspace_objects() -> None:
    own = workspace.Workspace()
    assert own.feed_blob("x", np.full(2, -1.0, np.float32)) is True
    net = own.create_net(net_of(core.CreateOperator("Relu", "x", "y")))
    net.run()
    assert own.fetch_blob("y").tolist() == [0, 0]
    assert own.run(net_of(core.CreateOperator("Relu", "y", "z"), name="m"))
    assert own.run(core.CreateOperator("Relu", "z", "u"))
    assert own.run(core.Plan(core.execution_step("s", net_of(constant("c"), name="p"))))
    assert sorted(own.blobs) == ["c", "u", "x", "y", "z"]
    assert own.blobs["x"].fetch().tolist() == [-1, -1]
    assert own.blobs["x"].to_torch().tolist() == [-1, -1]
    assert own.blobs["x"].tensor().data.tolist() == [-1, -1]
    assert list(own.nets) == ["n", "p"]
    assert own.remove_blob("u")
    assert not own.has_blob("u")
    assert workspace.Blobs() == []
    workspace.FeedBlob("mine", np.ones(1))
    assert "mine" in workspace.C.Workspace.current.blobs
    with pytest.raises(ValueError, match="a workspace runs nets, plans and operators, not int"):
        own.run(3)


def test_immediate_mode(capsys: pytest.CaptureFixture[str]) -> None:
    workspace.StartImmediate()
    try:
        assert "Immediate mode is for debugging" in capsys.readouterr().out
        workspace.FeedImmediate("x", np.full(1, -2, np.float32))
        net = core.Net("now")
        net.Relu("x", "y")
        assert workspace.FetchImmediate("y").tolist() == [0]
        net.AddGradientOperators(["y"])
        assert workspace.FetchImmediate("x_grad").tolist() == [0]
        assert workspace.ImmediateBlobs() == ["x", "x_grad", "y", "y_autogen_grad"]
    finally:
        workspace.StopImmediate()
    assert not workspace.IsImmediate()
    assert workspace.Blobs() == []


# ---- nets ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", [lambda n: n, lambda n: n.Proto(), lambda n: n.Proto().SerializeToString()])
def test_running_nets(form: Callable[[core.Net], Any]) -> None:
    net = net_of(constant("x"), core.CreateOperator("Sum", ["x", "x"], "y"))
    assert workspace.RunNetOnce(form(net)) is True
    assert workspace.FetchBlob("y").tolist() == [2, 2]
    assert workspace.CreateNet(form(net)) is True
    assert workspace.RunNet(form(net), 2) is True
    assert workspace.C.nets() == ["n"]


def test_running_operators() -> None:
    workspace.FeedBlob("x", np.zeros(1, np.float32))
    workspace.FeedBlob("one", np.ones(1, np.float32))
    add = core.CreateOperator("Sum", ["x", "one"], "x")
    assert workspace.RunOperatorOnce(add)
    assert workspace.RunOperatorOnce(add.SerializeToString())
    assert workspace.RunOperatorMultiple(add, 2)
    assert workspace.RunOperatorsOnce([add, add])
    assert workspace.FetchBlob("x").tolist() == [6]


def test_a_net_sees_what_is_fed_between_runs() -> None:
    workspace.CreateNet(net_of(core.CreateOperator("Relu", "x", "y")), input_blobs=["x"])
    for shape in ((2,), (2,), (3, 1)):
        workspace.FeedBlob("x", np.ones(shape, np.float32))
        workspace.RunNet("n")
        assert workspace.FetchBlob("y").shape == shape


def test_a_changed_net_is_converted_anew() -> None:
    net = net_of(constant("x"))
    workspace.RunNetOnce(net)
    net.Proto().op[0].arg[1].f = 5.0
    workspace.RunNetOnce(net)
    assert workspace.FetchBlob("x").tolist() == [5, 5]


def test_nets_run_from_threads() -> None:
    workspace.CreateNet(net_of(constant("x")))
    jobs = [threading.Thread(target=workspace.RunNet, args=("n", 50)) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert workspace.FetchBlob("x").tolist() == [1, 1]


def test_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    workspace.CreateNet(net_of(constant("x"), core.CreateOperator("Relu", "x", "y")))
    assert len(workspace.BenchmarkNet("n", 1, 2, True)) == 3
    printed = capsys.readouterr().out
    assert "Operator #1 (y, Relu)" in printed
    assert "Time per operator type:" in printed
    assert len(workspace.BenchmarkNet("n", 1, 2, False)) == 1


def test_predictor() -> None:
    workspace.FeedBlob("outside", np.full(2, 5, np.float32))
    init = net_of(constant("w", 3.0), name="init")
    predict = net_of(core.CreateOperator("Sum", ["x", "w", "outside"], "y"), name="predict")
    predict.Proto().external_input.extend(["x", "w"])
    predict.Proto().external_output.append("y")
    predictor = workspace.Predictor(init.Proto().SerializeToString(), predict.Proto().SerializeToString())
    x = np.ones(2, np.float32)
    assert [y.tolist() for y in predictor.run([x])] == [[9, 9]]
    assert [y.tolist() for y in predictor.run({"x": 2 * x})] == [[10, 10]]
    assert workspace.Blobs() == ["outside"]
    with pytest.raises(NetError, match="net 'predict': the net has 2 external inputs, got 3"):
        predictor.run([x, x, x])
    with pytest.raises(MissingBlobError, match="net 'predict': 'z' is no external input"):
        predictor.run({"z": x})


def test_shapes() -> None:
    net = net_of(core.CreateOperator("FC", ["x", "w", "b"], "y"), core.CreateOperator("Relu", "y", "z"))
    dims = {"x": [4, 3], "w": [2, 3], "b": [2]}
    shapes, types = workspace.InferShapesAndTypes([net], blob_dimensions=dims)
    assert shapes == {**dims, "y": [4, 2], "z": [4, 2]}
    assert set(types.values()) == {core.DataType.FLOAT}
    workspace.FeedBlob("x", np.ones((4, 3), np.int32))
    shapes, types = workspace.InferShapesAndTypes([core.Net("empty").Proto()], nets_proto=True)
    assert (shapes, types) == ({"x": [4, 3]}, {"x": core.DataType.INT32})
    with pytest.raises(NetError, match="net 'n': operator FC"):
        workspace.InferShapesAndTypes([net], blob_dimensions={**dims, "w": [2, 4]})


# ---- plans -----------------------------------------------------------------------------------------
def count_to(blob: str = "i") -> core.Net:
    """A net that adds one to a counter."""
    net = core.Net("count")
    net.Sum([blob, "one"], blob)
    return net


@pytest.fixture
def counter() -> core.Net:
    workspace.FeedBlob("i", np.zeros(1, np.float32))
    workspace.FeedBlob("one", np.ones(1, np.float32))
    return count_to()


def total() -> float:
    return workspace.FetchBlob("i").item()


def test_steps_repeat(counter: core.Net) -> None:
    inner = core.execution_step("inner", [counter, counter], num_iter=3)
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("outer", [inner, counter], num_iter=2))
    assert workspace.RunPlan(plan) is True
    assert total() == 2 * (3 * 2 + 1)
    again = core.Plan.create_from_proto(plan.Proto())
    assert [step.Name() for step in again.Steps()] == ["outer"]
    assert workspace.RunPlan(plan.Proto().SerializeToString())


def test_steps_stop(counter: core.Net) -> None:
    counter.GE(["i", "limit"], "stop")
    workspace.FeedBlob("limit", np.full(1, 4, np.float32))
    stop = core.BlobReference("stop")
    workspace.RunPlan(core.execution_step("loop", counter, should_stop_blob=stop))
    assert total() == 4
    workspace.FeedBlob("i", np.zeros(1, np.float32))
    workspace.RunPlan(core.execution_step("loop", counter, should_stop_blob=stop, only_once=True))
    assert total() == 1


def test_steps_run_together() -> None:
    meeting = threading.Barrier(3, timeout=20)
    seen: list[str] = []

    def come(inputs: Any, outputs: Any) -> None:
        meeting.wait()
        seen.append(threading.current_thread().name)

    net = core.Net("meet")
    net.Python(come)([], [])
    one = core.execution_step("one", net)
    two = core.execution_step("two", [core.execution_step("inner", net)], num_concurrent_instances=2)
    workspace.RunPlan(core.execution_step("all", [one, two], concurrent_substeps=True))
    assert len(set(seen)) == 3


@pytest.mark.parametrize("together", [True, False])
def test_a_periodic_step_runs_at_least_once_after_the_others(counter: core.Net, together: bool) -> None:
    seen: list[float] = []
    other = core.Net("other")
    other.Python(lambda inputs, outputs: seen.append(total()))([], [])
    report = core.execution_step("report", counter, run_every_ms=100_000)
    workspace.RunPlan(core.execution_step("all", [report, other], concurrent_substeps=together))
    assert (seen, total()) == ([0], 1)


def test_report_nets(counter: core.Net) -> None:
    other = net_of(constant("x"), name="other")
    workspace.RunPlan(core.execution_step("s", other, report_net=counter, report_interval=1000))
    assert total() == 1


def test_a_step_in_a_workspace_of_its_own() -> None:
    workspace.RunPlan(core.execution_step("s", net_of(constant("x")), create_workspace=True))
    assert workspace.Blobs() == workspace.C.nets() == []


def test_a_plan_in_the_background(counter: core.Net) -> None:
    running = workspace.RunPlanInBackground(core.execution_step("s", counter))
    running._thread.join(20)
    assert running.is_done()
    assert running.is_succeeded()
    assert total() == 1


def test_a_failing_substep_ends_the_others_and_is_raised() -> None:
    def fail(inputs: Any, outputs: Any) -> None:
        raise OSError("no disk")

    bad = core.Net("bad")
    bad.Python(fail)([], [])
    workspace.FeedBlob("never", np.zeros(1, bool))
    endless = core.execution_step(
        "endless", net_of(constant("x"), name="other"), should_stop_blob=core.BlobReference("never")
    )
    with pytest.raises(OSError, match="no disk"):
        workspace.RunPlan(
            core.execution_step("all", [core.execution_step("b", bad), endless], concurrent_substeps=True)
        )


# ---- Python operators ------------------------------------------------------------------------------
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


# ---- what is refused -------------------------------------------------------------------------------
REFUSED: list[tuple[Callable[[], Any], type[BaseException], str]] = [
    (lambda: workspace.FetchBlob("x"), MissingBlobError, "there is no blob 'x' in the workspace."),
    (lambda: workspace.SerializeBlob("x"), MissingBlobError, "there is no blob 'x' in the workspace."),
    (lambda: workspace.FetchBlob(3), AssertionError, "a blob is named by text or a BlobReference, got int."),
    (
        lambda: workspace.FeedBlob("x", [1, 2]),
        DTypeError,
        "blob 'x' is fed with a numpy array or text, got list. Use numpy.array().",
    ),
    (
        lambda: workspace.FeedBlob("x", np.zeros(1, np.complex64)),
        DTypeError,
        "numpy type complex64 is not a tensor type; known: ",
    ),
    (
        lambda: workspace.FeedBlob("x", np.zeros(1, np.uint32)),
        DTypeError,
        "numpy type uint32 is not a tensor type",
    ),
    (
        lambda: workspace.FeedBlob("x", np.array([object()])),
        DTypeError,
        "an array of objects may hold only text and bytes, found object.",
    ),
    (lambda: workspace.DeserializeBlob("x", b"\xff"), FormatError, "not a complete caffe2.BlobProto message"),
    (
        lambda: workspace.SwitchWorkspace("nowhere"),
        NetError,
        "there is no workspace 'nowhere'.",
    ),
    (lambda: workspace.RunNet("nope"), NetError, "there is no net 'nope' in the workspace."),
    (lambda: workspace.RunNet(3), TypeError, "expected a net or its name, got int."),
    (
        lambda: workspace.RunNetOnce(3),
        ValueError,
        "expected a net, operator or plan, or its message; got int.",
    ),
    (lambda: workspace.RunNetOnce(b"\xff"), FormatError, "1 bytes are not a complete caffe2.NetDef message"),
    (
        lambda: workspace.StringifyProto(3),
        ValueError,
        "expected a message or an object with Proto(), got int.",
    ),
    (
        lambda: workspace.CreateNet(core.Net("a").Clone("")),
        NetError,
        "the net has no name; give it one to create it (or run it once).",
    ),
    (
        lambda: [workspace.CreateNet(caffe2_pb2.NetDef(name="n")) for _ in range(2)],
        NameClashError,
        "net 'n': a net of this name exists already in the workspace.",
    ),
    (
        lambda: workspace.RunOperatorOnce(core.CreateOperator("Nope", [], [])),
        NetError,
        "operator Nope () -> ()",
    ),
    (
        lambda: workspace.RunOperatorOnce(core.CreateOperator("Relu", "nowhere", "y")),
        MissingBlobError,
        "operator Relu (nowhere) -> (y): input blob 'nowhere' does not exist",
    ),
    (
        lambda: workspace.RunOperatorOnce(core.CreateOperator("Python", [], [], token="no such")),
        ArgumentError,
        "no Python function is registered under the token 'no such' in this process.",
    ),
    (
        lambda: workspace.RunOperatorOnce(core.CreateOperator("Python", [], [], pickled_builder=b"x")),
        NotSupportedError,
        "nothing is unpickled, because that could run foreign code. Build the net where it runs.",
    ),
    (
        lambda: workspace.RunOperatorOnce(
            core.CreateOperator(
                "PythonGradient", [], [], token=core.CreatePythonOperator(double, [], []).arg[0].s
            )
        ),
        ArgumentError,
        "was registered without a gradient; give grad_f to net.Python.",
    ),
    (
        lambda: workspace.InferShapesAndTypes([], blob_types={"x": 1}),
        AssertionError,
        "blob_types wants blob_dimensions.",
    ),
    (
        lambda: workspace.FillRandomNetworkInputs(core.Net("n"), [], []),
        NotSupportedError,
        "FillRandomNetworkInputs: freshpot does not guess inputs. Feed them with FeedBlob.",
    ),
    (
        lambda: workspace.RunPlan(
            caffe2_pb2.PlanDef(
                name="p", execution_step=[caffe2_pb2.ExecutionStep(name="s", network=["lost"])]
            )
        ),
        NetError,
        "step 's' runs net 'lost', which the plan lacks.",
    ),
    (
        lambda: workspace.RunPlan(caffe2_pb2.PlanDef(name="p", network=[caffe2_pb2.NetDef(name="n")] * 2)),
        NetError,
        "net 'n': plan 'p' has two nets of this name.",
    ),
    (
        lambda: workspace.RunPlan(
            caffe2_pb2.PlanDef(
                execution_step=[caffe2_pb2.ExecutionStep(name="s", num_iter=1, should_stop_blob="b")]
            )
        ),
        NetError,
        "step 's' has both num_iter and should_stop_blob; they exclude each other.",
    ),
    (
        lambda: workspace.RunPlan(
            caffe2_pb2.PlanDef(execution_step=[caffe2_pb2.ExecutionStep(name="s", criteria_network="c")])
        ),
        NotSupportedError,
        "step 's' has a criteria_network",
    ),
    (
        lambda: workspace.RunPlan(
            core.execution_step("s", net_of(constant("x")), should_stop_blob=core.BlobReference("none"))
        ),
        MissingBlobError,
        "step 's' looks at should_stop_blob 'none', which holds nothing.",
    ),
    (
        lambda: workspace.RunPlan(
            core.execution_step("s", net_of(constant("x")), should_stop_blob=core.BlobReference("x"))
        ),
        NetError,
        "should_stop_blob 'x' of step 's' must be one bool.",
    ),
]


@pytest.mark.parametrize(
    ("action", "error", "message"), REFUSED, ids=lambda v: v if isinstance(v, str) else ""
)
def test_refused(action: Callable[[], Any], error: type[BaseException], message: str) -> None:
    with pytest.raises(error) as caught:
        action()
    assert message in str(caught.value)
    workspace.RunNetOnce(net_of(constant("still_works"), name="after"))
    assert workspace.FetchBlob("still_works").tolist() == [1, 1]


def test_a_net_that_may_fail() -> None:
    workspace.CreateNet(net_of(core.CreateOperator("Relu", "x", "y")), input_blobs=["x"])
    assert workspace.RunNet("n", allow_fail=True) is False
    with pytest.raises(MissingBlobError, match="input blob 'x' holds nothing yet"):
        workspace.RunNet("n")


def test_quantised_tensors_are_fetched_apart() -> None:
    from freshpot.ops.quantized_tensor import QuantizedTensor

    workspace.FeedBlob("q", QuantizedTensor(torch.tensor([1, 3], dtype=torch.uint8), 0.5, 1))
    with pytest.raises(DTypeError, match="is a quantised tensor; fetch it with FetchInt8Blob"):
        workspace.FetchBlob("q")
    assert workspace.FetchInt8Blob("q").data.tolist() == [1, 3]
    assert workspace.FetchInt8BlobRealVal("q").tolist() == [0, 1]
    workspace.FeedBlob("x", np.ones(1))
    with pytest.raises(AssertionError, match="blob 'x' is not a quantised tensor; fetch it with FetchBlob"):
        workspace.FetchInt8Blob("x")


def test_a_sparse_gradient_is_two_blobs() -> None:
    slices = core.GradientSlice(indices="i", values="v")
    for access in (workspace.FetchBlob, workspace.HasBlob, workspace.ResetBlob, lambda n: workspace.blobs[n]):
        with pytest.raises(AssertionError, match=r"take its \.indices and \.values"):
            access(slices)
    with pytest.raises(TypeError, match="got GradientSlice"):
        core.CreateOperator("Relu", slices, "y")
    with pytest.raises(MissingBlobError, match="there is no blob"):
        Workspace().get(slices)  # type: ignore[arg-type]


def test_intels_kernels_are_the_cpu() -> None:
    workspace.FeedBlob("x", np.ones(2, np.float32), core.DeviceOption(caffe2_pb2.IDEEP))
    with core.DeviceScope(core.DeviceOption(caffe2_pb2.IDEEP)):
        workspace.RunOperatorOnce(core.CreateOperator("Negative", ["x"], ["y"]))
    assert workspace.FetchBlob("y").tolist() == [-1, -1]
