"""ONNX models in and out, as Caffe2 programs ask for them; `freshpot.convert` does the work.

The package ``onnx`` is not needed: models are its messages, freshpot's own, bytes, or paths of files.
"""
