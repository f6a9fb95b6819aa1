"""Residual nets.

Source: caffe2/python/models/resnet.py; He et al., 2015; Xie et al., 2016.
"""

from __future__ import annotations

import logging
from typing import Any

from caffe2.python import brew

#: layers -> blocks in each of the four stages
RESNEXT_BLOCK_CONFIG = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
RESNEXT_STRIDES = [1, 2, 2, 2]

log = logging.getLogger("resnext_builder")


class ResNetBuilder:
    """Appends residual blocks to a model.

    Args:
        model: the ModelHelper.
        prev_blob: what the first block takes; afterwards what the last block made.
        no_bias: convolutions have no bias.
        is_test: batch normalisation uses the kept statistics.
        bn_epsilon, bn_momentum: of batch normalisation.
    """

    def __init__(
        self,
        model: Any,
        prev_blob: Any,
        no_bias: Any,
        is_test: bool,
        bn_epsilon: float = 1e-5,
        bn_momentum: float = 0.9,
    ) -> None:
        self.model = model
        self.comp_count = 0
        self.comp_idx = 0
        self.prev_blob = prev_blob
        self.is_test = is_test
        self.bn_epsilon = bn_epsilon
        self.bn_momentum = bn_momentum
        self.no_bias = 1 if no_bias else 0

    def add_conv(
        self, in_filters: int, out_filters: int, kernel: int, stride: int = 1, group: int = 1, pad: int = 0
    ) -> Any:
        """Append a convolution."""
        self.comp_idx += 1
        self.prev_blob = brew.conv(
            self.model,
            self.prev_blob,
            f"comp_{self.comp_count}_conv_{self.comp_idx}",
            in_filters,
            out_filters,
            weight_init=("MSRAFill", {}),
            kernel=kernel,
            stride=stride,
            group=group,
            pad=pad,
            no_bias=self.no_bias,
        )
        return self.prev_blob

    def add_relu(self) -> Any:
        """Append a rectifier, in place."""
        self.prev_blob = brew.relu(self.model, self.prev_blob, self.prev_blob)
        return self.prev_blob

    def add_spatial_bn(self, num_filters: int) -> Any:
        """Append a batch normalisation."""
        self.prev_blob = brew.spatial_bn(
            self.model,
            self.prev_blob,
            f"comp_{self.comp_count}_spatbn_{self.comp_idx}",
            num_filters,
            epsilon=self.bn_epsilon,
            momentum=self.bn_momentum,
            is_test=self.is_test,
        )
        return self.prev_blob

    def _normalized(self, num_filters: int, wanted: bool) -> None:
        if wanted:
            self.add_spatial_bn(num_filters)

    def _projected(self, blob: Any, filters: tuple[int, int], stride: int, bn: dict[str, Any] | None) -> Any:
        """The shortcut brought to the block's number of maps, where that changes; ``bn``: how to normalise it."""
        name = f"shortcut_projection_{self.comp_count}"
        blob = brew.conv(
            self.model,
            blob,
            name,
            *filters,
            weight_init=("MSRAFill", {}),
            kernel=1,
            stride=stride,
            no_bias=self.no_bias,
        )
        if bn is None:
            return blob
        return brew.spatial_bn(self.model, blob, f"{name}_spatbn", filters[1], **bn, is_test=self.is_test)

    def _add_sum(self, shortcut: Any) -> None:
        name = f"comp_{self.comp_count}_sum_{self.comp_idx}"
        self.prev_blob = brew.sum(self.model, [shortcut, self.prev_blob], name)
        self.comp_idx += 1
        self.add_relu()
        self.comp_count += 1

    def add_bottleneck(
        self,
        input_filters: int,
        base_filters: int,
        output_filters: int,
        stride: int = 1,
        group: int = 1,
        spatial_batch_norm: bool = True,
    ) -> int:
        """Append a block of three convolutions, the middle one of 3 x 3 with few maps; returns output_filters."""
        self.comp_idx = 0
        shortcut = self.prev_blob
        self.add_conv(input_filters, base_filters, kernel=1, stride=1)
        self._normalized(base_filters, spatial_batch_norm)
        self.add_relu()
        self.add_conv(base_filters, base_filters, kernel=3, stride=stride, group=group, pad=1)
        self._normalized(base_filters, spatial_batch_norm)
        self.add_relu()
        self.add_conv(base_filters, output_filters, kernel=1)
        self._normalized(output_filters, spatial_batch_norm)
        if output_filters != input_filters:
            bn = {"epsilon": self.bn_epsilon, "momentum": self.bn_momentum}
            filters = (input_filters, output_filters)
            shortcut = self._projected(shortcut, filters, stride, bn if spatial_batch_norm else None)
        self._add_sum(shortcut)
        return output_filters

    def add_simple_block(
        self,
        input_filters: int,
        num_filters: int,
        down_sampling: bool = False,
        spatial_batch_norm: bool = True,
    ) -> None:
        """Append a block of two 3 x 3 convolutions; with ``down_sampling`` it halves the image."""
        self.comp_idx = 0
        shortcut = self.prev_blob
        stride = 1 if down_sampling is False else 2
        self.add_conv(input_filters, num_filters, kernel=3, stride=stride, pad=1)
        self._normalized(num_filters, spatial_batch_norm)
        self.add_relu()
        self.add_conv(num_filters, num_filters, kernel=3, pad=1)
        self._normalized(num_filters, spatial_batch_norm)
        if num_filters != input_filters:
            bn = {"epsilon": 1e-3} if spatial_batch_norm else None
            shortcut = self._projected(shortcut, (input_filters, num_filters), stride, bn)
        self._add_sum(shortcut)


def create_resnet_32x32(
    model: Any, data: Any, num_input_channels: int, num_groups: int, num_labels: int, is_test: bool = False
) -> Any:
    """A net for images of 32 x 32, with 6 * num_groups blocks; returns its softmax."""
    brew.conv(model, data, "conv1", num_input_channels, 16, kernel=3, stride=1)
    brew.spatial_bn(model, "conv1", "conv1_spatbn", 16, epsilon=1e-3, is_test=is_test)
    brew.relu(model, "conv1_spatbn", "relu1")
    builder = ResNetBuilder(model, "relu1", no_bias=0, is_test=is_test)
    before = 16
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(2 * num_groups):
            first = block == 0
            builder.add_simple_block(before if first else filters, filters, first and stage > 0)
        before = filters
    brew.average_pool(model, builder.prev_blob, "final_avg", kernel=8, stride=1)
    brew.fc(model, "final_avg", "last_out", 64, num_labels)
    return brew.softmax(model, "last_out", "softmax")


def create_resnext(
    model: Any,
    data: Any,
    num_input_channels: int,
    num_labels: int,
    num_layers: int,
    num_groups: int,
    num_width_per_group: int,
    label: Any = None,
    is_test: bool = False,
    no_loss: bool = False,
    no_bias: int = 1,
    conv1_kernel: int = 7,
    conv1_stride: int = 2,
    final_avg_kernel: int = 7,
    log: Any = None,
    bn_epsilon: float = 1e-5,
    bn_momentum: float = 0.9,
) -> Any:
    """A net of bottleneck blocks for images of 224 x 224, or others with other kernels at its ends.

    Args:
        num_layers: one of RESNEXT_BLOCK_CONFIG.
        num_groups, num_width_per_group: groups of the middle convolutions, and maps in each in the first stage.
        label: blob of labels, if a loss is wanted.
        no_loss: stop before the softmax.
        log: of no effect.

    Returns:
        the last scores (``no_loss``); (softmax, loss) where labels are given; else the softmax.

    Raises:
        KeyError: no such number of layers.
    """
    if num_layers not in RESNEXT_BLOCK_CONFIG:
        raise KeyError(
            f"{num_layers}-layer is invalid for resnext config; there are {[*RESNEXT_BLOCK_CONFIG]}."
        )
    filters = [64, 64, 128, 256, 512] if num_layers in (18, 34) else [64, 256, 512, 1024, 2048]
    conv = brew.conv(
        model,
        data,
        "conv1",
        num_input_channels,
        filters[0],
        weight_init=("MSRAFill", {}),
        kernel=conv1_kernel,
        stride=conv1_stride,
        pad=3,
        no_bias=no_bias,
    )
    normalized = brew.spatial_bn(
        model,
        conv,
        "conv1_spatbn_relu",
        filters[0],
        epsilon=bn_epsilon,
        momentum=bn_momentum,
        is_test=is_test,
    )
    relu = brew.relu(model, normalized, normalized)
    pooled = brew.max_pool(model, relu, "pool1", kernel=3, stride=2, pad=1)
    # the blocks have the usual epsilon and momentum, whatever is asked for
    builder = ResNetBuilder(model, pooled, no_bias=no_bias, is_test=is_test, bn_epsilon=1e-5, bn_momentum=0.9)
    inner = num_groups * num_width_per_group
    for stage, blocks in enumerate(RESNEXT_BLOCK_CONFIG[num_layers]):
        dim = filters[stage]
        for block in range(blocks):
            stride = RESNEXT_STRIDES[stage] if block == 0 else 1
            dim = builder.add_bottleneck(dim, inner, filters[stage + 1], stride=stride, group=num_groups)
        inner *= 2
    average = brew.average_pool(
        model, builder.prev_blob, "final_avg", kernel=final_avg_kernel, stride=1, global_pooling=True
    )
    last = brew.fc(model, average, f"last_out_L{num_labels}", filters[-1], num_labels)
    if no_loss:
        return last
    if label is None:
        return brew.softmax(model, last, "softmax")
    softmax, loss = model.SoftmaxWithLoss([last, label], ["softmax", "loss"])
    return softmax, loss


def create_resnet50(
    model: Any,
    data: Any,
    num_input_channels: int,
    num_labels: int,
    label: Any = None,
    is_test: bool = False,
    no_loss: bool = False,
    no_bias: int = 0,
    conv1_kernel: int = 7,
    conv1_stride: int = 2,
    final_avg_kernel: int = 7,
) -> Any:
    """`create_resnext` with 50 layers and one group of 64 maps."""
    return create_resnext(
        model,
        data,
        num_input_channels,
        num_labels,
        num_layers=50,
        num_groups=1,
        num_width_per_group=64,
        label=label,
        is_test=is_test,
        no_loss=no_loss,
        no_bias=no_bias,
        conv1_kernel=conv1_kernel,
        conv1_stride=conv1_stride,
        final_avg_kernel=final_avg_kernel,
    )
