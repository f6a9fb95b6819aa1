"""What `caffe2.python.net_printer` is made of, one idea a module."""
