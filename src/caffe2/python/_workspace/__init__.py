"""What `caffe2.python.workspace` is made of, one idea a module. Programs import `workspace`, not this."""
