"""caffe2.python.core: names, operators, nets, what they print and what they refuse."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from caffe2.proto import caffe2_pb2
from caffe2.python import core, scope, utils, workspace
from freshpot.errors import GradientError, NetError

CUDA = core.DeviceOption(caffe2_pb2.CUDA, 1)


@pytest.fixture(autouse=True)
def fresh_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(core.Net, "_net_names_used", set())
    monkeypatch.setattr(core.ExecutionStep, "_step_names_used", set())
    yield
    assert scope.CurrentNameScope() == ""
    assert scope.CurrentDeviceScope() is None


# ---- printed nets ----------------------------------------------------------------------------------
def test_printed_net() -> None:
    net = core.Net("my_first_net")
    X = net.GaussianFill([], ["X"], mean=0.0, std=1.0, shape=[2, 3], run_once=0)
    W = net.GaussianFill([], ["W"], mean=0.0, std=1.0, shape=[5, 3], run_once=0)
    b = net.ConstantFill([], ["b"], shape=[5], value=1.0, run_once=0)
    X.FC([W, b], ["Y"])
    text = str(net.Proto())
    assert text.startswith(
        'name: "my_first_net"\nop {\n  output: "X"\n  name: ""\n  type: "GaussianFill"\n'
        '  arg {\n    name: "mean"\n    f: 0.0\n  }\n  arg {\n    name: "std"\n    f: 1.0\n  }\n'
        '  arg {\n    name: "shape"\n    ints: 2\n    ints: 3\n  }\n  arg {\n    name: "run_once"\n    i: 0\n  }\n}\n'
    )
    assert text.endswith(
        'op {\n  input: "X"\n  input: "W"\n  input: "b"\n  output: "Y"\n  name: ""\n  type: "FC"\n}\n'
    )


def test_printed_operator() -> None:
    op = core.CreateOperator(
        "Relu", "a", ["b"], name="n", engine="", axis=[], left_out=None, control_input=["c"], random_seed=3
    )
    assert str(op) == (
        'input: "a"\noutput: "b"\nname: "n"\ntype: "Relu"\narg {\n  name: "axis"\n}\n'
        'device_option {\n  random_seed: 3\n}\nengine: ""\ncontrol_input: "c"\n'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "i: 1"),
        (True, "i: 1"),
        (2.0, "f: 2.0"),
        (np.float32(2), "f: 2.0"),
        (np.bool_(True), "i: 1"),
        ("a", 's: "a"'),
        (b"\xff", 's: "\\377"'),
        ([], ""),
        ((1, 2), "ints: 1\nints: 2"),
        ([True, 1], "ints: 1\nints: 1"),
        ([np.int64(1)], "ints: 1"),
        (range(2), "ints: 0\nints: 1"),
        ([2.0], "floats: 2.0"),
        (np.zeros((1, 2), np.int32), "ints: 0\nints: 0"),
        (np.zeros(1, np.float32), "floats: 0.0"),
        (["a", b"b"], 'strings: "a"\nstrings: "b"'),
        (np.array(["a"]), 'strings: "a"'),
        (caffe2_pb2.NetDef(name="x"), 'n {\n  name: "x"\n}'),
        ([caffe2_pb2.NetDef(name="x")], 'nets {\n  name: "x"\n}'),
        (caffe2_pb2.DeviceOption(device_type=1), 's: "\\010\\001"'),
    ],
)
def test_arguments(value: Any, text: str) -> None:
    wanted = f'name: "k"\n{text}\n' if text else 'name: "k"\n'
    assert str(utils.MakeArgument("k", value)) == wanted


# ---- names -----------------------------------------------------------------------------------------
def test_names_of_nets() -> None:
    assert [core.Net("n").Name() for _ in range(3)] == ["n", "n_1", "n_2"]
    assert core.Net(caffe2_pb2.NetDef(name="n")).Name() == "n_3"


def test_names_of_unnamed_blobs() -> None:
    net = core.Net("p")
    made = [net.NextName(), net.NextName("a"), net.NextName("a", 1)]
    assert made == ["p_blob_0", "p/a", "p/a:1"]
    assert [str(b) for b in (net.NextBlob("q"), net.NextBlob("q"), net.NextScopedBlob("q"))] == [
        "q",
        "q_auto_0",
        "q_auto_1",
    ]
    x = net.ConstantFill([], shape=[1])
    net.Relu(x)
    net.Relu(x, 2)
    net.Relu(x)
    assert [list(op.output) for op in net.Proto().op] == [
        ["p/ConstantFill"],
        ["p/Relu"],
        ["p/Relu:0", "p/Relu:1"],
        ["p/Relu_2"],
    ]


def test_numbers_of_unnamed_blobs_go_on_after_the_first_digit() -> None:
    proto = caffe2_pb2.NetDef(name="z", op=[core.CreateOperator("Relu", "z_blob_12", "z_blob_7")])
    assert core.Net(proto).NextName() == "z_blob_8"


def test_name_scopes() -> None:
    net = core.Net("n")
    with core.NameScope("a"), core.NameScope("b"):
        x = net.ConstantFill([], "x", shape=[1])
        net.Relu(x)
        net.Relu("x", core.BlobReference("y"))
        assert core.ScopedName("k") == "a/b/k"
        with core.NameScope("c", reset=True):
            assert core.ScopedBlobReference("k") == "c/k"
        with scope.EmptyNameScope():
            assert core.ScopedName("k") == "k"
    assert [(list(op.input), list(op.output)) for op in net.Proto().op] == [
        ([], ["a/b/x"]),
        (["a/b/x"], ["a/b/n/Relu"]),
        (["a/b/x"], ["y"]),
    ]


def test_device_scopes() -> None:
    outer = core.DeviceOption(caffe2_pb2.CPU, node_name="host", extra_info=["b:1"])
    with core.DeviceScope(outer), core.DeviceScope(core.DeviceOption(caffe2_pb2.CUDA, 2, extra_info=["a:1"])):
        op = core.CreateOperator("Relu", "x", "y")
        own = core.CreateOperator("Relu", "x", "y", device_option=CUDA)
        with scope.EmptyDeviceScope():
            assert not core.CreateOperator("Relu", "x", "y").HasField("device_option")
    assert str(op.device_option) == (
        'device_type: 1\ndevice_id: 2\nnode_name: "host"\nextra_info: "a:1"\nextra_info: "b:1"\n'
    )
    assert own.device_option == CUDA


def test_references() -> None:
    net = core.Net("n")
    ref = core.BlobReference("a/b/c", net)
    assert ref == "a/b/c" == core.BlobReference(b"a/b/c")
    assert ref != "other"
    assert {ref: 1}["a/b/c"] == 1
    assert (str(ref + "_x"), str("p_" + ref), repr(ref)) == ("a/b/c_x", "p_a/b/c", 'BlobReference("a/b/c")')
    assert (ref.GetNameScope(), ref.GetUnscopedName(), ref.Net()) == ("a/b/", "c", net)
    assert core.BlobReference("abc").GetNameScope() == ""
    assert copy.copy(ref) == ref
    assert pickle.loads(pickle.dumps(core.BlobReference("x"))) == "x"
    assert "Relu" in dir(ref)
    assert "Relu" in dir(net)


# ---- nets ------------------------------------------------------------------------------------------
def chain() -> core.Net:
    net = core.Net("chain")
    a = net.Relu("in", "a")
    b = net.Sigmoid(a, "b")
    net.Sum([a, b], "out")
    return net


def test_inputs_and_outputs() -> None:
    net = chain()
    assert list(net.Proto().external_input) == ["in"]
    assert net.AddExternalInput("x") == "x"
    assert net.AddExternalInputs("y", "z") == ["y", "z"]
    with core.NameScope("s"):
        assert net.AddScopedExternalInputs("v") == ["s/v"]
    net.AddExternalOutput(core.BlobReference("out"))
    assert net.external_inputs == ["in", "x", "y", "z", "s/v"]
    assert net.external_outputs == ["out"]
    assert net.BlobIsDefined("a")
    assert net.UsesBlob("in")
    assert not net.UsesBlob("out")
    assert net.UsedBlobNames() == {"in", "x", "y", "z", "s/v", "a", "b", "out"}
    assert net.GetBlobRef("a").Net() is net
    net.Proto().external_input.append("later")
    assert net.is_external_input("later")


def test_clone() -> None:
    net = chain()
    made = net.Clone("copy", {"a": "A"}, op_id_mask=[0, 1], update_external_list=True)
    assert made.Name() == "copy"
    assert [(list(op.input), list(op.output)) for op in made.Proto().op] == [(["in"], ["A"]), (["A"], ["b"])]
    assert made.external_outputs == ["b"]


def test_clone_partial() -> None:
    made, outputs = chain().ClonePartial("part", {"a": "given"}, ["b"])
    assert [op.type for op in made.Proto().op] == ["Sigmoid"]
    assert (made.external_inputs, outputs) == (["given"], ["part/b"])


def test_clone_renames_inside_control_operators() -> None:
    inner = core.Net("inner")
    inner.Relu("x", "y")
    net = core.Net("outer")
    net.Proto().op.extend([core.CreateOperator("If", ["c", "x"], ["y"], then_net=inner.Proto())])
    made = net.Clone("copy", {"x": "X"}).Proto().op[0]
    assert list(made.input) == ["c", "X"]
    assert list(made.arg[0].n.op[0].input) == ["X"]


def test_append_net() -> None:
    first, second = core.Net("first"), chain()
    second.AddExternalOutput(core.BlobReference("out"))
    first.AppendNet(second, device_option=CUDA)
    assert list(first.Proto().external_input) == ["in"]
    assert first.external_outputs == ["out"]
    assert all(op.device_option == CUDA for op in first.Proto().op)
    assert not second.Proto().op[0].HasField("device_option")


def test_devices_and_seeds() -> None:
    net = chain()
    net.RunAllOnGPU(2, use_cudnn=True)
    assert net.Proto().device_option == core.DeviceOption(caffe2_pb2.CUDA, 2)
    assert {op.engine for op in net.Proto().op} == {"CUDNN"}
    net.set_rand_seed(7)
    assert [op.device_option.random_seed for op in net.Proto().op] == [7, 8, 9]


def test_constants() -> None:
    net = core.Net("c")
    for value in (True, 1.5, np.int32(2), [1, 2]):
        net.Const(value)
    assert [op.type for op in net.Proto().op] == [
        "ConstantFill",
        "GivenTensorFill",
        "GivenTensorIntFill",
        "GivenTensorInt64Fill",
    ]


def test_insert_and_reroute() -> None:
    net = chain()
    op = core.CreateOperator("Copy", ["a"], ["a2"])
    assert net.reroute_tensor("a", op, [net.Proto().op[2]]) == 1
    assert [(o.type, list(o.input)) for o in net.Proto().op] == [
        ("Relu", ["in"]),
        ("Copy", ["a"]),
        ("Sigmoid", ["a"]),
        ("Sum", ["a2", "b"]),
    ]


def test_ssa() -> None:
    net = core.Net("s")
    net.Relu("x", "y")
    net.Relu("y", "y")
    ssa, versions = core.get_ssa(net)
    assert ssa == [([("x", 0)], [("y", 1)]), ([("y", 1)], [("y", 2)])]
    assert versions == {"x": 0, "y": 2}
    assert core.get_undefined_blobs(ssa) == {"x"}
    assert core.get_output_producers(ssa) == {("y", 1): 0, ("y", 2): 1}
    assert core.get_op_ids_in_path(ssa, versions, ["x"], ["y"]) == [0, 1]
    assert core.validate_ssa(ssa)


def test_gradient_names_follow_the_scope() -> None:
    net = core.Net("g")
    net.Relu("a", "b")
    with core.NameScope("s"):
        grads = net.AddGradientOperators([core.BlobReference("b")])
    assert list(net.Proto().op[1].output) == ["s/b_autogen_grad"]
    assert grads == {"b": "s/b_autogen_grad", "a": "a_grad"}
    assert str(net.Proto().op[2]).endswith('type: "ReluGradient"\nis_gradient_op: true\n')


def test_gradient_that_a_program_registers() -> None:
    @core.GradientRegistry.RegisterGradient("OnlyHere")
    def rule(op: Any, g_output: list[Any]) -> Any:
        return core.CreateOperator("Copy", [g_output[0]], [op.input[0] + "_grad"]), [op.input[0] + "_grad"]

    try:
        ops, grads = core.GradientRegistry.GetBackwardPass(
            [core.CreateOperator("OnlyHere", "a", "b")], {"b": "g"}
        )
    finally:
        del core.GradientRegistry.gradient_registry_["OnlyHere"]
    assert [op.type for op in ops] == ["Copy"]
    assert grads == {"b": "g", "a": "a_grad"}


def test_deduplicated_slices() -> None:
    net = core.Net("d")
    made = net.DeduplicateGradientSlices(core.GradientSlice("i", "v"), aggregator="mean")
    assert [op.type for op in net.Proto().op] == ["Unique", "UnsortedSegmentMean"]
    assert made.values == "d/UnsortedSegmentMean:0"


# ---- devices ---------------------------------------------------------------------------------------
def test_copies_between_devices() -> None:
    net = core.Net("x")
    net.Relu("in", "a")
    net.Relu("a", "b", device_option=CUDA)
    net.Relu("a", "c", device_option=CUDA)
    net.Sum(["b", "a"], "d")
    made, places = core.InjectCrossDeviceCopies(net)
    assert [(op.type, list(op.input), list(op.output)) for op in made.Proto().op] == [
        ("Relu", ["in"], ["a"]),
        ("CopyCPUToGPU", ["a"], ["a_gpu_1"]),
        ("Relu", ["a_gpu_1"], ["b"]),
        ("Relu", ["a_gpu_1"], ["c"]),
        ("CopyGPUToCPU", ["b"], ["b_cpu"]),
        ("Sum", ["b_cpu", "a"], ["d"]),
    ]
    assert places["b"] == CUDA
    nets, _ = core.InjectDeviceCopiesAmongNets([net])
    assert len(nets[0].Proto().op) == 6


def test_devices_of_blobs() -> None:
    concat = core.CreateOperator("Concat", ["a", "b"], ["c", "d"], device_option=CUDA)
    inputs, outputs = core.InferOpBlobDevices(concat)
    assert [d.device_type for d in (*inputs, *outputs)] == [1, 1, 1, 0]
    assert core.device_option_equal(CUDA, core.DeviceOption(caffe2_pb2.CUDA, 1, random_seed=4))
    assert not core.device_option_equal(CUDA, core.DeviceOption(caffe2_pb2.CPU))
    assert core.device_equal(caffe2_pb2.DeviceOption(), core.DeviceOption(caffe2_pb2.CPU))


# ---- what is refused -------------------------------------------------------------------------------
REFUSED: list[tuple[Callable[[], Any], type[BaseException], str]] = [
    (
        lambda: core.Net("n").Reluu("x"),
        AttributeError,
        "Method Reluu is not a registered operator. Did you mean: [Relu,",
    ),
    (
        lambda: core.BlobReference("a", core.Net("n")).Reluu(),
        AttributeError,
        "Method Reluu is not a registered",
    ),
    (
        lambda: core.BlobReference("a").Relu(),
        AttributeError,
        "blob 'a' belongs to no net, so 'Relu' cannot be added through it. Use net.Relu([blob], …).",
    ),
    (lambda: core.BlobReference("a")._secret, AttributeError, "'BlobReference' has no attribute '_secret'."),
    (lambda: core.Net("n")._secret, AttributeError, "'Net' has no attribute '_secret'."),
    (
        lambda: core.BlobReference("a") + 3,
        RuntimeError,
        "only text can be added to a BlobReference, got int.",
    ),
    (
        lambda: core.CreateOperator("Relu", 3, "b"),
        TypeError,
        "inputs and outputs are names, BlobReferences or lists of these; got int.",
    ),
    (
        lambda: core.CreateOperator("Relu", ["a", 3], "b"),
        TypeError,
        "blob #1 must be a name or a BlobReference, got int: 3.",
    ),
    (
        lambda: core.CreateOperator("Relu", "a", "b", x=[1, 2.0]),
        ValueError,
        "argument 'x' cannot hold a list of float, int. All values must be int, all float, all text, or all messages.",
    ),
    (
        lambda: core.CreateOperator("Relu", "a", "b", x=object()),
        ValueError,
        "argument 'x' cannot hold a value of type object.",
    ),
    (
        lambda: core.Net("n").AddGradientOperators("x"),
        TypeError,
        "ys must be a list or a dict of blobs, got str.",
    ),
    (
        lambda: core.GradientRegistry.GetGradientForOp(
            core.CreateOperator("ReluGradient", ["y", "d"], "x"), ["g"]
        ),
        GradientError,
        "operator ReluGradient (y, d) -> (x): has no gradient",
    ),
    (lambda: core.Net("n").GetBlobRef("x"), KeyError, "net 'n' does not define blob 'x'"),
    (
        lambda: core.Net("n").AddExternalOutput(core.BlobReference("x")),
        AssertionError,
        "net 'n' does not define blob 'x'.",
    ),
    (
        lambda: core.Net("n").AddExternalOutput("x"),
        AssertionError,
        "AddExternalOutput wants BlobReferences, got str: 'x'.",
    ),
    (
        lambda: core.Net("n").AddExternalInput("x", "x"),
        AssertionError,
        "net 'n' has an external input 'x' already.",
    ),
    (lambda: core.Net("n").AddExternalInput(), AssertionError, "AddExternalInput wants at least one blob."),
    (lambda: core.Net("n").AppendNet("x"), AssertionError, "AppendNet wants a Net, got str."),
    (
        lambda: chain().ClonePartial("p", ["in"], ["nope"]),
        AssertionError,
        "net 'chain' does not define blob 'nope'.",
    ),
    (
        lambda: chain().ClonePartial("p", ["b"], ["b", "a"]),
        AssertionError,
        "cannot clone part of net 'chain': operators that are needed would make one of the inputs (b).",
    ),
    (
        lambda: core.Net("n").Python(len, (len, (), {})),
        AssertionError,
        "f and grad_f must both be functions or both be tuples (factory, args, kwargs).",
    ),
    (
        lambda: core.Net("n").DeduplicateGradientSlices(core.GradientSlice("i", "v"), "max"),
        ValueError,
        "aggregator must be 'sum' or 'mean', got 'max'.",
    ),
    (
        lambda: core.Net("n").set_rand_seed(1, True, True),
        AssertionError,
        "sequence_seed and seed_on_op_def exclude each other.",
    ),
    (
        lambda: core.Net("n").AddObserver("TimeObserver"),
        NotImplementedError,
        "observer 'TimeObserver': freshpot has no observers. workspace.BenchmarkNet gives the time of each operator.",
    ),
    (lambda: core.Plan(3), ValueError, "a plan is made from a name or a step, got int."),
    (
        lambda: core.execution_step("a", 3),
        ValueError,
        "a step runs a net, a step, or a list of these; got int.",
    ),
    (
        lambda: core.execution_step("a", [], num_iter=1, should_stop_blob=core.BlobReference("b")),
        AssertionError,
        "num_iter and should_stop_blob exclude each other.",
    ),
    (
        lambda: core.execution_step("a", chain()).AddSubstep(core.execution_step("b", chain())),
        AssertionError,
        "step 'a' has nets, so it cannot have substeps.",
    ),
    (
        lambda: core.DeviceOption(caffe2_pb2.CUDA, numa_node_id=1),
        AssertionError,
        "only a CPU has a numa_node_id.",
    ),
    (lambda: core.NameScope(3).__enter__(), AssertionError, "NameScope wants text, got int."),
    (
        lambda: core.DeviceScope("cpu").__enter__(),
        AssertionError,
        "DeviceScope wants a DeviceOption, got str. Make one with core.DeviceOption.",
    ),
    (
        lambda: core.DeviceScope(None).__enter__(),
        AssertionError,
        "DeviceScope wants a DeviceOption or a node name.",
    ),
    (
        lambda: core.copy_func_between_devices(CUDA, core.DeviceOption(caffe2_pb2.OPENCL)),
        ValueError,
        "nothing can be copied from device",
    ),
]


@pytest.mark.parametrize(
    ("action", "error", "message"), REFUSED, ids=lambda v: v if isinstance(v, str) else ""
)
def test_refused(action: Callable[[], Any], error: type[BaseException], message: str) -> None:
    with pytest.raises(error) as caught:
        action()
    assert message in str(caught.value)


def test_a_blob_on_two_devices_is_refused() -> None:
    net = core.Net("two")
    net.Relu("a", "b")
    net.Relu("c", "b", device_option=CUDA)
    with pytest.raises(RuntimeError, match="net 'two': blob 'b' is written on two devices"):
        core.InjectCrossDeviceCopies(net)


def test_a_step_in_use_cannot_be_changed() -> None:
    step = core.execution_step("inner", chain())
    core.execution_step("outer", [step, step])
    with pytest.raises(AssertionError, match="step 'inner' is part of a plan or another step already"):
        step.SetIter(2)


def test_where_the_program_added_an_operator(caplog: pytest.LogCaptureFixture) -> None:
    net = core.Net("where")
    net.Relu("nowhere", "y")
    workspace.ResetWorkspace()
    with pytest.raises(NetError) as caught:
        workspace.RunNetOnce(net)
    assert caught.value.position == 0
    assert "Original python traceback for operator `0` in network `where`" in caplog.text
    assert "in test_where_the_program_added_an_operator" in caplog.text
