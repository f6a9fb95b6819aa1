"""Coordinate maps between blobs, and cropping one to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import (
    AxisMismatchException,
    UndefinedMapException,
    compose,
    coord_map,
    coord_map_from_to,
    crop,
)
from freshpot.errors import ArgumentError


def spec(ks: Any = 3, stride: Any = 1, pad: Any = 0, pool: int = 2, up: int = 2, up_pad: int = 0) -> Any:
    """data -> conv -> pool -> deconv."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 1, 100, 100]})
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=ks, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool)
    n.deconv = L.Deconvolution(n.pool, convolution_param={"kernel_size": 2 * up, "stride": up, "pad": up_pad})
    return n


@pytest.mark.parametrize(
    ("options", "scale", "shift"),
    [
        ({}, [1], [0]),
        ({"pool": 4, "up": 4}, [1], [-1]),
        ({"pad": 3}, [1], [-3]),
        ({"up_pad": 3}, [1], [3]),
        ({"pad": 3, "up_pad": 3}, [1], [0]),
        ({"pool": 3}, [1.5], [0]),
        ({"ks": [3, 5], "stride": [1, 2], "pad": [0, 10]}, [1, 2], [0, -9]),
    ],
)
def test_maps(options: dict[str, Any], scale: list[float], shift: list[float]) -> None:
    n = spec(**options)
    axis, a, b = coord_map_from_to(n.deconv, n.data)
    assert axis == 1
    if options.get("pool") != 3:
        np.testing.assert_allclose(a, scale)
    assert len(np.atleast_1d(b)) == len(shift)
    if not {"ks", "pool"} & set(options):
        np.testing.assert_allclose(b, shift)


def test_layers_that_pass_coordinates_through() -> None:
    n = spec()
    n.relu = L.ReLU(n.deconv)
    n.conv1x1 = L.Convolution(n.relu, num_output=10, kernel_size=1)
    wanted = coord_map_from_to(n.deconv, n.data)
    assert all(coord_map_from_to(top, n.data) == wanted for top in (n.relu, n.conv1x1))


def test_sides_of_a_rectangle_map_like_squares() -> None:
    (_, a3, b3), (_, a5, b5), (_, a, b) = (
        coord_map_from_to(n.deconv, n.data) for n in (spec(3), spec(5, 2, 10), spec([3, 5], [1, 2], [0, 10]))
    )
    assert (a[0], b[0], a[1], b[1]) == (a3[0], b3[0], a5[0], b5[0])


def test_a_crop_of_a_crop_moves_by_its_offset() -> None:
    n = spec()
    _, _, before = coord_map_from_to(n.deconv, n.data)
    n.crop = L.Crop(n.deconv, n.data, axis=2, offset=4)
    assert coord_map_from_to(n.crop, n.data)[2] == before + 4


def test_crop_makes_a_layer() -> None:
    n = spec(pool=4, up=4)
    n.out = crop(n.deconv, n.data)
    made = n.to_proto().layer[-1]
    assert (made.type, made.crop_param.axis, list(made.crop_param.offset)) == ("Crop", 2, [1])


def test_crop_of_blobs_that_are_aligned_already() -> None:
    n = spec()
    n.relu = L.ReLU(n.data)
    n.out = crop(n.relu, n.data)
    assert n.to_proto().layer[-1].crop_param.axis == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pool": 3}, "scale mismatch on crop"),
        ({"up_pad": 10}, "cannot crop negative offset"),
        ({"ks": 2}, "cannot crop noninteger offset"),
    ],
)
def test_what_cannot_be_cropped(options: dict[str, Any], words: str) -> None:
    n = spec(**options)
    with pytest.raises(AssertionError, match=words):
        crop(n.deconv, n.data)


def test_blobs_that_are_not_connected() -> None:
    n = spec()
    n.ip = L.InnerProduct(n.deconv, num_output=10)
    with pytest.raises(UndefinedMapException, match="through InnerProduct layers"):
        coord_map(n.ip.fn)
    with pytest.raises(RuntimeError, match="are they connected by spatial layers"):
        coord_map_from_to(n.ip, n.data)


def test_maps_along_different_axes() -> None:
    with pytest.raises(AxisMismatchException, match="along axis 1, the other along axis 2"):
        compose((1, 1, 0), (2, 1, 0))


def test_old_names_of_sizes() -> None:
    with pytest.raises(ArgumentError, match="Pooling: give lists instead of kernel_h, kernel_w"):
        coord_map(L.Pooling(spec().data, kernel_h=2, kernel_w=3).fn)
