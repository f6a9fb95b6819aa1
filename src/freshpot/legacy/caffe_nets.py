"""Descriptions of the nets that Caffe's notebooks load from its folder, for a machine without that folder.

CaffeNet (Krizhevsky et al. 2012, with pooling before normalisation), GoogLeNet (Szegedy et al., arXiv 1409.4842) and
LeNet with its solver, under the names that programs use for layers and blobs.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["FILES"]


def _layer(kind: str, name: str, bottoms: str, tops: str, more: str = "") -> str:
    ends = [f'bottom: "{blob}"' for blob in bottoms.split()] + [f'top: "{blob}"' for blob in tops.split()]
    return (
        "\n  ".join([f'layer {{\n  name: "{name}" type: "{kind}"', " ".join(ends), *more.splitlines()])
        + "\n}\n"
    )


def _input(channels: int, size: int) -> str:
    shape = f"input_param {{ shape {{ dim: 10 dim: {channels} dim: {size} dim: {size} }} }}"
    return _layer("Input", "data", "", "data", shape)


def _conv(name: str, bottom: str, outputs: int, kernel: int, more: str = "", relu: str = "") -> str:
    """A convolution and its rectifier."""
    param = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {more} }}"
    relu = relu or "{}/relu_{}".format(*name.removesuffix("_s2").split("/"))
    return _layer("Convolution", name, bottom, name, param) + _layer("ReLU", relu, name, name)


def _pool(name: str, bottom: str, kernel: int, stride: int, more: str = "pool: MAX") -> str:
    param = f"pooling_param {{ {more} kernel_size: {kernel} stride: {stride} }}"
    return _layer("Pooling", name, bottom, name, param)


def _norm(name: str, bottom: str) -> str:
    return _layer("LRN", name, bottom, name, "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")


def _full(name: str, bottom: str, outputs: int) -> str:
    return _layer("InnerProduct", name, bottom, name, f"inner_product_param {{ num_output: {outputs} }}")


def _caffenet() -> str:
    text = 'name: "CaffeNet"\n' + _input(3, 227)
    text += _conv("conv1", "data", 96, 11, "stride: 4", "relu1") + _pool("pool1", "conv1", 3, 2)
    text += _norm("norm1", "pool1") + _conv("conv2", "norm1", 256, 5, "pad: 2 group: 2", "relu2")
    text += _pool("pool2", "conv2", 3, 2) + _norm("norm2", "pool2")
    text += _conv("conv3", "norm2", 384, 3, "pad: 1", "relu3")
    text += _conv("conv4", "conv3", 384, 3, "pad: 1 group: 2", "relu4")
    text += _conv("conv5", "conv4", 256, 3, "pad: 1 group: 2", "relu5") + _pool("pool5", "conv5", 3, 2)
    for number, bottom in ((6, "pool5"), (7, "fc6")):
        name = f"fc{number}"
        text += _full(name, bottom, 4096) + _layer("ReLU", f"relu{number}", name, name)
        text += _layer("Dropout", f"drop{number}", name, name, "dropout_param { dropout_ratio: 0.5 }")
    return text + _full("fc8", "fc7", 1000) + _layer("Softmax", "prob", "fc8", "prob")


#: name of an inception module -> outputs of 1x1, 3x3 (reduced, full), 5x5 (reduced, full), behind the pooling
_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _inception(module: str, bottom: str) -> str:
    one, less3, three, less5, five, behind = _INCEPTIONS[module]
    at = f"inception_{module}/"
    text = _conv(f"{at}1x1", bottom, one, 1) + _conv(f"{at}3x3_reduce", bottom, less3, 1)
    text += _conv(f"{at}3x3", f"{at}3x3_reduce", three, 3, "pad: 1")
    text += _conv(f"{at}5x5_reduce", bottom, less5, 1)
    text += _conv(f"{at}5x5", f"{at}5x5_reduce", five, 5, "pad: 2")
    text += _pool(f"{at}pool", bottom, 3, 1, "pool: MAX pad: 1")
    text += _conv(f"{at}pool_proj", f"{at}pool", behind, 1)
    parts = " ".join(at + part for part in ("1x1", "3x3", "5x5", "pool_proj"))
    return text + _layer("Concat", f"{at}output", parts, f"{at}output")


def _googlenet() -> str:
    text = 'name: "GoogleNet"\n' + _input(3, 224)
    text += _conv("conv1/7x7_s2", "data", 64, 7, "pad: 3 stride: 2")
    text += _pool("pool1/3x3_s2", "conv1/7x7_s2", 3, 2) + _norm("pool1/norm1", "pool1/3x3_s2")
    text += _conv("conv2/3x3_reduce", "pool1/norm1", 64, 1)
    text += _conv("conv2/3x3", "conv2/3x3_reduce", 192, 3, "pad: 1")
    text += _norm("conv2/norm2", "conv2/3x3") + _pool("pool2/3x3_s2", "conv2/norm2", 3, 2)
    bottom = "pool2/3x3_s2"
    for module in _INCEPTIONS:
        text += _inception(module, bottom)
        bottom = f"inception_{module}/output"
        if module in ("3b", "4e"):
            pool = f"pool{int(module[0])}/3x3_s2"
            text += _pool(pool, bottom, 3, 2)
            bottom = pool
    text += _pool("pool5/7x7_s1", bottom, 7, 1, "pool: AVE")
    text += _layer(
        "Dropout", "pool5/drop_7x7_s1", "pool5/7x7_s1", "pool5/7x7_s1", "dropout_param { dropout_ratio: 0.4 }"
    )
    return (
        text
        + _full("loss3/classifier", "pool5/7x7_s1", 1000)
        + _layer("Softmax", "prob", "loss3/classifier", "prob")
    )


_RATES = "param { lr_mult: 1 }\nparam { lr_mult: 2 }\n"


def _lenet_body() -> str:
    fill = 'weight_filler { type: "xavier" } bias_filler { type: "constant" }'
    text, bottom = "", "data"
    for number, outputs in ((1, 20), (2, 50)):
        param = f"{_RATES}convolution_param {{ num_output: {outputs} kernel_size: 5 {fill} }}"
        text += _layer("Convolution", f"conv{number}", bottom, f"conv{number}", param)
        bottom = f"pool{number}"
        text += _pool(bottom, f"conv{number}", 2, 2)
    for name, below, outputs in (("ip1", "pool2", 500), ("ip2", "ip1", 10)):
        param = f"{_RATES}inner_product_param {{ num_output: {outputs} {fill} }}"
        text += _layer("InnerProduct", name, below, name, param)
        text += _layer("ReLU", "relu1", "ip1", "ip1") if name == "ip1" else ""
    return text


def _lenet_train_test() -> str:
    text = 'name: "LeNet"\n'
    for phase, batch in (("train", 64), ("test", 100)):
        param = f"include {{ phase: {phase.upper()} }}\ntransform_param {{ scale: 0.00390625 }}\n"
        param += (
            f'data_param {{ source: "examples/mnist/mnist_{phase}_lmdb" batch_size: {batch} backend: LMDB }}'
        )
        text += _layer("Data", "mnist", "", "data label", param)
    text += _lenet_body() + _layer("Accuracy", "accuracy", "ip2 label", "accuracy", "include { phase: TEST }")
    return text + _layer("SoftmaxWithLoss", "loss", "ip2 label", "loss")


def _lenet() -> str:
    shape = "input_param { shape { dim: 64 dim: 1 dim: 28 dim: 28 } }"
    return (
        'name: "LeNet"\n'
        + _layer("Input", "data", "", "data", shape)
        + _lenet_body()
        + _layer("Softmax", "prob", "ip2", "prob")
    )


def _lenet_solver() -> str:
    return """net: "examples/mnist/lenet_train_test.prototxt"
test_iter: 100 test_interval: 500
base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005
lr_policy: "inv" gamma: 0.0001 power: 0.75
display: 100 max_iter: 10000
snapshot: 5000 snapshot_prefix: "examples/mnist/lenet"
solver_mode: CPU
"""


#: path in Caffe's folder -> what writes it
FILES: dict[str, Callable[[], str]] = {
    "models/bvlc_reference_caffenet/deploy.prototxt": _caffenet,
    "models/bvlc_googlenet/deploy.prototxt": _googlenet,
    "examples/mnist/lenet.prototxt": _lenet,
    "examples/mnist/lenet_train_test.prototxt": _lenet_train_test,
    "examples/mnist/lenet_solver.prototxt": _lenet_solver,
}
