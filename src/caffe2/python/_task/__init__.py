"""What `caffe2.python.task` is made of besides tasks and their groups."""
