"""The Caffe2 door: ``from caffe2.python import core, workspace, …``."""

from caffe2.python._not_supported import install

install()
del install
