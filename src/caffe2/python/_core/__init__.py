"""What `caffe2.python.core` is made of, one idea a module. Programs import `core`, not this."""
