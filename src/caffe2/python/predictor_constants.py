"""Names that an exported predictor uses, from predictor_consts.proto."""

from __future__ import annotations

from caffe2.proto import predictor_consts_pb2

predictor_constants = predictor_consts_pb2.PredictorConsts()
