"""Every layer type of Caffe, lowered to operators: a family a file, a type a short function."""
