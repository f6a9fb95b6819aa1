"""Caffe's solvers: the loop, its log, its files. The arithmetic is in the operators."""
