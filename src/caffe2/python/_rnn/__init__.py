"""The recurrent cells behind `caffe2.python.rnn_cell`."""
