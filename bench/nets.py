"""Nets that benchmarks share, as Caffe prototxts, and the same nets for PyTorch and ONNX Runtime.

SqueezeNet 1.1 (Iandola et al., arXiv 1602.07360), ResNets (He et al., arXiv 1512.03385), CaffeNet (Krizhevsky et al.,
2012, as BVLC trained it), VGG-16, GoogLeNet, both MobileNets and a fully convolutional net, with random weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_HE = 'weight_filler { type: "msra" }'
#: squeezed and expanded channels of SqueezeNet's fire modules; "pool": a pooling between them
_FIRES: tuple[tuple[int, int] | str, ...] = (
    *((16, 64), (16, 64), "pool"),
    *((32, 128), (32, 128), "pool"),
    *((48, 192), (48, 192), (64, 256), (64, 256)),
)
#: blocks of the ResNets' stages, whose narrow channels are 64, 128, 256 and 512
_STAGES = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
#: of MobileNet v2's stages: by how much blocks widen, outputs, blocks, stride of the first
_INVERTED = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
#: convolutions and channels of VGG-16's stages
_VGG = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


@dataclass
class Text:
    """Layers as prototxt text, and the blob that the last one made."""

    train: bool
    layers: list[str] = field(default_factory=list)
    blob: str = "data"

    def add(
        self, name: str, type: str, more: str = "", bottom: str | list[str] | None = None, top: str = ""
    ) -> str:
        """Append a layer; its top is ``name`` unless said otherwise, its bottom the last blob."""
        bottoms = [bottom or self.blob] if not isinstance(bottom, list) else bottom
        self.blob = top or name
        read = " ".join(f'bottom: "{b}"' for b in bottoms)
        self.layers.append(f'layer {{ name: "{name}" type: "{type}" {read} top: "{self.blob}" {more} }}\n')
        return self.blob

    def conv(self, name: str, outputs: int, kernel: int, bottom: str | None = None, **args: int | str) -> str:
        """A convolution."""
        given = " ".join(f"{k}: {v}" for k, v in args.items())
        more = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {given} {_HE} }}"
        return self.add(name, "Convolution", more, bottom)

    def deconv(self, name: str, outputs: int, kernel: int, stride: int) -> str:
        """A deconvolution, each channel by itself, as nets for segmentation enlarge their scores."""
        given = (
            f"num_output: {outputs} group: {outputs} kernel_size: {kernel} stride: {stride} bias_term: false"
        )
        more = f'convolution_param {{ {given} weight_filler {{ type: "bilinear" }} }}'
        return self.add(name, "Deconvolution", more)

    def relu(self) -> None:
        """A rectifier in place."""
        self.add(f"{self.blob}_relu", "ReLU", top=self.blob)

    def normal(self) -> None:
        """Batch normalisation and scale in place, as nets trained with Caffe have them."""
        self.add(f"{self.blob}_bn", "BatchNorm", top=self.blob)
        self.add(f"{self.blob}_scale", "Scale", "scale_param { bias_term: true }", top=self.blob)

    def pool(self, name: str, method: str, kernel: int, stride: int, pad: int = 0) -> None:
        """Pooling."""
        more = f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
        self.add(name, "Pooling", more)

    def global_pool(self, name: str) -> None:
        """The mean of each channel."""
        self.add(name, "Pooling", "pooling_param { pool: AVE global_pooling: true }")

    def fc(self, name: str, outputs: int) -> None:
        """A fully connected layer."""
        filler = 'weight_filler { type: "gaussian" std: 0.01 }'
        self.add(name, "InnerProduct", f"inner_product_param {{ num_output: {outputs} {filler} }}")

    def text(self, name: str, batch: int, size: int) -> str:
        """The prototxt: fed through ``data``, ending in ``prob``; to train, from memory, ending in ``loss``."""
        if self.train:
            head = (
                'layer { name: "data" type: "MemoryData" top: "data" top: "label" memory_data_param '
                f"{{ batch_size: {batch} channels: 3 height: {size} width: {size} }} }}\n"
            )
            self.add("loss", "SoftmaxWithLoss", bottom=[self.blob, "label"])
        else:
            shape = " ".join(f"dim: {n}" for n in (batch, 3, size, size))
            head = (
                f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}\n'
            )
            self.add("prob", "Softmax")
        return f'name: "{name}"\n{head}{"".join(self.layers)}'


def squeezenet(batch: int, train: bool = False) -> str:
    """SqueezeNet 1.1: data (N, 3, 227, 227) to 1000 classes."""
    net = Text(train)
    net.conv("conv1", 64, 3, stride=2)
    net.relu()
    net.pool("pool1", "MAX", 3, 2)
    number = 2
    for entry in _FIRES:
        if isinstance(entry, str):
            net.pool(f"pool{number - 1}", "MAX", 3, 2)
            continue
        name = f"fire{number}"
        small = net.conv(f"{name}/squeeze1x1", entry[0], 1)
        net.relu()
        parts = []
        for kernel in (1, 3):
            parts.append(
                net.conv(f"{name}/expand{kernel}x{kernel}", entry[1], kernel, small, pad=kernel // 2)
            )
            net.relu()
        net.add(f"{name}/concat", "Concat", bottom=parts)
        number += 1
    net.conv("conv10", 1000, 1)
    net.relu()
    net.global_pool("pool10")
    return net.text("SqueezeNet 1.1", batch, 227)


def resnet50(batch: int, train: bool = False) -> str:
    """ResNet-50: data (N, 3, 224, 224) to 1000 classes; the stride is in the first 1 x 1 convolution, as in Caffe's."""
    return _resnet(50, batch, train)


def resnet101(batch: int, train: bool = False) -> str:
    """ResNet-101, as ResNet-50."""
    return _resnet(101, batch, train)


def resnet18(batch: int, train: bool = False) -> str:
    """ResNet-18: blocks of two 3 x 3 convolutions."""
    return _resnet(18, batch, train)


def _resnet(depth: int, batch: int, train: bool) -> str:
    net = Text(train)
    net.conv("conv1", 64, 7, stride=2, pad=3, bias_term="false")
    net.normal()
    net.relu()
    net.pool("pool1", "MAX", 3, 2)
    for stage, blocks in enumerate(_STAGES[depth]):
        for block in range(blocks):
            name = f"res{stage + 2}{chr(ord('a') + block)}"
            _block(net, name, 64 << stage, 2 if stage and not block else 1, not block, depth > 18)
    net.global_pool("pool5")
    net.fc("fc1000", 1000)
    return net.text(f"ResNet-{depth}", batch, 224)


def _block(net: Text, name: str, narrow: int, stride: int, changes: bool, bottleneck: bool) -> None:
    start = net.blob
    short = start
    wide = 4 * narrow if bottleneck else narrow
    if changes:
        short = net.conv(f"{name}_branch1", wide, 1, stride=stride, bias_term="false")
        net.normal()
    parts = [(narrow, 1, stride), (narrow, 3, 1), (wide, 1, 1)]
    if not bottleneck:
        parts = [(narrow, 3, stride), (narrow, 3, 1)]
    for part, (outputs, kernel, step) in zip("abc", parts, strict=False):
        source = start if part == "a" else net.blob
        net.conv(
            f"{name}_branch2{part}", outputs, kernel, source, stride=step, pad=kernel // 2, bias_term="false"
        )
        net.normal()
        if part != "abc"[len(parts) - 1]:
            net.relu()
    net.add(name, "Eltwise", bottom=[short, net.blob])
    net.relu()


def caffenet(batch: int, train: bool = False) -> str:
    """CaffeNet: data (N, 3, 227, 227) to 1000 classes."""
    net = Text(train)
    norm = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
    net.conv("conv1", 96, 11, stride=4)
    net.relu()
    net.pool("pool1", "MAX", 3, 2)
    net.add("norm1", "LRN", norm)
    net.conv("conv2", 256, 5, pad=2, group=2)
    net.relu()
    net.pool("pool2", "MAX", 3, 2)
    net.add("norm2", "LRN", norm)
    for number, outputs, groups in ((3, 384, 1), (4, 384, 2), (5, 256, 2)):
        net.conv(f"conv{number}", outputs, 3, pad=1, group=groups)
        net.relu()
    net.pool("pool5", "MAX", 3, 2)
    for number in (6, 7):
        net.fc(f"fc{number}", 4096)
        net.relu()
        net.add(f"drop{number}", "Dropout", "dropout_param { dropout_ratio: 0.5 }", top=net.blob)
    net.fc("fc8", 1000)
    return net.text("CaffeNet", batch, 227)


#: channels of GoogLeNet's inceptions: 1 x 1; before and of 3 x 3; before and of 5 x 5; behind the pooling
_INCEPTIONS: tuple[tuple[int, ...] | str, ...] = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    "pool",
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    "pool",
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)


def googlenet(batch: int, train: bool = False) -> str:
    """GoogLeNet (Szegedy et al., arXiv 1409.4842), no side branches: data (N, 3, 224, 224) to 1000 classes."""
    net = Text(train)
    norm = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
    net.conv("conv1", 64, 7, stride=2, pad=3)
    net.relu()
    net.pool("pool1", "MAX", 3, 2)
    net.add("norm1", "LRN", norm)
    net.conv("conv2_reduce", 64, 1)
    net.relu()
    net.conv("conv2", 192, 3, pad=1)
    net.relu()
    net.add("norm2", "LRN", norm)
    net.pool("pool2", "MAX", 3, 2)
    for number, entry in enumerate(_INCEPTIONS):
        if isinstance(entry, str):
            net.pool(f"pool{number + 1}", "MAX", 3, 2)
        else:
            _inception(net, f"inception{number}", *entry)
    net.global_pool("pool5")
    net.fc("fc", 1000)
    return net.text("GoogLeNet", batch, 224)


def _inception(
    net: Text, name: str, one: int, to3: int, three: int, to5: int, five: int, pooled: int
) -> None:
    source, parts = net.blob, []
    for window, before, outputs in ((1, 0, one), (3, to3, three), (5, to5, five)):
        start = source
        if before:
            start = net.conv(f"{name}_{window}x{window}_reduce", before, 1, source)
            net.relu()
        parts.append(net.conv(f"{name}_{window}x{window}", outputs, window, start, pad=window // 2))
        net.relu()
    net.blob = source
    net.pool(f"{name}_pool", "MAX", 3, 1, 1)
    parts.append(net.conv(f"{name}_pool_proj", pooled, 1))
    net.relu()
    net.add(f"{name}_output", "Concat", bottom=parts)


def mobilenet(batch: int, train: bool = False) -> str:
    """MobileNet (Howard et al., arXiv 1704.04861): data (N, 3, 224, 224) to 1000 classes."""
    net = Text(train)
    net.conv("conv1", 32, 3, stride=2, pad=1, bias_term="false")
    net.normal()
    net.relu()
    channels = 32
    wide = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
    for number, (outputs, stride) in enumerate(wide, 2):
        net.conv(f"conv{number}_dw", channels, 3, stride=stride, pad=1, group=channels, bias_term="false")
        net.normal()
        net.relu()
        net.conv(f"conv{number}_sep", outputs, 1, bias_term="false")
        net.normal()
        net.relu()
        channels = outputs
    net.global_pool("pool")
    net.fc("fc", 1000)
    return net.text("MobileNet", batch, 224)


def mobilenet2(batch: int, train: bool = False) -> str:
    """MobileNet v2 (Sandler et al., arXiv 1801.04381): data (N, 3, 224, 224) to 1000 classes."""
    net = Text(train)
    net.conv("conv1", 32, 3, stride=2, pad=1, bias_term="false")
    net.normal()
    net.relu()
    channels = 32
    for stage, (wider, outputs, blocks, stride) in enumerate(_INVERTED, 2):
        for block in range(blocks):
            name, start, inner = f"conv{stage}_{block + 1}", net.blob, wider * channels
            if wider > 1:
                net.conv(f"{name}/expand", inner, 1, bias_term="false")
                net.normal()
                net.relu()
            step = 1 if block else stride
            net.conv(f"{name}/dw", inner, 3, stride=step, pad=1, group=inner, bias_term="false")
            net.normal()
            net.relu()
            made = net.conv(f"{name}/linear", outputs, 1, bias_term="false")
            net.normal()
            if block:
                net.add(f"{name}/sum", "Eltwise", bottom=[start, made])
            channels = outputs
    net.conv("conv9", 1280, 1, bias_term="false")
    net.normal()
    net.relu()
    net.global_pool("pool")
    net.fc("fc", 1000)
    return net.text("MobileNet v2", batch, 224)


def _vgg(net: Text, tap: int | None = None) -> str | None:
    """The convolutions of VGG-16; the blob of one of the stages."""
    found = None
    for stage, (convolutions, outputs) in enumerate(_VGG, 1):
        for number in range(1, convolutions + 1):
            net.conv(f"conv{stage}_{number}", outputs, 3, pad=1)
            net.relu()
        net.pool(f"pool{stage}", "MAX", 2, 2)
        found = net.blob if stage == tap else found
    return found


def vgg16(batch: int, train: bool = False) -> str:
    """VGG-16 (Simonyan and Zisserman, arXiv 1409.1556): data (N, 3, 224, 224) to 1000 classes."""
    net = Text(train)
    _vgg(net)
    for number in (6, 7):
        net.fc(f"fc{number}", 4096)
        net.relu()
        net.add(f"drop{number}", "Dropout", top=net.blob)
    net.fc("fc8", 1000)
    return net.text("VGG-16", batch, 224)


def fcn16(batch: int, train: bool = False) -> str:
    """Fully convolutional (Long et al., arXiv 1411.4038), on VGG-16: data (N, 3, 256, 256) to 21 classes a pixel."""
    net = Text(train)
    tap = _vgg(net, 4)
    net.conv("fc6", 512, 3, pad=1)
    net.relu()
    net.conv("score", 21, 1)
    last = net.deconv("upscore2", 21, 4, 2)
    net.conv("score_pool4", 21, 1, tap)
    cropped = net.add("score_pool4c", "Crop", "crop_param { axis: 2 offset: 0 }", bottom=[last, net.blob])
    net.add("fuse", "Eltwise", bottom=[cropped, "score_pool4"])
    last = net.deconv("upscore16", 21, 32, 16)
    net.add("score_all", "Crop", "crop_param { axis: 2 offset: 8 }", bottom=[last, "data"])
    return net.text("FCN-16s", batch, 256)


NETS = {
    "squeezenet": squeezenet,
    "resnet50": resnet50,
    "caffenet": caffenet,
    "googlenet": googlenet,
    "mobilenet": mobilenet,
    "mobilenet2": mobilenet2,
    "resnet18": resnet18,
    "resnet101": resnet101,
    "vgg16": vgg16,
    "fcn16": fcn16,
}
