"""Nets as Caffe's: a prototxt and a caffemodel.

Owned here: `to_caffe`, `write_caffe`. Who calls it: `freshpot convert`. Each operator has a converter, a short
function in one of the families beside this file, which says it in layers of BVLC Caffe.
"""

from freshpot.convert.to_caffe._layers import converters
from freshpot.convert.to_caffe._net import to_caffe, write_caffe

__all__ = ["converters", "to_caffe", "write_caffe"]
