"""pycaffe: every recorded program of the original, the module's functions, and the words of refusals."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe import _log, _mode
from caffe._net.layer import original_types
from conftest import SHARED, needs_shared
from freshpot.engine import device
from freshpot.errors import ArgumentError, DeviceError, MissingBlobError, NetError
from freshpot.testing import caffe_scripts

FOLDER = SHARED / "reference" / "caffe" if SHARED else Path()
CASES = [case for group in caffe_scripts.groups(FOLDER) for case in caffe_scripts.load(FOLDER, group)]

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
"""


@needs_shared
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.group}-{case.id}")
def test_recorded_programs(case: caffe_scripts.ScriptCase) -> None:
    assert caffe_scripts.run_case(case) is None


@needs_shared
def test_all_programs_are_there() -> None:
    found = [case.group for case in CASES]
    assert [found.count(group) for group in caffe_scripts.GROUPS] == [49, 89, 27]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"code": "result['a'] = 1.5", "result": {"a": 1.0}, "arrays": []}, "a: 1.5 instead of 1.0"),
        ({"code": "result['a'] = 1", "result": {}, "arrays": []}, "results ['a'] instead of []"),
        ({"code": "1 / 0", "aborts": True}, "an untyped ZeroDivisionError: division by zero"),
        ({"code": "", "aborts": True}, "must be refused, and ran"),
        (
            {"code": "result['text'] = 'name: \"a\"'", "result": {"text": 'name: "b"'}, "arrays": []},
            "text: 'name: \"a\"' instead of 'name: \"b\"'",
        ),
        (
            {
                "code": "result['stat'] = [0, 1, 2, 1, 1]",
                "result": {"stat": [0, 1, 0.5, 1, 1]},
                "random": True,
            },
            "mean value 2 instead of about 0.5",
        ),
    ],
)
def test_a_wrong_result_is_noticed(spec: dict, why: str) -> None:
    case = caffe_scripts.ScriptCase("pycaffe", {"id": "wrong", **spec}, "result = {}", {})
    assert caffe_scripts.run_case(case) == why


@pytest.fixture
def net_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def test_a_fresh_import_has_the_original_names_only() -> None:
    code = (
        "import caffe; print(*(n for n in dir(caffe) if n in ('annotations', 'draw', 'Solver', 'coord_map')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "\n"


def test_weights_that_are_not_there(net_file: Path) -> None:
    with pytest.raises(NetError, match=r"^Could not open file none\.caffemodel: there is no such file in "):
        caffe.Net(str(net_file), caffe.TEST).copy_from("none.caffemodel")


def test_a_blob_without_a_shape(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "in" type: "Input" top: "x" }')
    blob = caffe.Net(str(path), caffe.TEST).blobs["x"]
    with pytest.raises(
        MissingBlobError, match="blob 'x' has no shape yet; give its layer one, or call reshape"
    ):
        _ = blob.data
    blob.reshape(2, 3)
    assert blob.data.shape == (2, 3)


def test_share_with_shares_the_data_only(net_file: Path) -> None:
    one, two = (caffe.Net(str(net_file), caffe.TEST) for _ in range(2))
    two.forward()
    two.share_with(one)
    one.params["ip"][0].data[...] = 2
    one.params["ip"][0].diff[...] = 3
    two.blobs["data"].data[...] = 1
    assert np.array_equal(two.forward()["ip"], np.full((2, 2), 6, np.float32))
    assert not two.params["ip"][0].diff.any()


def test_solver_count_and_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("solver_count", "solver_rank", "multiprocess"):
        monkeypatch.setattr(_mode, name, getattr(_mode, name))
    caffe.set_solver_count(4)
    caffe.set_solver_rank(3)
    caffe.set_multiprocess(True)
    assert (caffe.solver_count(), caffe.solver_rank(), _mode.multiprocess) == (4, 3, True)


not_far = pytest.mark.skipif(
    os.environ.get("FRESHPOT_TEST_DEVICE") == "far", reason="the test device has every GPU that is asked for"
)


@not_far
def test_mode_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="GPUs are numbered from 0, got -1"):
        caffe.set_device(-1)
    monkeypatch.setenv("FRESHPOT_STRICT_DEVICE", "1")
    with pytest.raises(DeviceError, match="GPU 99 was asked for"):
        caffe.set_device(99)
    caffe.set_mode_cpu()
    assert (_mode.mode, _mode.place) == (_mode.CPU, torch.device("cpu"))


@not_far
def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU stands in, which is said once, unless that is forbidden."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("FRESHPOT_STRICT_DEVICE", raising=False)
    device._say.cache_clear()
    with pytest.warns(
        UserWarning, match="GPU 0 was asked for, and this machine has none: running on the CPU"
    ) as caught:
        caffe.set_mode_gpu()
    assert [warning.filename for warning in caught] == [__file__]  # the program's line, not one of ours
    assert (_mode.mode, _mode.place) == (_mode.GPU, torch.device("cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caffe.set_mode_gpu()
    monkeypatch.setenv("FRESHPOT_STRICT_DEVICE", "1")
    with pytest.raises(DeviceError, match="FRESHPOT_STRICT_DEVICE=1 forbids the CPU instead"):
        caffe.set_mode_gpu()


def test_log_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_log, "level", _log.WARNING)
    caffe.log("unseen")
    caffe.init_log()
    caffe.log("Using devices [0]")
    assert capsys.readouterr().err.endswith(" _caffe.cpp:68] Using devices [0]\n")


def test_every_layer_of_the_original_is_there() -> None:
    assert len(original_types()) == 61
    assert original_types() <= set(caffe.layer_type_list())


@pytest.mark.parametrize("where", [{"start": "i"}, {"end": "i"}])
@pytest.mark.parametrize("way", ["forward", "backward"])
def test_a_pass_from_or_to_a_layer_that_is_not_there(way: str, where: dict[str, str]) -> None:
    net = caffe.Net._from_text(NET.replace('"ip"', '"ip1"'), caffe.TEST)
    with pytest.raises(ValueError, match=r"there is no layer 'i'"):
        getattr(net, way)(**where)
    with pytest.raises(ValueError, match=r"there is no layer 'ip'\. Did you mean ip1\?"):
        getattr(net, way)(**dict.fromkeys(where, "ip"))
