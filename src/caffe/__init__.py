"""Caffe's Python package, served by freshpot.

``import caffe`` gives the names that BVLC Caffe's own package gave: nets, solvers, NetSpec, io.
"""

from __future__ import annotations

from caffe._net.layer import layer_types as _layer_types
from caffe.proto.caffe_pb2 import TEST, TRAIN
from caffe.pycaffe import Layer, Net, StringVec, Timer

__version__ = "1.0.0"

__all__ = ["TEST", "TRAIN", "Layer", "Net", "Timer", "layer_type_list"]


def layer_type_list() -> StringVec:
    """Names of all layer types, sorted."""
    return StringVec(_layer_types())
