"""What goes wrong says where and why, in a class that the original's programs catch, and breaks nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bad_input as bad
import numpy as np
import pytest

from caffe2.python import core, workspace
from freshpot.errors import (
    ArgumentError,
    ArityError,
    DataError,
    DeviceError,
    DTypeError,
    FormatError,
    FreshpotError,
    GradientError,
    KernelError,
    MissingBlobError,
    NameClashError,
    NetError,
    ShapeError,
    UnknownOperatorError,
)

Case = tuple[Callable[[Path], None], type[Exception], str]

FC = "net 'bad': operator FC (x, w, b) -> (y): "
LOAD = "net 'bad': operator Load () -> (u, v): "
NOT_COMPLETE = "2 bytes are not a complete caffe2."

#: what goes wrong, our error, words of its message in order, "…" between them
CASES: list[Case] = [
    (bad.method_of_no_operator, AttributeError, "Reluu is not a registered operator…Did you mean: [Relu,"),
    (bad.unknown_operator_once, UnknownOperatorError, "operator Reluu (x) -> (y): …Did you mean Relu,"),
    (
        bad.unknown_operator_in_a_net,
        UnknownOperatorError,
        "net 'bad': operator Sofmax (y) -> (z): there is no operator 'Sofmax'. Did you mean Softmax,",
    ),
    (
        bad.too_few_inputs,
        ArityError,
        "net 'bad': operator FC (x, w) -> (y): takes 3 inputs (X, W, b), got 2.",
    ),
    (bad.too_many_outputs, ArityError, "net 'bad': operator Relu (x) -> (y, z): takes 1 outputs (Y), got 2."),
    (bad.output_over_an_input, ArityError, "net 'bad': operator FC (x, w, b) -> (x): output 0 may not be"),
    (bad.fetch_of_a_missing_blob, MissingBlobError, "no blob 'conv_w' in the …Did you mean conv1_w?"),
    (
        bad.missing_input,
        MissingBlobError,
        "net 'bad': operator Relu (dta) -> (y): input blob 'dta' does not exist…Did you mean data?",
    ),
    (
        bad.input_that_a_later_operator_writes,
        MissingBlobError,
        "net 'bad': operator Relu (y) -> (z): input blob 'y' does not exist: no earlier operator writes it",
    ),
    (
        bad.empty_input,
        MissingBlobError,
        "net 'bad': operator Relu (x) -> (y): input blob 'x' holds nothing yet: feed it",
    ),
    (
        bad.saving_a_missing_blob,
        MissingBlobError,
        "operator Save (nowhere) -> (): input blob 'nowhere' does not exist",
    ),
    (bad.features_that_differ, ShapeError, FC + "input X (2, 4) has 4 features …W (5, 3) wants 3."),
    (bad.channels_that_differ, ShapeError, "net 'bad': operator Conv (x, w, b) -> (y): X (1, 3, 8, 8) has 3"),
    (
        bad.shapes_that_do_not_broadcast,
        ShapeError,
        "net 'bad': operator Add (x, y) -> (z): B (4,) cannot be broadcast to A (2, 3)",
    ),
    (
        bad.reshape_to_another_size,
        ShapeError,
        "net 'bad': operator Reshape (x) -> (y, old): data (2, 3) has 6 elements…do not fit in [4, 2].",
    ),
    (
        bad.shape_that_changes_between_runs,
        ShapeError,
        "net 'bad': operator FC (r, w, b) -> (y): input X (2, 4) has 4 features",
    ),
    (
        bad.inferred_shapes_that_differ,
        ShapeError,
        "net 'bad': operator MatMul (x, y) -> (z): A (2, 3) gives 3 columns, B (4, 5) gives 4 rows.",
    ),
    (
        bad.integers_for_floats,
        DTypeError,
        FC + "input X must be float32, but blob 'x' is int32 (2, 3). Use Cast to convert it.",
    ),
    (
        bad.floats_for_labels,
        DTypeError,
        "net 'bad': operator LabelCrossEntropy (p, label) -> (xent): input label must be int32, but blob 'label'",
    ),
    (
        bad.text_for_a_tensor,
        DTypeError,
        "net 'bad': operator Relu (x) -> (y): input X must be float32, but blob 'x' is bytes.",
    ),
    (
        bad.feed_of_complex_numbers,
        DTypeError,
        "blob 'x': numpy type complex64 is not a tensor type; known: float32,…astype()",
    ),
    (
        bad.feed_of_objects,
        DTypeError,
        "blob 'x': an array of objects may hold only text and bytes, found dict.",
    ),
    (bad.feed_of_a_list, DTypeError, "blob 'x' is fed with a numpy array or text, got list."),
    (
        bad.missing_argument,
        ArgumentError,
        "net 'bad': operator LearningRate (iter) -> (lr): argument 'base_lr'…required",
    ),
    (
        bad.argument_of_another_kind,
        ArgumentError,
        "net 'bad': operator GaussianFill () -> (x): argument 'std' must be float, got int. Write 1.0",
    ),
    (
        bad.argument_out_of_range,
        ArgumentError,
        "net 'bad': operator Conv (x, w, b) -> (y): strides and dilations must be at least 1",
    ),
    (
        bad.order_that_is_none,
        ArgumentError,
        "net 'bad': operator MaxPool (x) -> (y): argument 'order' must be one of 'NCHW', 'NHWC'; got 'CHWN'.",
    ),
    (bad.argument_that_cannot_be_stored, ValueError, "argument 'what' cannot hold a value of type object."),
    (
        bad.run_of_a_net_that_was_never_created,
        NetError,
        "there is no net 'trian' …Did you mean train?…CreateNet",
    ),
    (bad.name_clash, NameClashError, "net 'bad': a net of this name exists already…overwrite=True"),
    (bad.net_without_a_name, NetError, "the net has no name"),
    (bad.bytes_that_are_no_net, FormatError, NOT_COMPLETE + "NetDef message"),
    (bad.bytes_that_are_no_operator, FormatError, NOT_COMPLETE + "OperatorDef message"),
    (bad.bytes_that_are_no_plan, FormatError, NOT_COMPLETE + "PlanDef message"),
    (bad.predictor_from_bytes_that_are_no_net, FormatError, NOT_COMPLETE + "NetDef message"),
    (bad.predictor_from_a_truncated_net, FormatError, "bytes are not a complete caffe2.NetDef message"),
    (
        bad.predictor_that_lacks_a_weight,
        MissingBlobError,
        "net 'bad': operator Relu (w) -> (y): input blob 'w' does not exist",
    ),
    (
        bad.failing_operator_in_the_second_run,
        ShapeError,
        "net 'bad': operator LengthsSum (x, lengths) -> (y): lengths must be >= 0 and add up to the 4 rows",
    ),
    (bad.gradient_that_is_not_there, GradientError, "net 'bad': operator ArgMax (x) -> (i): has no gradient"),
    (
        bad.gradient_of_what_was_overwritten,
        GradientError,
        "net 'bad': operator Mul (x, y) -> (z): its gradient needs input 'x' at version 0…overwritten",
    ),
    (bad.unknown_helper, AttributeError, "brew has no helper 'convv'. Did you mean conv,"),
    (
        bad.python_operator_that_raises,
        KernelError,
        "net 'bad': operator Python () -> (y): the Python function raised Boo: no luck",
    ),
    (
        bad.python_operator_that_feeds_what_blobs_cannot_hold,
        DTypeError,
        "net 'bad': operator Python () -> (y): the Python function raised …blob 'y': numpy type complex64",
    ),
    (bad.unknown_device, DeviceError, "net 'bad': operator Relu (x) -> (y): device type 4 is not available"),
    (bad.feed_to_an_unknown_device, DeviceError, "device type 6 is not available: freshpot runs on CPU (0)"),
    (bad.load_of_no_file, DataError, LOAD + "…nosuch.minidb: no such minidb database"),
    (
        bad.load_of_a_blob_that_was_not_saved,
        MissingBlobError,
        "net 'bad': operator Load () -> (u, w): not in the database: w.",
    ),
    (
        bad.load_with_an_unknown_db_type,
        DataError,
        LOAD + "…saved.minidb: unknown database type 'minidbb'; there are …Did you mean minidb?",
    ),
    (bad.load_with_the_wrong_db_type, DataError, LOAD + "…looks like minidb, not lmdb: open it with"),
    (
        bad.load_of_a_truncated_minidb,
        FormatError,
        LOAD + "…saved.minidb: offset 0 (record 0): …1196 are left",
    ),
    (bad.load_of_a_minidb_with_impossible_sizes, FormatError, LOAD + "…a record with a key of 2147483647"),
    (
        bad.load_of_a_minidb_with_damaged_records,
        FormatError,
        LOAD + "…saved.minidb: record 'u#%0': 1236 bytes are not a complete caffe2.BlobProto message",
    ),
    (
        bad.load_of_a_truncated_lmdb,
        FormatError,
        LOAD + "…data.mdb: truncated: 6000 bytes, the meta page promises",
    ),
    (bad.load_of_a_damaged_lmdb, FormatError, LOAD + "…data.mdb: not an LMDB data file"),
    (
        bad.images_from_a_database_of_something_else,
        FormatError,
        "net 'm': operator TensorProtosDBInput (reader) -> (data, label): …record 'u#%0': 1236 bytes are not",
    ),
    (bad.predictor_from_a_database_of_something_else, MissingBlobError, "operator Load …not in the database"),
    (bad.tensor_message_without_its_values, FormatError, "shape (4,) has 4 elements, the message holds 1"),
    (bad.blob_of_bytes_that_are_none, FormatError, NOT_COMPLETE + "BlobProto message"),
]

#: what the original raises where it is no RuntimeError
ORIGINAL: dict[Callable[[Path], None], type[Exception]] = {
    bad.method_of_no_operator: AttributeError,
    bad.argument_that_cannot_be_stored: ValueError,
    bad.unknown_helper: AttributeError,
    bad.gradient_that_is_not_there: Exception,
    bad.python_operator_that_raises: bad.Boo,
    bad.tensor_message_without_its_values: ValueError,
}


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(core.Net, "_net_names_used", set())
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace(str(tmp_path))
    yield
    workspace.ResetWorkspace(".")


def assert_said(message: str, words: str) -> None:
    at = 0
    for part in words.split("…"):
        found = message.find(part, at)
        assert found >= 0, f"{part!r} is not in {message!r}"
        at = found + len(part)


@pytest.mark.parametrize(("wrong", "error", "words"), CASES, ids=lambda v: getattr(v, "__name__", ""))
def test_it_is_refused_and_the_workspace_stays_usable(
    wrong: Callable[[Path], None], error: type[Exception], words: str, tmp_path: Path
) -> None:
    workspace.FeedBlob("kept", np.full(2, -3, np.float32))
    workspace.CreateNet(bad.net(bad.op("Relu", "kept", "good"), name="good"))
    with pytest.raises(error) as caught:
        wrong(tmp_path)
    assert isinstance(caught.value, ORIGINAL.get(wrong, RuntimeError))
    assert_said(str(caught.value), words)
    if isinstance(caught.value, FreshpotError) and "net 'bad'" in words:
        assert caught.value.net == "bad"
    workspace.RunNet("good", 2)
    assert workspace.FetchBlob("good").tolist() == [0, 0]
    assert workspace.FetchBlob("kept").tolist() == [-3, -3]


def test_every_bad_program_is_in_the_table() -> None:
    written = {
        function
        for _, function in inspect.getmembers(bad, inspect.isfunction)
        if list(inspect.signature(function).parameters) == ["folder"]
    }
    assert written == {wrong for wrong, _, _ in CASES}


def test_a_net_that_failed_runs_once_its_input_is_right_again(tmp_path: Path) -> None:
    with pytest.raises(ShapeError):
        bad.shape_that_changes_between_runs(tmp_path)
    workspace.FeedBlob("x", bad.floats(7, 3))
    workspace.RunNet("bad", 2)
    assert workspace.FetchBlob("y").shape == (7, 5)


def test_a_net_that_could_not_be_created_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(UnknownOperatorError):
        bad.unknown_operator_in_a_net(tmp_path)
    with pytest.raises(NetError, match="there is no net 'bad'"):
        workspace.RunNet("bad")
    workspace.CreateNet(bad.net(bad.op("Relu", "x", "y")))
    workspace.RunNet("bad")


def test_what_ran_before_the_failing_operator_stays_written(tmp_path: Path) -> None:
    workspace.FeedBlob("x", -bad.floats(2, 3))
    ops: list[Any] = [bad.op("Relu", "x", "y"), bad.op("Reshape", "y", ["z", "_"], shape=[5])]
    with pytest.raises(ShapeError, match="operator Reshape"):
        workspace.RunNetOnce(bad.net(*ops))
    assert workspace.FetchBlob("y").tolist() == [[0, 0, 0]] * 2


def test_no_gpu_instead_of_the_cpu_where_that_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_STRICT_DEVICE", "1")
    workspace.FeedBlob("x", bad.floats(2))
    device = core.DeviceOption(1, 4000)
    with pytest.raises(DeviceError, match=r"operator Relu \(x\) -> \(y\): GPU 4000 was asked for, and"):
        workspace.RunNetOnce(bad.net(bad.op("Relu", "x", "y", device_option=device)))
