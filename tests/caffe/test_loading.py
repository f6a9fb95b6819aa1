"""Weights that models overwrite are not drawn, and nobody can tell: fillers' numbers in the program's order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import caffe
from caffe import _files, _random
from freshpot.errors import FormatError

SEED = 7
FILLERS = {
    "a": ('type: "gaussian" std: 0.5', (4, 6)),
    "b": ('type: "xavier"', (40, 4)),
    "c": ('type: "uniform" min: 1 max: 2', (3, 40)),
    "d": ('type: "gaussian" std: 1 sparse: 2', (5, 3)),
    "e": ('type: "positive_unitball"', (20, 5)),
    "f": ('type: "msra"', (7, 20)),
}


def _text(names: str = "abcdef") -> str:
    layers = ['layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }']
    bottom = "x"
    for name in "abcdef":
        filler = f"weight_filler {{ {FILLERS[name][0]} }} bias_filler {{ {FILLERS[name][0]} }}"
        layers.append(
            f'layer {{ name: "{name if name in names else name.upper()}" type: "InnerProduct" bottom: "{bottom}" '
            f'top: "{name}" inner_product_param {{ num_output: {FILLERS[name][1][0]} {filler} }} }}'
        )
        bottom = name
    return "\n".join(layers)


def _drawn(times: int = 1, after: int = 0) -> list[list[np.ndarray]]:
    """What the fillers give when each is drawn as its layer is made, for so many nets, then ``after`` numbers."""
    generator = torch.Generator().manual_seed(SEED)

    def draw(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        made = torch.empty(shape)
        fan = made.numel() / shape[0]
        if name == "a":
            made.normal_(0, 0.5, generator=generator)
        elif name == "b":
            made.uniform_(-((3 / fan) ** 0.5), (3 / fan) ** 0.5, generator=generator)
        elif name == "c":
            made.uniform_(1, 2, generator=generator)
        elif name == "d":
            made.normal_(0, 1, generator=generator)
            made *= torch.empty(shape).bernoulli_(min(1, 2 / shape[0]), generator=generator)
        elif name == "e":
            made.uniform_(0, 1, generator=generator)
            made = (made.view(shape[0], -1) / made.view(shape[0], -1).sum(1, keepdim=True)).view(shape)
        else:
            made.normal_(0, (2 / fan) ** 0.5, generator=generator)
        return made

    nets = [
        [draw(n, shape).numpy() for n, (_, full) in FILLERS.items() for shape in (full, full[:1])]
        for _ in range(times)
    ]
    return [*nets, [torch.rand(after, generator=generator).numpy()]] if after else nets


def _params(net: caffe.Net, order: int = 1) -> list[np.ndarray]:
    found = [blob for blobs in net.params.values() for blob in blobs]
    return [blob.data.copy() for blob in found[::order]][::order]


def _same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    caffe.set_random_seed(SEED)
    yield
    caffe.set_random_seed(SEED)


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Makes a net's file, and a model that holds 3 for the layers that are named."""

    def make(names: str = "abcdef") -> tuple[str, str]:
        (tmp_path / "net.prototxt").write_text(_text())
        other = caffe.Net._from_text(_text(names), caffe.TEST)
        for blobs in other.params.values():
            for blob in blobs:
                blob.data[...] = 3
        other.save(str(tmp_path / "net.caffemodel"))
        caffe.set_random_seed(SEED)
        return str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")

    return make


@pytest.mark.parametrize("order", [1, -1])
def test_parameters_are_what_the_fillers_draw_whatever_is_looked_at_first(order: int) -> None:
    first = caffe.Net._from_text(_text(), caffe.TEST)
    second = caffe.Net._from_text(_text(), caffe.TEST)
    wanted = _drawn(2)
    _same(_params(second, order), wanted[1])
    _same(_params(first, order), wanted[0])


@pytest.mark.parametrize("names", ["abcdef", "b", "acf", "def", "abc"])
def test_layers_that_are_not_in_the_model_have_their_numbers(names: str, model: Any) -> None:
    net = caffe.Net(*model(names), caffe.TEST)
    wanted = [
        np.full_like(value, 3) if name in names else value
        for name, value in zip(np.repeat(list(FILLERS), 2), _drawn()[0], strict=True)
    ]
    _same(_params(net, -1), wanted)


def test_what_is_drawn_after_a_model_was_loaded_is_the_same(model: Any) -> None:
    caffe.Net(*model(), caffe.TEST)
    later = caffe.Net._from_text(_text(), caffe.TEST)
    drawn = torch.rand(5, generator=_random.generator()).numpy()
    wanted = _drawn(2, after=5)
    _same([*_params(later), drawn], [*wanted[1], *wanted[2]])


def test_a_new_seed_leaves_earlier_nets_their_numbers(model: Any) -> None:
    first = caffe.Net._from_text(_text(), caffe.TEST)
    caffe.Net(*model(), caffe.TEST)  # seeds anew, too
    caffe.set_random_seed(SEED + 1)
    second = caffe.Net._from_text(_text(), caffe.TEST)
    caffe.set_random_seed(SEED)
    third = caffe.Net._from_text(_text(), caffe.TEST)
    _same(_params(third), _drawn()[0])
    _same(_params(first), _drawn()[0])
    assert not np.array_equal(second.params["a"][0].data, first.params["a"][0].data)


def test_parameters_that_were_seen_are_overwritten_where_they_are(model: Any) -> None:
    text, weights = model("ab")
    net = caffe.Net(text, caffe.TEST)
    view = net.params["a"][0].data
    _same([view], _drawn()[0][:1])
    net.copy_from(weights)
    assert np.all(view == 3)
    assert net.params["a"][0].data.base is view.base
    _same(_params(net)[4:], _drawn()[0][4:])


def test_what_a_program_writes_to_a_parameter_counts() -> None:
    net = caffe.Net._from_text(_text(), caffe.TEST)
    net.params["b"][0].data[0] = 9
    wanted = _drawn()[0]
    wanted[2][0] = 9
    _same(_params(net), wanted)


def test_a_net_without_weights_runs_with_what_is_drawn() -> None:
    net = caffe.Net._from_text(_text(), caffe.TEST)
    seen = caffe.Net._from_text(_text(), caffe.TEST)
    seen.share_with(net)
    x = np.ones((2, 6), np.float32)
    wanted = x
    values = _drawn()[0]
    for weight, bias in zip(values[::2], values[1::2], strict=True):
        wanted = wanted @ weight.T + bias
    for one in (net, seen):
        np.testing.assert_allclose(one.forward(x=x)["f"], wanted, rtol=1e-4)


def test_a_refused_model_leaves_the_numbers(model: Any, tmp_path: Path) -> None:
    text, weights = model("a")
    message = caffe.proto.caffe_pb2.NetParameter()
    message.ParseFromString(Path(weights).read_bytes())
    blob = next(layer for layer in message.layer if layer.name == "a").blobs[0]
    blob.data.extend([1.0] * 3000)  # large enough to be left in the file
    Path(weights).write_bytes(message.SerializeToString())
    net = caffe.Net(text, caffe.TEST)
    with pytest.raises(FormatError, match=r"shape \(4, 6\) has 3024 values, expected 24"):
        net.copy_from(weights)
    _same(_params(net), _drawn()[0])


def test_many_nets_leave_nothing_behind(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_random, "_MOST", 20)
    files = model()
    for _ in range(5):
        caffe.Net(*files, caffe.TEST)
    assert len(_random._waiting) <= 20
    later = caffe.Net._from_text(_text(), caffe.TEST)
    _same(_params(later), _drawn(6)[5])


def test_a_copy_reports_what_it_did(model: Any) -> None:
    net = caffe.Net(model("ac")[0], caffe.TEST)
    report = _files.copy_weights(net._net, str(Path(net._net._origin or "").with_name("net.caffemodel")))
    assert report.copied == ["a[0]", "a[1]", "c[0]", "c[1]"]
    assert report.untouched == [f"{n}[{k}]" for n in "bdef" for k in (0, 1)]


_LIGHT = """
import sys
import numpy as np
import caffe
net = caffe.Net(sys.argv[1], caffe.TEST)
net.forward(data=np.zeros((1, 4, 6, 6), np.float32))
heavy = [name for name in ("torch._dynamo", "sympy", "h5py", "torch.distributed.tensor") if name in sys.modules]
assert not heavy, heavy
"""

_LAYERS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 6 dim: 6 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "bn" }
layer { name: "s" type: "Scale" bottom: "bn" top: "s" scale_param { bias_term: true } }
layer { name: "r" type: "ReLU" bottom: "s" top: "r" relu_param { negative_slope: 0.1 } }
layer { name: "p" type: "PReLU" bottom: "r" top: "p" }
layer { name: "e" type: "Eltwise" bottom: "p" bottom: "c" top: "e" }
layer { name: "m" type: "Eltwise" bottom: "e" bottom: "c" top: "m" eltwise_param { operation: MAX } }
layer { name: "l" type: "LRN" bottom: "m" top: "l" }
layer { name: "k" type: "Concat" bottom: "l" bottom: "c" top: "k" }
layer { name: "po" type: "Pooling" bottom: "k" top: "po" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "si" type: "Sigmoid" bottom: "po" top: "si" }
layer { name: "ta" type: "TanH" bottom: "si" top: "ta" }
layer { name: "pw" type: "Power" bottom: "ta" top: "pw" power_param { scale: 2 } }
layer { name: "el" type: "ELU" bottom: "pw" top: "el" }
layer { name: "bi" type: "Bias" bottom: "el" top: "bi" }
layer { name: "de" type: "Deconvolution" bottom: "bi" top: "de" convolution_param { num_output: 4 kernel_size: 2 } }
layer { name: "cr" type: "Crop" bottom: "de" bottom: "po" top: "cr" crop_param { axis: 2 } }
layer { name: "dr" type: "Dropout" bottom: "cr" top: "dr" }
layer { name: "fc" type: "InnerProduct" bottom: "dr" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def test_loading_and_running_a_net_loads_no_compiler(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(_LAYERS)
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT, str(tmp_path / "net.prototxt")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
