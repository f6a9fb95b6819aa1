"""The part of a net that predicts. Source: caffe2/python/model_helper.py, ExtractPredictorNet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import caffe2.python.core as core
from freshpot.errors import NetError


def ExtractPredictorNet(
    net_proto: Any,
    input_blobs: Iterable[Any],
    output_blobs: Iterable[Any],
    device: Any = None,
    renames: dict[str, str] | None = None,
    disabled_inputs: Iterable[str] | None = None,
) -> tuple[Any, list[str]]:
    """The operators that lead from some blobs to others, without input and gradient operators.

    Args:
        net_proto: message of the whole net.
        input_blobs, output_blobs: where the predictor starts and what it computes.
        device: device option for every operator, if given.
        renames: blob -> new name.
        disabled_inputs: blobs that are not there; operators that need them are left out.

    Returns the net, named ``NAME_predict``, and its external inputs other than ``input_blobs``.

    Raises:
        NetError: no operator has such inputs or outputs, or one says ``is_test=0``.
    """
    inputs, outputs = {str(b) for b in input_blobs}, {str(b) for b in output_blobs}
    ops = _span(net_proto, inputs, outputs)
    externals = set(net_proto.external_input)
    known = (externals | inputs) - set(disabled_inputs or ())
    used_inputs, made_outputs = set(inputs), set(outputs)
    renaming = _Renaming(renames or {}, device)
    predict_net = core.Net(net_proto.name + "_predict")
    predict = predict_net.Proto()
    for op in ops:
        if not known.issuperset(op.input):
            continue
        _require_test_mode(op, net_proto.name)
        kept = predict.op.add()
        kept.CopyFrom(op)
        known.update(op.output)
        made_outputs.update(set(op.output) & set(net_proto.external_output))
        used_inputs.update(set(op.input) & externals)
        if op.type == "RecurrentNetwork":
            used_inputs.update(renaming.step_net(kept) & externals)
        renaming.op(kept)
    predict.external_input.extend(renaming.names(used_inputs))
    predict.external_output.extend(renaming.names(made_outputs))
    fed = set(renaming.names(inputs))
    return predict_net, [b for b in predict.external_input if b not in fed]


def _span(net_proto: Any, inputs: set[str], outputs: set[str]) -> list[Any]:
    """The operators from the first that reads an input to the last that writes an output."""
    ops = list(net_proto.op)
    reading = [i for i, op in enumerate(ops) if inputs & set(op.input) and op.type != "StopGradient"]
    writing = [i for i, op in enumerate(ops) if outputs & set(op.output)]
    for found, what, blobs in ((reading, "reads", inputs), (writing, "writes", outputs)):
        if not found:
            raise NetError(f"no operator {what} any of {', '.join(sorted(blobs))}.", net=net_proto.name)
    return ops[reading[0] : writing[-1] + 1]


def _require_test_mode(op: Any, net: str) -> None:
    if any(arg.name == "is_test" and arg.i == 0 for arg in op.arg):
        raise NetError(
            f"operator {op.type} -> {', '.join(op.output)} says is_test=0, so this is a net for training."
            " Extract the predictor from a model built for testing.",
            net=net,
        )


class _Renaming:
    """New blob names and a device for operators taken into the predictor."""

    def __init__(self, renames: dict[str, str], device: Any) -> None:
        self.renames = renames
        self.device = device

    def names(self, blobs: Iterable[str]) -> list[str]:
        return [self.renames.get(b, b) for b in blobs]

    def in_place(self, blobs: Any) -> None:
        blobs[:] = self.names(blobs)

    def op(self, op: Any) -> None:
        self.in_place(op.input)
        self.in_place(op.output)
        if self.device is not None:
            op.device_option.device_type = self.device.device_type
            op.device_option.device_id = self.device.device_id

    def step_net(self, op: Any) -> set[str]:
        """Rename inside a recurrent network and drop its backward net; returns the step's inputs."""
        read: set[str] = set()
        for arg in op.arg:
            if arg.name == "backward_step_net":
                arg.ClearField("n")
            elif arg.name == "step_net":
                for step_op in arg.n.op:
                    self.op(step_op)
                self.in_place(arg.n.external_input)
                self.in_place(arg.n.external_output)
                read.update(arg.n.external_input)
        return read
