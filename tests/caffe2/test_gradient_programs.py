"""The gradients of every recorded program: operators, names and order, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from caffe2.proto import caffe2_pb2
from caffe2.python import core
from conftest import SHARED, needs_shared

PROGRAMS = sorted((SHARED or Path()).glob("reference/caffe2/programs/*.net.pbtxt"))


def is_start(op: object) -> bool:
    return op.type == "ConstantFill" and op.output[0].endswith("_autogen_grad")


@needs_shared
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.name.partition(".")[0])
def test_gradients_of_program(path: Path) -> None:
    ops = text_format.Parse(path.read_text(encoding="utf-8"), caffe2_pb2.NetDef()).op
    starts = [i for i, op in enumerate(ops) if is_start(op)]
    if not starts:
        assert not any(op.is_gradient_op for op in ops)
        return
    losses = [ops[i].input[0] for i in starts]
    made, grads = core.GradientRegistry.GetBackwardPass(ops[: starts[0]], losses)
    assert [op.SerializeToString() for op in made] == [
        op.SerializeToString() for op in ops[starts[0] : starts[0] + len(made)]
    ]
    assert all(loss in grads for loss in losses)
