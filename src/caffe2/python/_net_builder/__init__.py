"""What `caffe2.python.net_builder` is made of, one idea a module."""
