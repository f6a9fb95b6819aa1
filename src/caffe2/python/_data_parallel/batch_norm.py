"""Batch normalisation over the batches of all devices.

Owned here: changing a net's SpatialBN operators for that. Who calls it: `build`.
"""

from __future__ import annotations

from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core, utils
from caffe2.python._data_parallel.blobs import stripBlobName
from caffe2.python._errors import require


def interleave(model: Any) -> None:
    """Bring the operators that do the same on each device together.

    Raises:
        MisuseError: the devices have not the same operators.
    """
    proto, count = model.net.Proto(), len(model._devices)
    operators = list(proto.op)
    require(len(operators) % count == 0, "Number of ops per device in original net is not uniform")
    by_device: dict[int, list[Any]] = {device: [] for device in range(count)}
    for op in operators:
        by_device[op.device_option.device_id].append(op)
    made = []
    for j in range(len(operators) // count):
        row = [by_device[device][j] for device in model._devices]
        for op in row:
            require(op.type == row[0].type, f"Type mismatch {row[0].type} / {op.type}")
        made += row
    del proto.op[:]
    proto.op.extend(made)


class _Combined:
    """The operators around those of one normalisation on all devices."""

    def __init__(self, model: Any, on_gpu: bool) -> None:
        self.model, self.on_gpu, self.count = model, on_gpu, len(model._devices)
        self.before: list[Any] = []
        self.own: list[Any] = []
        self.first: str | None = None
        self.sums: list[str] = []
        self.squares: list[str] = []
        self.scales: list[str] = []
        self.biases: list[str] = []

    def _option(self, op: Any) -> dict[str, Any]:
        if not self.on_gpu:
            return {}
        return {"device_option": core.DeviceOption(self.model._device_type, op.device_option.device_id)}

    def add(self, op: Any) -> None:
        """Take one device's operator."""
        op.arg.extend([utils.MakeArgument("num_batches", self.count)])
        if op.type == "SpatialBN":
            name = op.input[0]
            self.first = self.first or name
            outputs = [f"{name}_sums", f"{name}_sumsq"]
            self.before.append(core.CreateOperator("ChannelStats", name, outputs, **self._option(op)))
            self.sums.append(outputs[0])
            self.squares.append(outputs[1])
            whose = name if self.on_gpu else self.first
            op.input.extend([f"{whose}_sums_combined", f"{whose}_sumsq_combined"])
        else:
            inputs = [op.input[0], op.input[3], op.input[4], op.input[2]]
            outputs = [op.output[1], op.output[2]]
            self.before.append(
                core.CreateOperator("ChannelBackpropStats", inputs, outputs, **self._option(op))
            )
            self.scales.append(outputs[0])
            self.biases.append(outputs[1])
            op.input.extend(outputs)
        self.own.append(op)

    def operators(self) -> list[Any]:
        """All of them, in order."""
        if self.sums and self.on_gpu:
            name = stripBlobName(self.first)
            sums = [*self._over_gpus(f"{name}_sums", None), *self._over_gpus(f"{name}_sumsq", None)]
        elif self.sums:
            sums = [
                core.CreateOperator("Sum", self.sums, f"{self.first}_sums_combined"),
                core.CreateOperator("Sum", self.squares, f"{self.first}_sumsq_combined"),
            ]
        else:
            over = self._over_gpus if self.on_gpu else self._over_cpus
            sums = [
                *over(stripBlobName(self.scales[0]), self.scales),
                *over(stripBlobName(self.biases[0]), self.biases),
            ]
        return [*self.before, *sums, *self.own]

    def _over_cpus(self, name: str, blobs: list[str]) -> list[Any]:
        total = f"cpu_0/{name}_combined"
        return [
            core.CreateOperator("Sum", blobs, total),
            *(core.CreateOperator("Copy", total, blob) for blob in blobs),
        ]

    def _over_gpus(self, name: str, blobs: list[str] | None) -> list[Any]:
        """Sum up on the CPU what the GPUs have, and copy it to ``blobs``, or to new ones."""
        blobs = blobs or [f"gpu_{i}/{name}_combined" for i in range(self.count)]
        options = [core.DeviceOption(self.model._device_type, i) for i in range(self.count)]
        copies = [f"cpu_0/{name}_gpu_{i}_copy" for i in range(self.count)]
        total = f"cpu_0/{name}_combined"
        return [
            *(
                core.CreateOperator("CopyGPUToCPU", f"gpu_{i}/{name}", copy, device_option=option)
                for i, (copy, option) in enumerate(zip(copies, options, strict=True))
            ),
            core.CreateOperator("Sum", copies, total, device_option=core.DeviceOption(caffe2_pb2.CPU)),
            *(
                core.CreateOperator("CopyCPUToGPU", total, blob, device_option=option)
                for blob, option in zip(blobs, options, strict=True)
            ),
        ]


def combine(model: Any, on_gpu: bool) -> None:
    """Let the normalisations of all devices use the statistics, and gradients, of all their batches."""
    proto = model.net.Proto()
    made: list[Any] = []
    found: _Combined | None = None
    for op in list(proto.op):
        if op.type in ("SpatialBN", "SpatialBNGradient"):
            found = found or _Combined(model, on_gpu)
            found.add(op)
            continue
        if found is not None:
            made += found.operators()
            found = None
        made.append(op)
    require(found is None, "a net must not end with a normalisation that devices share.")
    del proto.op[:]
    proto.op.extend(made)
