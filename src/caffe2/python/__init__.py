"""The Caffe2 door: ``from caffe2.python import core, workspace, …``."""
