"""Layers: every recorded case of every type, what cannot be recorded, and the words of refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe._net.layer import layer_types
from conftest import SHARED, needs_shared
from freshpot.errors import (
    ArgumentError,
    ArityError,
    FreshpotError,
    GradientError,
    NotSupportedError,
    ShapeError,
)
from freshpot.testing import caffe_layers

FOLDER = SHARED / "reference" / "caffe" if SHARED else Path()
RECORDED = caffe_layers.layer_types(FOLDER) if SHARED else []
DECLARED = [name for name in RECORDED if name in layer_types()]

Make = Callable[..., caffe.Net]


@needs_shared
@pytest.mark.parametrize("name", DECLARED)
def test_recorded_cases(name: str) -> None:
    cases = caffe_layers.load(FOLDER, name)
    wrong = [f"{case.id}: {why}" for case in cases if (why := caffe_layers.run_case(case)) is not None]
    assert cases
    assert not wrong, "\n".join(wrong)


@needs_shared
def test_every_recorded_type_is_declared() -> None:
    assert not set(RECORDED) - set(layer_types())


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A net of Input layers (one for each shape, lines 1 …) and the given layers after them."""

    def made(
        layers: str, *, phase: int = caffe.TRAIN, force: bool = True, **shapes: tuple[int, ...]
    ) -> caffe.Net:
        lines = [
            f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
            + " ".join(f"dim: {n}" for n in shape)
            + " } } }"
            for name, shape in shapes.items()
        ]
        file = tmp_path / "net.prototxt"
        file.write_text("\n".join([*lines, layers, "force_backward: true" * force]))
        return caffe.Net(str(file), phase)

    return made


def layer(kind: str, rest: str = "", bottom: str = "x", top: str = "y") -> str:
    """A layer 'l' in one line; bottoms and tops are words of a string."""
    wires = [f'bottom: "{b}"' for b in bottom.split()] + [f'top: "{t}"' for t in top.split()]
    return f'layer {{ name: "l" type: "{kind}" {" ".join(wires)} {rest} }}'


def fill(net: caffe.Net, seed: int = 0) -> None:
    """Random inputs, parameters and seeds of the backward pass."""
    generator = np.random.default_rng(seed)
    for blob in [net.blobs[name] for name in net.inputs] + [b for bs in net.params.values() for b in bs]:
        blob.data[...] = generator.normal(size=blob.data.shape)


# ---- what cannot be recorded -----------------------------------------------------------------------
@pytest.mark.parametrize("top", ["y", "x"])
def test_dropout_drops_and_scales_forward_and_backward(make: Make, top: str) -> None:
    net = make(layer("Dropout", "dropout_param { dropout_ratio: 0.75 }", top=top), x=(40, 50))
    x = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    net.blobs["x"].data[...] = x
    net.forward()
    y = net.blobs[top].data.copy()
    kept = y != 0
    np.testing.assert_allclose(y[kept], 4 * x[kept], rtol=1e-6)
    assert 0.2 < kept.mean() < 0.3
    net.blobs[top].diff[...] = 1
    net.backward()
    assert np.array_equal(net.blobs["x"].diff, 4.0 * kept)
    net.blobs["x"].data[...] = x
    net.forward()
    assert not np.array_equal(net.blobs[top].data != 0, kept)


def test_dropout_repeats_after_a_seed(make: Make) -> None:
    net = make(layer("Dropout"), x=(8, 9))
    net.blobs["x"].data[...] = 1
    seen = []
    for _ in range(2):
        caffe.set_random_seed(7)
        net.forward()
        seen.append(net.blobs["y"].data.copy())
    assert np.array_equal(*seen)


def test_stochastic_pooling(make: Make) -> None:
    text = layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }")
    x = np.random.default_rng(2).random((2, 3, 4, 6), np.float32) + 0.1
    windows = x.reshape(2, 3, 2, 2, 3, 2).swapaxes(3, 4).reshape(2, 3, 2, 3, 4)
    net = make(text, x=x.shape)
    net.blobs["x"].data[...] = x
    net.forward()
    drawn = net.blobs["y"].data
    assert (windows == drawn[..., None]).any(-1).all()
    net.blobs["y"].diff[...] = 1
    net.backward()
    assert np.array_equal(np.sort(x[net.blobs["x"].diff == 1]), np.sort(drawn.ravel()))
    net = make(text, x=x.shape, phase=caffe.TEST)
    net.blobs["x"].data[...] = x
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].data, (windows**2).sum(-1) / windows.sum(-1), rtol=1e-5)


IN_PLACE = {
    "LRN": "lrn_param { local_size: 3 alpha: 0.5 }",
    "LRN ": "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }",
    "BatchNorm": "",
    "Scale": "scale_param { bias_term: true }",
    "Scale ": "scale_param { axis: 0 num_axes: -1 }",
    "Bias": "",
    "PReLU": "",
    "MVN": "",
}


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_is_the_same(make: Make, name: str, watched: bool) -> None:
    """Also where the user holds a view of the blob, which must not be what the backward pass reads."""
    before = 'layer { name: "p" type: "Power" bottom: "x" top: "z" power_param { scale: 2 } }'
    found = []
    for top in ("y", "z"):
        net = make(f"{before}\n{layer(name.strip(), IN_PLACE[name], 'z', top)}", x=(2, 3, 4, 5))
        fill(net)
        view = net.blobs["z"].data if watched else None
        for _ in range(2):
            net.forward()
            net.blobs[top].diff[...] = np.random.default_rng(3).normal(size=(2, 3, 4, 5))
            net.clear_param_diffs()
            net.backward()
        params = [b for bs in net.params.values() for b in bs]
        blobs = [
            net.blobs[top].data,
            net.blobs["x"].diff,
            *(b.data for b in params),
            *(b.diff for b in params),
        ]
        assert view is None or np.array_equal(view, net.blobs["z"].data)
        found.append([a.copy() for a in blobs])
    for apart, in_place in zip(*found, strict=True):
        np.testing.assert_allclose(in_place, apart, rtol=1e-5, atol=1e-6)


RESHAPED = {
    "Convolution": "convolution_param { num_output: 2 kernel_size: 3 }",
    "Deconvolution": "convolution_param { num_output: 2 kernel_size: 3 stride: 2 }",
    "Pooling": "pooling_param { kernel_size: 2 stride: 2 }",
    "LRN": "",
    "SPP": "spp_param { pyramid_height: 2 }",
    "Scale": "",
    "BatchNorm": "",
    "MVN": "",
    "PReLU": "",
    "Dropout": "",
}


@pytest.mark.parametrize("name", RESHAPED)
def test_reshaped_is_made_anew(make: Make, name: str) -> None:
    """A net reshaped to a size gives what a net made for that size gives."""
    found = []
    for first, second in (((2, 3, 8, 9), (1, 3, 6, 7)), ((1, 3, 6, 7), (1, 3, 6, 7))):
        net = make(layer(name, RESHAPED[name]), x=first, phase=caffe.TEST)
        net.forward()
        net.blobs["x"].reshape(*second)
        net.reshape()
        fill(net)
        net.forward()
        net.blobs["y"].diff[...] = 1
        net.backward()
        found.append((net.blobs["y"].data.copy(), net.blobs["x"].diff.copy()))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


RECURRENT = "recurrent_param { num_output: 3 %s weight_filler { type: 'uniform' min: -0.5 max: 0.5 } }"
SEQUENCE = {"x": (4, 2, 5), "cont": (4, 2)}


@pytest.mark.parametrize("name", ["LSTM", "RNN"])
def test_a_sequence_in_two_halves(make: Make, name: str) -> None:
    """State goes on from run to run, unless a marker of 0 says otherwise."""
    whole = make(layer(name, RECURRENT % "", "x cont"), **SEQUENCE)
    halves = make(layer(name, RECURRENT % "", "x cont"), x=(2, 2, 5), cont=(2, 2))
    fill(whole)
    for mine, theirs in zip(halves.params["l"], whole.params["l"], strict=True):
        mine.data[...] = theirs.data
    cont = np.array([[0, 0], [1, 1], [1, 0], [1, 1]])
    whole.blobs["cont"].data[...] = cont
    whole.forward()
    for start in (0, 2):
        halves.blobs["x"].data[...] = whole.blobs["x"].data[start : start + 2]
        halves.blobs["cont"].data[...] = cont[start : start + 2]
        halves.forward()
        wanted = whole.blobs["y"].data[start : start + 2]
        np.testing.assert_allclose(halves.blobs["y"].data, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "states"), [("LSTM", 2), ("RNN", 1)])
def test_exposed_states(make: Make, name: str, states: int) -> None:
    """The states that come out, put in again, go on as the layer's own would."""
    starts = " ".join(f"s{i}" for i in range(states))
    ends = " ".join(f"e{i}" for i in range(states))
    shapes = {f"s{i}": (1, 2, 3) for i in range(states)}
    text = layer(name, RECURRENT % "expose_hidden: true", f"x cont {starts}", f"y {ends}")
    net = make(text, force=False, x=(4, 2, 5), cont=(4, 2), **shapes)
    own = make(layer(name, RECURRENT % "", "x cont"), force=False, **SEQUENCE)
    fill(net)
    for mine, theirs in zip(own.params["l"], net.params["l"], strict=True):
        mine.data[...] = theirs.data
    own.blobs["x"].data[...] = net.blobs["x"].data
    for blob in (net.blobs["cont"], own.blobs["cont"]):
        blob.data[...] = 1
    for i in range(states):
        net.blobs[f"s{i}"].data[...] = 0
    for _ in range(2):
        net.forward()
        own.forward()
        np.testing.assert_allclose(net.blobs["y"].data, own.blobs["y"].data, rtol=1e-5, atol=1e-6)
        for i in range(states):
            net.blobs[f"s{i}"].data[...] = net.blobs[f"e{i}"].data


def test_recurrent_streams_may_change_in_number(make: Make) -> None:
    net = make(layer("LSTM", RECURRENT % "", "x cont"), **SEQUENCE)
    net.forward()
    net.blobs["x"].reshape(4, 7, 5)
    net.blobs["cont"].reshape(4, 7)
    net.forward()
    assert net.blobs["y"].data.shape == (4, 7, 3)


def test_parameter_is_its_top(make: Make) -> None:
    text = layer("Parameter", "parameter_param { shape { dim: 2 dim: 3 } }", bottom="")
    net = make(text + '\nlayer { name: "p" type: "Power" bottom: "y" top: "z" power_param { scale: 2 } }')
    net.params["l"][0].data[...] = 5
    net.forward()
    assert (net.blobs["z"].data == 10).all()
    net.blobs["z"].diff[...] = 1
    net.backward()
    assert (net.params["l"][0].diff == 2).all()


def test_parameters_of_one_name_are_one(make: Make) -> None:
    share = 'param { name: "shared" } parameter_param { shape { dim: 3 } }'
    both = [layer("Parameter", share, "", top).replace('"l"', f'"{top}"') for top in ("a", "b")]
    net = make("\n".join(both))
    net.params["a"][0].data[...] = 4
    net.forward()
    assert (net.blobs["b"].data == 4).all()


@pytest.mark.parametrize("group", [1, 2])
def test_convolution_without_space_is_a_product(make: Make, group: int) -> None:
    text = f"convolution_param {{ num_output: 4 axis: 2 group: {group} }}"
    net = make(layer("Convolution", text), x=(2, 3, 6))
    fill(net)
    net.forward()
    W, b = (p.data for p in net.params["l"])
    assert W.shape == (4, 6 // group)
    parts = np.split(net.blobs["x"].data, group, axis=-1)
    wanted = [part @ w.T for part, w in zip(parts, np.split(W, group), strict=True)]
    np.testing.assert_allclose(net.blobs["y"].data, np.concatenate(wanted, -1) + b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["Convolution", "Pooling", "LRN"])
def test_engines_are_hints(make: Make, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user forbids stand-ins, CUDNN means whatever is there."""
    monkeypatch.delenv("FRESHPOT_STRICT_DEVICE", raising=False)
    block = {"Convolution": "convolution", "Pooling": "pooling", "LRN": "lrn"}[name]
    size = {"Convolution": "num_output: 1 kernel_size: 1", "Pooling": "kernel_size: 1", "LRN": ""}[name]
    net = make(layer(name, f"{block}_param {{ engine: CUDNN {size} }}"), x=(1, 2, 3, 3))
    net.forward()
    assert net.blobs["y"].data.shape[2:] == (3, 3)


def test_a_window_over_all_channels_and_more(make: Make) -> None:
    """However wide the window, only channels count; the sum is divided by its width all the same."""
    net = make(layer("LRN", "lrn_param { local_size: 999999999 alpha: 999999999 beta: 1 }"), x=(2, 3, 4, 5))
    fill(net)
    net.forward()
    x = net.blobs["x"].data
    np.testing.assert_allclose(net.blobs["y"].data, x / (1 + (x**2).sum(1, keepdims=True)), rtol=1e-4)


def test_batch_norm_never_learns(make: Make) -> None:
    net = make(layer("BatchNorm"), force=False, x=(2, 3))
    assert [entry.lr_mult for entry in net._net.learnable] == [0, 0, 0]


# ---- words of refusals -----------------------------------------------------------------------------
IMAGE = (2, 4, 5, 6)
CONV, POOL = "convolution_param { %s }", "pooling_param { %s }"
REFUSED: list[tuple[str, tuple[int, ...], type[FreshpotError], str]] = [
    (
        layer("Convolution", CONV % "num_output: 2"),
        IMAGE,
        ArgumentError,
        "kernel_size must be given once, or for",
    ),
    (
        layer("Convolution", CONV % "num_output: 2 kernel_size: 3 kernel_h: 3"),
        IMAGE,
        ArgumentError,
        "kernel_h and kernel_w go with 2 spatial axes .* without kernel_size",
    ),
    (
        layer("Convolution", CONV % "num_output: 2 kernel_size: 3 stride: 0"),
        IMAGE,
        ArgumentError,
        r"stride must be at least 1 in every dimension, got \[0, 0\]",
    ),
    (layer("Convolution", CONV % "kernel_size: 3"), IMAGE, ArgumentError, "num_output must be at least 1"),
    (
        layer("Convolution", CONV % "num_output: 3 kernel_size: 3 group: 2"),
        IMAGE,
        ArgumentError,
        "4 channels to 3 outputs cannot be split into 2 groups",
    ),
    (
        layer("Convolution", CONV % "num_output: 2 kernel_size: 9"),
        IMAGE,
        ShapeError,
        r"kernel of \[9, 9\] does not fit bottom \(2, 4, 5, 6\) with padding \[0, 0\]",
    ),
    (
        layer("Convolution", CONV % "num_output: 2 kernel_size: 1"),
        (1, 1, 2, 2, 2, 2),
        NotSupportedError,
        "4 spatial axes",
    ),
    (layer("Im2col", CONV % "kernel_size: 1 axis: 3"), IMAGE, ShapeError, "leaves no spatial axes"),
    (layer("Pooling", POOL % ""), IMAGE, ArgumentError, "give kernel_size, or kernel_h and kernel_w"),
    (layer("Pooling", POOL % "kernel_h: 2"), IMAGE, ArgumentError, "both kernel_h and kernel_w"),
    (layer("Pooling", POOL % "kernel_size: 2 pad: 2"), IMAGE, ArgumentError, "less than the kernel"),
    (
        layer("Pooling", POOL % "kernel_size: 2 global_pooling: true"),
        IMAGE,
        ArgumentError,
        "leave kernel_size out",
    ),
    (
        layer("Pooling", POOL % "global_pooling: true pad: 1"),
        IMAGE,
        ArgumentError,
        "leave out pad and stride",
    ),
    (
        layer("Pooling", POOL % "pool: AVE kernel_size: 2", top="y mask"),
        IMAGE,
        ArityError,
        "only MAX has a mask",
    ),
    (layer("Pooling", POOL % "pool: STOCHASTIC kernel_size: 2 pad: 1"), IMAGE, ArgumentError, "no padding"),
    (layer("Pooling", POOL % "kernel_size: 2"), (2, 3, 4), ShapeError, r"4 axes .* got \(2, 3, 4\)"),
    (
        layer("SPP", "spp_param { pyramid_height: 4 }"),
        (1, 1, 5, 6),
        ArgumentError,
        "4 is too much .* less than",
    ),
    (
        layer("SPP", "spp_param { pyramid_height: 4294967295 }"),
        IMAGE,
        ArgumentError,
        "is too much for an image",
    ),
    (layer("LRN", "lrn_param { local_size: 4 }"), IMAGE, ArgumentError, "local_size must be odd, got 4"),
    (layer("LRN"), (2, 3), ShapeError, r"4 axes .* got \(2, 3\)"),
    (
        layer("Crop", "crop_param { offset: 4 }", "x x"),
        IMAGE,
        ShapeError,
        "5 elements from offset 4 on reach beyond",
    ),
    (
        layer("Crop", "crop_param { offset: [1, 1, 1] }", "x x"),
        IMAGE,
        ArgumentError,
        "one for each of the 2 axes",
    ),
    (
        layer("InnerProduct", "inner_product_param { num_output: 2 axis: 4 }"),
        IMAGE,
        ShapeError,
        "axis 4 is out",
    ),
    (
        layer("Embed", "embed_param { num_output: 2 }"),
        (3,),
        ArgumentError,
        "num_output and input_dim .* 2 and 0",
    ),
    (layer("BatchNorm"), (6,), ShapeError, "axis 1 is out of range"),
    (layer("BatchNorm", "param { lr_mult: 1 }"), IMAGE, ArgumentError, "are statistics, not parameters"),
    (layer("Scale", "scale_param { num_axes: 4 }"), IMAGE, ShapeError, "the scale reaches beyond bottom"),
    (
        layer("Scale", bottom="x x"),
        IMAGE,
        ShapeError,
        r"must have the sizes of 'x.*' \(2, 4, 5, 6\) from axis 1 on",
    ),
    (layer("Bias", "bias_param { num_axes: -2 }"), IMAGE, ShapeError, "the bias reaches beyond bottom"),
    (layer("MVN"), (1, 1, 1, 1, 1), ShapeError, "at most 4 axes"),
    (layer("Dropout", "dropout_param { dropout_ratio: 1 }"), IMAGE, ArgumentError, "less than 1, got 1"),
    (layer("PReLU"), (6,), ShapeError, "at least 2 axes"),
    (layer("LSTM", RECURRENT.replace("3", "0") % "", "x x"), (4, 2, 5), ArgumentError, "num_output must be"),
    (
        layer("LSTM", RECURRENT % "", "x x"),
        (4, 2, 5),
        ShapeError,
        r"must be \(steps, streams\) as 'x.*' \(4, 2, 5\)",
    ),
    (layer("LSTM", RECURRENT % "", "x x"), (4, 0, 5), ShapeError, "none of them empty"),
    (layer("RNN", RECURRENT % "", "x x"), (4, 2), ShapeError, "must have 3 axes or more"),
    (layer("RNN", RECURRENT % "expose_hidden: true", "x x"), (4, 2, 5), ArityError, "3 or 4 bottoms"),
    (layer("LSTMUnit", "", "x x x", "c h"), (1, 2, 3), ShapeError, "must have shape"),
]


@pytest.mark.parametrize(
    ("text", "shape", "error", "words"), REFUSED, ids=lambda v: v[:60] if isinstance(v, str) else ""
)
def test_refusals_say_what_is_wrong_and_where(
    make: Make, text: str, shape: tuple[int, ...], error: type[FreshpotError], words: str
) -> None:
    with pytest.raises(error, match=words) as found:
        make(text, x=shape)
    assert "'l' (" in str(found.value)
    if error is not NotSupportedError:
        assert "net.prototxt:2: layer 'l' (" in str(found.value)


def test_embed_has_no_gradient_for_its_numbers(make: Make) -> None:
    net = make(layer("Embed", "embed_param { num_output: 2 input_dim: 3 }"), x=(4,))
    net.forward()
    with pytest.raises(GradientError, match=r"no gradient for bottom 0 'x': leave out force_backward"):
        net.backward()


def test_embed_refuses_numbers_beyond_its_table(make: Make) -> None:
    net = make(layer("Embed", "embed_param { num_output: 2 input_dim: 3 }"), force=False, x=(4,))
    net.blobs["x"].data[...] = 3
    with pytest.raises(ArgumentError, match=r"layer 'l' \(Embed\).* whole numbers from 0 to 2"):
        net.forward()


def test_a_reshape_that_changes_a_parameter_is_refused(make: Make) -> None:
    net = make(layer("InnerProduct", "inner_product_param { num_output: 2 }"), x=(4, 3))
    net.blobs["x"].reshape(4, 5)
    with pytest.raises(ShapeError, match=r"parameter 0 has shape \(2, 3\), the bottoms now want \(2, 5\)"):
        net.reshape()
