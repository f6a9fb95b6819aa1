"""Operators of neighbouring layers joined in training: what users see is what the layers make one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feeding import net

from caffe._net import joining
from freshpot.errors import NetError

NORMAL = """
    layer {{ name: "{0}_bn" type: "BatchNorm" bottom: "{0}" top: "{0}" }}
    layer {{ name: "{0}_scale" type: "Scale" bottom: "{0}" top: "{0}" scale_param {{ bias_term: true }} }}"""
CONV = """
    layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}" convolution_param {{
      num_output: {2} kernel_size: 3 pad: 1 bias_term: false weight_filler {{ type: "msra" }} }} }}"""
RELU = """
    layer {{ name: "{0}_relu" type: "ReLU" bottom: "{0}" top: "{0}" }}"""
SUM = """
    layer { name: "sum" type: "Eltwise" bottom: "b" bottom: "a" top: "sum" }"""
END = """
    layer {{ name: "fc" type: "InnerProduct" bottom: "{0}" top: "fc"
      inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "wanted" top: "loss" }}"""


def text(batch: int, channels: int, side: int) -> str:
    """A block with a shortcut, of a plain convolution, two normalisations and a rectified one."""
    dims = f"dim: {batch} dim: {channels} dim: {side} dim: {side}"
    head = f"""
    layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
    layer {{ name: "wanted" type: "Input" top: "wanted" input_param {{ shape {{ dim: {batch} dim: 3 }} }} }}"""
    parts = (CONV.format("a", "x", channels), NORMAL.format("a"), RELU.format("a"))
    return "".join(
        (head, *parts, CONV.format("b", "a", channels), NORMAL.format("b"), SUM, RELU.format("sum"))
    ) + END.format("sum")


#: batch, channels, side: in one pass by machine code; batches along the memory; few numbers a channel; odd channels
SIZES = {"large": (4, 16, 40), "batch last": (16, 16, 20), "few": (2, 8, 3), "odd": (3, 5, 9)}


def made(monkeypatch: pytest.MonkeyPatch, joined: bool, sizes: tuple[int, int, int]) -> Any:
    monkeypatch.setenv("FRESHPOT_FUSE", "1" if joined else "0")
    found = net(text(*sizes))
    rng = np.random.default_rng(7)
    for name, blobs in found.params.items():
        for blob in () if name.endswith("_bn") else blobs:
            blob.data[...] = rng.standard_normal(blob.data.shape)
    for name in ("x", "wanted"):
        blob = found.blobs[name]
        blob.data[...] = rng.standard_normal(blob.data.shape) + 0.5
    return found


def alike(found: Any, other: Any) -> None:
    pairs = [(f"blob {n}", b, other.blobs[n]) for n, b in found.blobs.items()]
    for n, blobs in found.params.items():
        pairs += [(f"{n}[{i}]", b, other.params[n][i]) for i, b in enumerate(blobs)]
    for name, mine, theirs in pairs:
        for what in ("data", "diff"):
            a, b = getattr(mine, what), getattr(theirs, what)
            np.testing.assert_allclose(
                a, b, rtol=2e-4, atol=2e-5 * max(np.abs(b).max(), 1e-9), err_msg=f"{name} {what}"
            )


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_passes(monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int, int]) -> None:
    """Twice, so that views handed out after the first pass are written to in the second; then backwards in parts."""
    apart, joined = (made(monkeypatch, way, sizes) for way in (False, True))
    for _ in range(2):
        for each, fuse in ((apart, "0"), (joined, "1")):
            monkeypatch.setenv("FRESHPOT_FUSE", fuse)
            each.clear_param_diffs()
            each.forward()
            each._net.backward_all(fresh=True)
        alike(joined, apart)
    for each, fuse in ((apart, "0"), (joined, "1")):
        monkeypatch.setenv("FRESHPOT_FUSE", fuse)
        each.forward()
        each.clear_param_diffs()
        each.backward(end="b_scale")
        each.backward(start="b_bn")
    alike(joined, apart)


def test_what_is_joined() -> None:
    found = net(text(*SIZES["few"]))
    found.forward()
    found._net.backward_all(fresh=True)
    (there,) = found._net._forwards.values()
    (back,) = found._net._backwards.values()
    kinds = [[op.type for stretch in pass_._stretches for op in stretch.ops] for pass_ in (there, back)]
    for kind, (first, second) in {
        "BatchNormScale": (2, 0),
        "BatchNormScaleGradient": (0, 2),
        "BatchNorm": (0, 0),
        "CaffeScaleGradient": (0, 0),
        "EltwiseGradient": (0, 0),
        "CaffeCopyLater": (0, 1),
        "Relu": (1, 0),
        "ReluGradient": (0, 1),
    }.items():
        assert (kinds[0].count(kind), kinds[1].count(kind)) == (first, second), kind


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('type: "BatchNorm" bottom: "a" top: "a"', 'type: "BatchNorm" bottom: "a" top: "n"'),
        ("scale_param { bias_term: true }", "scale_param { bias_term: false }"),
        ("scale_param { bias_term: true }", "scale_param { bias_term: true axis: 0 num_axes: 2 }"),
        ('top: "a" }', 'top: "a" batch_norm_param { use_global_stats: true } }'),
    ],
    ids=["not in place", "no bias", "not by channel", "averages"],
)
def test_what_is_not(old: str, new: str) -> None:
    """Other normalisations stay as they are."""
    whole = text(*SIZES["few"])
    begin, end = whole.index('name: "a_bn"'), whole.index('name: "a_relu"')
    part = whole[begin:end].replace(old, new, 1)
    rest = whole[end:]
    if 'top: "n"' in part:
        part = part.replace('type: "Scale" bottom: "a" top: "a"', 'type: "Scale" bottom: "n" top: "n"')
        rest = rest.replace('bottom: "a"', 'bottom: "n"').replace('top: "a"', 'top: "n"')
    found = net(whole[:begin] + part + rest)
    owned = [joining.Owned(op, i) for i, layer in enumerate(found._net.layers) for op in layer.ops]
    joined = [o.op.type for o in joining.forward(owned, found._net.layers)]
    assert joined.count("BatchNormScale") == 1
    assert joined.count("BatchNorm") == 1


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_parameter_that_no_longer_fits(sizes: tuple[int, int, int], k: int) -> None:
    found = net(text(*sizes))
    found.forward()
    found.params["b_scale"][k].reshape(3)
    with pytest.raises(NetError, match=r"layer 'b_(bn|scale)' .*\(3,\)"):
        found.forward()
