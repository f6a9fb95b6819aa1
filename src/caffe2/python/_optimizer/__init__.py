"""The optimizers behind `caffe2.python.optimizer`, one family a module."""
