"""Small nets and a solver that tests of GPU mode run, and what they ask of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import caffe
from caffe._net.net import CaffeNet
from conftest import SHARED
from far_device import Traffic

FOLDER = SHARED / "reference" / "caffe" if SHARED else Path()
CPU = torch.device("cpu")

TRAINED = """
name: "small"
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 8 dim: 6 } shape { dim: 8 dim: 3 } data_filler { type: "gaussian" } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "drop" type: "Dropout" bottom: "h" top: "h" include { phase: TRAIN } }
layer { name: "ip2" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
PLAIN = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {
  num_output: 2 weight_filler { type: "constant" value: 1 } } }
"""
COPY = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "p" type: "Power" bottom: "x" top: "y" }
"""
JOINED = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "scale" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "y" pooling_param { kernel_size: 2 stride: 2 } }
"""


def plain(text: str = PLAIN) -> caffe.Net:
    return caffe.Net._from_text(text, caffe.TEST)


def solver(place: Path, text: str = "", kind: str = "SGD", every: int = 1000) -> Any:
    (place / "net.prototxt").write_text(TRAINED)
    (place / "solver.prototxt").write_text(
        f'net: "net.prototxt" type: "{kind}" base_lr: 0.05 weight_decay: 0.01 lr_policy: "fixed" test_iter: 1 '
        f'test_interval: {every} test_initialization: false snapshot_prefix: "s" random_seed: 7 max_iter: 20\n{text}'
    )
    return caffe.get_solver(str(place / "solver.prototxt"))


def weights(net: caffe.Net) -> list[np.ndarray]:
    return [blob.data.copy() for blobs in net.params.values() for blob in blobs]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def near(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """The same but for rounding: the CPU sums up in another order."""
    return all(np.allclose(x, y, rtol=1e-4, atol=1e-6) for x, y in zip(a, b, strict=True))


def device_of(net: caffe.Net) -> torch.device:
    """Where all of a net's blobs are."""
    inside: CaffeNet = net._net
    places = {
        blob.peek.device
        for blob in inside.workspace.blobs()
        if not blob.empty and blob.name not in inside.site.on_host
    }
    assert len(places) == 1, places
    return places.pop()


def traffic_of(far: Traffic) -> tuple[int, int, int]:
    found = (far.uploads, far.downloads, far.reads)
    far.reset()
    return found
