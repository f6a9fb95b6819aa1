"""The fields behind `caffe2.python.schema`."""
