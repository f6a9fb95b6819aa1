"""The protobuf messages of Caffe2, importable as ``caffe2.proto.<name>_pb2``."""

from caffe2.proto import caffe2_pb2, metanet_pb2, torch_pb2

__all__ = ["caffe2_pb2", "metanet_pb2", "torch_pb2"]
