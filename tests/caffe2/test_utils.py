"""caffe2.python.utils and dyndep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from caffe2.proto import caffe2_pb2
from caffe2.python import core, dyndep, utils, workspace
from freshpot.errors import FormatError, NotSupportedError


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int16", "uint16", "int8", "uint8", "bool"])
def test_arrays_survive(dtype: str) -> None:
    array = np.arange(4).reshape(2, 2).astype(dtype)
    found = utils.Caffe2TensorToNumpyArray(utils.NumpyArrayToCaffe2Tensor(array, "x"))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_int32_becomes_int64_as_in_the_original() -> None:
    tensor = utils.NumpyArrayToCaffe2Tensor(np.array([1], np.int32))
    assert utils.Caffe2TensorToNumpyArray(tensor).dtype == np.int64


def test_orders_of_dimensions() -> None:
    array = np.zeros((2, 3, 4, 5))
    assert utils.NHWC2NCHW(array).shape == (2, 5, 3, 4)
    assert utils.NCHW2NHWC(array).shape == (2, 4, 5, 3)
    with pytest.raises(AssertionError, match="NCHW2NHWC wants at least two dimensions, got 1"):
        utils.NCHW2NHWC(np.zeros(3))


def test_operators_compared() -> None:
    a, b = (core.CreateOperator("Relu", "x", "y", debug_info=text) for text in "ab")
    assert utils.OpAlmostEqual(a, b, "debug_info")
    assert not utils.OpAlmostEqual(a, b)


def test_arguments_as_a_dict() -> None:
    op = core.CreateOperator("Any", [], [], i=1, s="x", fs=[1.0, 2.0], none=[])
    found = utils.ArgsToDict(op.arg)
    assert (found["i"], found["s"], list(found["fs"]), found["none"]) == (1, b"x", [1.0, 2.0], None)


def test_messages_from_text_or_bytes(tmp_path: Path) -> None:
    net = caffe2_pb2.NetDef(name="n")
    assert utils.TryReadProtoWithClass(caffe2_pb2.NetDef, str(net)) == net
    assert utils.TryReadProtoWithClass(caffe2_pb2.NetDef, net.SerializeToString()) == net
    names = {caffe2_pb2.NetDef: lambda n: n.name}
    assert utils.GetContentFromProto(net, names) == utils.GetContentFromProtoString(str(net), names) == "n"
    with pytest.raises(DecodeError, match="not a message of any of NetDef"):
        utils.GetContentFromProtoString(b"\xff\xff", names)
    (tmp_path / "net.txt").write_text(str(net))
    utils.ConvertProtoToBinary(caffe2_pb2.NetDef, str(tmp_path / "net.txt"), str(tmp_path / "net.pb"))
    assert (tmp_path / "net.pb").read_bytes() == net.SerializeToString()
    (tmp_path / "bad").write_bytes(b"\xff\xff")
    with pytest.raises(FormatError, match="bad: not a NetDef"):
        utils.ConvertProtoToBinary(caffe2_pb2.NetDef, str(tmp_path / "bad"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_one_counter_for_many_optimizers() -> None:
    workspace.ResetWorkspace()
    init, net = core.Net("init"), core.Net("net")
    first = utils.BuildUniqueMutexIter(init, net, iter_val=3)
    assert utils.BuildUniqueMutexIter(init, net) == first == "optimizer_iteration"
    assert [op.type for op in net.Proto().op] == ["AtomicIter"]
    assert str(net.Proto().op[0].device_option) == (
        'device_type: 0\ndevice_id: 0\nextra_info: "device_type_override:cpu"\n'
    )
    workspace.RunNetOnce(init)
    workspace.RunNetOnce(net)
    assert workspace.FetchBlob(first).tolist() == [4]
    utils.ResetBlobs([first])
    assert b"uninitialized" in workspace.FetchBlob(first)


def test_constants_of_a_class() -> None:
    class Kind:
        A = "a"
        B = "b"
        lower = "c"

    assert utils.EnumClassKeyVals(Kind) == {"A": "a", "B": "b"}
    Kind.C = "a"
    with pytest.raises(AssertionError, match=r"Kind\.C: another constant is 'a' too"):
        utils.EnumClassKeyVals(Kind)
    with pytest.raises(AssertionError, match=r"counts\. 1 != 2"):
        utils.raiseIfNotEqual(1, 2, "counts")


def test_libraries_of_operators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dyndep.InitOpsLibrary("@/caffe2/ops:missing")
    assert capsys.readouterr().out == "Ignoring @/caffe2/ops:missing as it is not a valid file.\n"
    (tmp_path / "ops.so").write_bytes(b"")
    with pytest.raises(NotSupportedError, match="a library built for the original Caffe2 cannot be loaded"):
        dyndep.InitOpsLibrary(str(tmp_path / "ops.so"))
    assert dyndep.GetImportedOpsLibraries() == set()
