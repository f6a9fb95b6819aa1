"""ShuffleNet, version 2.

Source: caffe2/python/models/shufflenet.py; Ma et al., 2018.
"""

from __future__ import annotations

from typing import Any

from caffe2.python import brew

#: width -> maps of the first layer, the three stages and the last convolution
OUTPUT_CHANNELS = {
    "0.5x": [24, 48, 96, 192, 1024],
    "1.0x": [24, 116, 232, 464, 1024],
    "1.5x": [24, 176, 352, 704, 1024],
    "2.0x": [24, 244, 488, 976, 2048],
}


class ShuffleNetV2Builder:
    """Appends a net to a model, with `create`.

    Args:
        model: the ModelHelper.
        data: blob of images, 224 x 224.
        num_input_channels: their channels.
        num_labels: classes.
        num_groups: groups of the shuffles.
        width: one of OUTPUT_CHANNELS.
        is_test: batch normalisation uses the kept statistics.
        detection: one more convolution a branch, to see more.
        bn_epsilon: of batch normalisation.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        num_input_channels: int,
        num_labels: int,
        num_groups: int = 2,
        width: str = "1.0x",
        is_test: bool = False,
        detection: bool = False,
        bn_epsilon: float = 1e-5,
    ) -> None:
        self.model = model
        self.prev_blob = data
        self.num_input_channels = num_input_channels
        self.num_labels = num_labels
        self.num_groups = num_groups
        self.output_channels = OUTPUT_CHANNELS[width]
        self.stage_repeats = [3, 7, 3]
        self.is_test = is_test
        self.detection = detection
        self.bn_epsilon = bn_epsilon
        self.last_conv: Any = None
        self.avg_pool: Any = None
        self.last_out: Any = None

    def create(self) -> None:
        """Append the whole net; ``last_out`` are its scores."""
        channels = self.output_channels[0]
        self.prev_blob = self._conv(
            self.prev_blob, "stage1_conv", self.num_input_channels, channels, kernel=3, stride=2
        )
        self.prev_blob = brew.max_pool(self.model, self.prev_blob, "stage1_pool", kernel=3, stride=2)
        for stage, repeats in enumerate(self.stage_repeats, 2):
            self.add_spatial_ds_unit(f"stage{stage}_stride2", channels, self.output_channels[stage - 1])
            channels = self.output_channels[stage - 1]
            for i in range(repeats):
                self.add_basic_unit(f"stage{stage}_stride1_repeat{i + 1}", channels)
        last = self.output_channels[4]
        self.last_conv = brew.conv(self.model, self.prev_blob, "conv5", channels, last, kernel=1)
        self.avg_pool = self.model.AveragePool(self.last_conv, "avg_pool", kernel=7)
        name = f"last_out_L{self.num_labels}"
        self.last_out = brew.fc(self.model, self.avg_pool, name, last, self.num_labels)

    def add_spatial_ds_unit(self, prefix: str, in_channels: int, out_channels: int, stride: int = 2) -> None:
        """Append a unit that makes the image smaller."""
        right = left = self.prev_blob
        half = out_channels // 2
        if self.detection:
            left = self.add_detection_unit(left, f"{prefix}_left_detection", in_channels, in_channels)
        left = self.add_dwconv3x3_bn(left, f"{prefix}left_dwconv", in_channels, stride)
        left = self.add_conv1x1_bn(left, f"{prefix}_left_conv1", in_channels, half)
        self._join(prefix, left, self._right(prefix, right, in_channels, half, stride))

    def add_basic_unit(self, prefix: str, in_channels: int, stride: int = 1) -> None:
        """Append a unit that leaves half of the maps as they are."""
        half = in_channels // 2
        left, right = f"{prefix}_left", f"{prefix}_right"
        self.model.net.Split(self.prev_blob, [left, right])
        self._join(prefix, left, self._right(prefix, right, half, half, stride))

    def _right(self, prefix: str, blob: Any, in_channels: int, channels: int, stride: int) -> Any:
        if self.detection:
            blob = self.add_detection_unit(blob, f"{prefix}_right_detection", in_channels, in_channels)
        blob = self.add_conv1x1_bn(blob, f"{prefix}_right_conv1", in_channels, channels)
        blob = self.add_dwconv3x3_bn(blob, f"{prefix}_right_dwconv", channels, stride)
        return self.add_conv1x1_bn(blob, f"{prefix}_right_conv2", channels, channels)

    def _join(self, prefix: str, left: Any, right: Any) -> None:
        joined = brew.concat(self.model, [right, left], f"{prefix}_concat")
        self.prev_blob = self.model.net.ChannelShuffle(
            joined, f"{prefix}_ch_shuffle", group=self.num_groups, kernel=1
        )

    def _conv(self, blob: Any, name: str, in_channels: int, out_channels: int, **args: Any) -> Any:
        return brew.conv(
            self.model, blob, name, in_channels, out_channels, weight_init=("MSRAFill", {}), **args
        )

    def _normalized(self, blob: Any, name: Any, channels: int) -> Any:
        return brew.spatial_bn(
            self.model, blob, name, channels, epsilon=self.bn_epsilon, is_test=self.is_test
        )

    def add_detection_unit(
        self, prev_blob: Any, prefix: str, in_channels: int, out_channels: int, kernel: int = 3, pad: int = 1
    ) -> Any:
        """Append a convolution a map, normalised."""
        made = self._conv(
            prev_blob, f"{prefix}_conv", in_channels, out_channels, kernel=kernel, group=in_channels, pad=pad
        )
        return self._normalized(made, f"{prefix}_bn", out_channels)

    def add_conv1x1_bn(self, prev_blob: Any, blob: str, in_channels: int, out_channels: int) -> Any:
        """Append a 1 x 1 convolution, normalised and rectified."""
        made = self._conv(prev_blob, blob, in_channels, out_channels, kernel=1)
        made = self._normalized(made, made + "_bn", out_channels)
        return brew.relu(self.model, made, made)

    def add_dwconv3x3_bn(self, prev_blob: Any, blob: str, channels: int, stride: int) -> Any:
        """Append a 3 x 3 convolution a map, normalised."""
        made = self._conv(prev_blob, blob, channels, channels, kernel=3, stride=stride, group=channels, pad=1)
        return self._normalized(made, made + "_bn", channels)


def create_shufflenet(
    model: Any,
    data: Any,
    num_input_channels: int,
    num_labels: int,
    label: Any = None,
    is_test: bool = False,
    no_loss: bool = False,
) -> Any:
    """The scores (``no_loss``), (softmax, loss) where labels are given; else None, as in the original."""
    builder = ShuffleNetV2Builder(model, data, num_input_channels, num_labels, is_test=is_test)
    builder.create()
    if no_loss:
        return builder.last_out
    if label is None:
        return None
    softmax, loss = model.SoftmaxWithLoss([builder.last_out, label], ["softmax", "loss"])
    return softmax, loss
