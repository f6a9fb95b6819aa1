"""NetSpec beyond the recorded programs: refusals with their words, conveniences."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import pytest

import caffe
from caffe import layers as L
from caffe import params as P


def data() -> Any:
    return L.Input(shape={"dim": [1, 3]})


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: L.Silence(L.DummyData(ntop=2), ntop=0),
            TypeError,
            "Silence input 0 is not a Top (type is <class 'tuple'>)",
        ),
        (lambda: L.Convolution(data(), nonsense=3).to_proto(), AttributeError, "nonsense"),
        (
            lambda: L.Convolution(data(), weight_filler={"kind": "xavier"}).to_proto(),
            AttributeError,
            "kind",
        ),
        (
            lambda: L.Pooling(data(), pool="MAX").to_proto(),
            TypeError,
            "caffe.PoolingParameter.pool is a number; for 'MAX' say params.<message>.MAX, as in P.Pooling.MAX",
        ),
        (lambda: caffe.NetSpec().nothing, KeyError, "'nothing'"),
    ],
)
def test_refusals(make: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == words


@pytest.mark.skipif(sys.version_info < (3, 11), reason="errors have notes from Python 3.11 on")
def test_an_unknown_parameter_comes_with_near_matches() -> None:
    with pytest.raises(AttributeError) as caught:
        L.Convolution(data(), convolution_param={"kernal_size": 3}).to_proto()
    assert caught.value.__notes__ == [
        "ConvolutionParameter has no field 'kernal_size'. Did you mean kernel_size, kernel_w, kernel_h?"
    ]


def test_names_of_a_layer_and_its_tops() -> None:
    n = caffe.NetSpec()
    n.a, n.b = L.Slice(data(), ntop=2)
    n.silence = L.Silence(n.a, ntop=0)
    L.Silence(n.b, ntop=0)  # not assigned: not in the net
    made = [(layer.name, list(layer.top)) for layer in n.to_proto().layer]
    assert made == [("Input1", ["Input1"]), ("a", ["a", "b"]), ("silence", [])]


def test_lists_may_be_tuples_and_empty() -> None:
    made = L.Reshape(data(), shape={"dim": (1, -1)}, include=[]).to_proto().layer[1]
    assert list(made.reshape_param.shape.dim) == [1, -1]
    assert not made.include


def test_two_nets_from_the_same_tops_are_equal() -> None:
    top = L.Pooling(data(), pool=P.Pooling.AVE)
    assert top.to_proto() == caffe.to_proto(top)


def test_a_spec_can_be_copied() -> None:
    n = caffe.NetSpec()
    n.data = data()
    assert copy.copy(n).to_proto() == n.to_proto()
