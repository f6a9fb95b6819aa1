"""The Caffe2 door: ``from caffe2.python import core, workspace, …``."""

from caffe2.python import _not_supported

_not_supported.install()
