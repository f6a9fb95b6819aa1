"""Layers written in Python: when their methods are called and with what, their errors, their parameters."""

from __future__ import annotations

import re
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe
from caffe import _mode
from freshpot.errors import ArgumentError, FreshpotError, NetError, NotSupportedError

F = np.float32

MODULE = '''
import numpy as np
import caffe

class Logged(caffe.Layer):
    """Doubles its bottom, and keeps a list of calls."""

    def setup(self, bottom, top):
        self.calls = [("setup", len(bottom), len(top), self.param_str, self.phase)]

    def reshape(self, bottom, top):
        self.calls.append(("reshape", tuple(bottom[0].shape)))
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.calls.append(("forward", bottom[0].count, bottom[0].num))
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.calls.append(("backward", list(propagate_down)))
        if propagate_down[0]:
            bottom[0].diff[...] = 2 * top[0].diff

class Source(caffe.Layer):
    """Makes batches of growing size, as data layers that reshape themselves do."""

    def setup(self, bottom, top):
        self.size = 0
        top[0].reshape(1, 2)

    def reshape(self, bottom, top):
        self.size += 1
        top[0].reshape(self.size, 2)

    def forward(self, bottom, top):
        top[0].data[...] = self.size

    def backward(self, top, propagate_down, bottom):
        pass

class Affine(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(3)
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 2

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data + self.blobs[1].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum(0)
        self.blobs[1].diff[...] += top[0].diff.sum()
        bottom[0].diff[...] = top[0].diff * self.blobs[0].data

class Loss(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        top[0].data[...] = (bottom[0].data ** 2).sum()

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * bottom[0].data * top[0].diff

class Odd(Exception):
    pass

class Fails(caffe.Layer):
    """Raises in the method that param_str names."""

    def __init__(self, p, **kwargs):
        super().__init__(p, **kwargs)
        self.where = p.python_param.param_str
        self.fail("__init__")

    def fail(self, method):
        if self.where == method:
            raise Odd("on purpose")

    def setup(self, bottom, top):
        self.fail("setup")

    def reshape(self, bottom, top):
        self.fail("reshape")
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.fail("forward")
        if self.where == "late":
            self.blobs.add_blob(1)
        if self.where == "file":
            open("not_there")
        if self.where == "words":
            self.blobs.add_blob(1, name=2)

    def backward(self, top, propagate_down, bottom):
        self.fail("backward")

class NoForward(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1)

class Plain:
    def __init__(self, param):
        pass
'''


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of layers, ``mylayers``, on the path."""
    (tmp_path / "mylayers.py").write_text(MODULE)
    (tmp_path / "needs_more.py").write_text("import not_there_at_all\n")
    (tmp_path / "old.py").write_text("import caffe\nprint 'a layer'\n")
    (tmp_path / "broken.py").write_text("raise RuntimeError('while importing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mylayers", raising=False)


def python(name: str, param_str: str = "", blobs: str = 'bottom: "x" top: "y"', rest: str = "") -> str:
    return (
        f'layer {{ name: "p" type: "Python" {blobs} {rest} '
        f'python_param {{ module: "mylayers" layer: "{name}" param_str: "{param_str}" }} }}'
    )


INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'


def net(text: str, phase: int = caffe.TRAIN) -> Any:
    return caffe.Net._from_text("force_backward: true\n" + text, phase)


def test_methods_are_called_as_the_original_calls_them() -> None:
    made = net(INPUT + python("Logged", "some words"), caffe.TEST)
    own = made.layers[1]
    assert type(own).__name__ == "Logged"
    assert isinstance(own, caffe.Layer)
    assert made.layer_dict["p"] is own
    assert own.type == "Python"
    assert own.param_str_ == "some words"
    assert own.calls == [("setup", 1, 1, "some words", caffe.TEST), ("reshape", (2, 3))]
    made.blobs["x"].data[...] = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(made.forward()["y"], 2 * np.arange(6).reshape(2, 3))
    made.blobs["y"].diff[...] = 5
    made.backward()
    assert (made.blobs["x"].diff == 10).all()
    assert own.calls[2:] == [("reshape", (2, 3)), ("forward", 6, 2), ("backward", [True])]


@pytest.mark.parametrize(("phase", "name"), [(caffe.TRAIN, "TRAIN"), (caffe.TEST, "TEST")])
def test_layers_of_faster_rcnn_read_the_phase_by_its_name(
    phase: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in its branch, where the phase is an enumeration; elsewhere it is a number."""
    (tmp_path / "rpn").mkdir()
    (tmp_path / "rpn" / "__init__.py").write_text("from mylayers import Logged")
    monkeypatch.delitem(sys.modules, "rpn", raising=False)
    made = net(INPUT + python("Logged").replace('"mylayers"', '"rpn"'), phase)
    monkeypatch.delitem(sys.modules, "rpn")
    assert (str(made.layers[1].phase), made.layers[1].phase) == (name, phase)
    assert str(net(INPUT + python("Logged"), phase).layers[1].phase) == str(int(phase))


def test_a_new_shape_goes_through_reshape_once() -> None:
    made = net(INPUT + python("Logged") + 'layer { name: "r" type: "ReLU" bottom: "y" top: "z" }')
    made.blobs["x"].reshape(4, 1, 2)
    made.reshape()
    assert list(made.blobs["z"].shape) == [4, 1, 2]
    made.forward()
    assert made.layers[1].calls[2:] == [("reshape", (4, 1, 2)), ("reshape", (4, 1, 2)), ("forward", 8, 4)]


def test_tops_may_change_their_shape_at_each_pass() -> None:
    text = python("Source", blobs='top: "y"') + 'layer { name: "r" type: "Power" bottom: "y" top: "z" }'
    made = net(text)
    for size in (2, 3, 4):
        assert made.forward()["z"].tolist() == [[size, size]] * size


def test_parameters_learn_and_are_shown() -> None:
    made = net(INPUT + python("Affine", rest="param { lr_mult: 1 } param { lr_mult: 0 }"))
    assert [list(blob.shape) for blob in made.params["p"]] == [[3], [1]]
    assert made.layers[1].blobs[0].data.tolist() == [2, 2, 2]
    made.blobs["x"].data[...] = np.arange(6).reshape(2, 3)
    made.params["p"][1].data[...] = 1
    np.testing.assert_array_equal(made.forward()["y"], 2 * np.arange(6).reshape(2, 3) + 1)
    made.clear_param_diffs()
    made.blobs["y"].diff[...] = 1
    made.backward()
    made.backward()
    assert made.params["p"][0].diff.tolist() == [6, 10, 14]


def test_parameters_travel_with_the_weights(tmp_path: Path) -> None:
    first, second = (net(INPUT + python("Affine")) for _ in range(2))
    first.params["p"][0].data[...] = 7
    first.save(tmp_path / "w.caffemodel")
    second.copy_from(tmp_path / "w.caffemodel")
    assert second.layers[1].blobs[0].data.tolist() == [7, 7, 7]


def test_a_loss_in_python_trains() -> None:
    made = net(INPUT + python("Loss", blobs='bottom: "x" top: "loss"', rest="loss_weight: 0.5"))
    made.blobs["x"].data[...] = 3
    assert made._forward(0, 1) == 27
    made.backward()
    assert (made.blobs["x"].diff == 3).all()


def test_share_in_parallel_is_taken() -> None:
    text = python("Logged").replace("python_param {", "python_param { share_in_parallel: true ")
    assert net(INPUT + text).forward()["y"].shape == (2, 3)


def run(text: str) -> None:
    made = net(INPUT + text)
    made.forward()
    made.backward()


@pytest.mark.parametrize("method", ["__init__", "setup", "reshape", "forward", "backward"])
def test_the_users_exceptions_come_out_as_they_are(method: str) -> None:
    with pytest.raises(Exception, match="on purpose") as caught:
        run(python("Fails", method))
    assert type(caught.value).__name__ == "Odd"
    assert str(caught.value) == "on purpose"
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert (Path(frames[-1].filename).name, frames[-1].name) == ("mylayers.py", "fail")
    if sys.version_info >= (3, 11):
        where = "Fails" if method == "__init__" else method
        assert caught.value.__notes__ == [f"in {where} of layer 'p' (Python), mylayers.Fails"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            python("Logge"),
            ArgumentError,
            "layer 'p' (Python): module 'mylayers' has no class 'Logge'. Did you mean Logged?",
        ),
        (
            python("Logged").replace("mylayers", "nowhere"),
            ArgumentError,
            "module 'nowhere' cannot be imported",
        ),
        (
            python("Logged").replace("mylayers", "needs_more"),
            ArgumentError,
            "No module named 'not_there_at_all'",
        ),
        (
            python("Logged").replace("mylayers", "old"),
            ArgumentError,
            "old.py, line 2: Missing parentheses in call to 'print'",
        ),
        (python("Logged").replace("mylayers", "old"), ArgumentError, "If it is Python 2: `freshpot run"),
        (python("Logged").replace("mylayers", ""), ArgumentError, "python_param names no module"),
        (python("Logged").replace("mylayers", "broken"), RuntimeError, "while importing"),
        (python("Plain"), ArgumentError, "mylayers.Plain makes a Plain, not a caffe.Layer"),
        (python("np"), ArgumentError, "mylayers.np is no class"),
        (python("NoForward"), AttributeError, "'NoForward' object has no attribute 'forward'"),
        (python("Fails", "late"), RuntimeError, "blobs can be added only to a Python layer's own list"),
        (python("Fails", "words"), RuntimeError, "BlobVec.add_blob takes no kwargs"),
        (python("Fails", "file"), FileNotFoundError, "[Errno 2] No such file or directory: 'not_there'"),
    ],
)
def test_refusals(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        run(text)


def test_several_solvers_of_one_process_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mode, "solver_count", 2)
    with pytest.raises(NotSupportedError, match=r"layer 'p' \(Python\) cannot run in several solvers of one"):
        net(INPUT + python("Logged"))
    net(INPUT + python("Logged"), caffe.TEST)
    monkeypatch.setattr(_mode, "multiprocess", True)
    net(INPUT + python("Logged"))


def test_an_unfit_shape_in_a_layer_names_the_layer(tmp_path: Path) -> None:
    (tmp_path / "shaped.py").write_text(
        textwrap.dedent("""
            import caffe
            class Bad(caffe.Layer):
                def setup(self, bottom, top): pass
                def reshape(self, bottom, top): top[0].reshape(-1)
                def forward(self, bottom, top): pass
        """)
    )
    with pytest.raises(FreshpotError, match=r"layer 'p' \(Python\): blob 'y' cannot have shape") as caught:
        run(python("Bad").replace("mylayers", "shaped"))
    assert isinstance(caught.value, NetError)
