"""Old nets and solvers become what the original's upgrade tools make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from freshpot.errors import FormatError
from freshpot.formats import caffemodel, protobuf
from freshpot.formats.caffe_text import read_net_text, strange_fields
from freshpot.formats.caffe_upgrade import layer_origins, net_needs_upgrade, upgrade_net, upgrade_solver
from freshpot.formats.prototxt import TextMessage, format_prototxt, parse_prototxt

PB = protobuf.load("caffe")
FOLDER = Path("reference/caffe/files/upgrade")
NETS = ["v0", "v1", "input_fields", "batchnorm_params"]
SOLVERS = ["sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"]


def net(text: str) -> Any:
    return parse_prototxt(text, PB.NetParameter()).message


@pytest.mark.parametrize("name", NETS)
def test_text_nets(shared: Path, name: str) -> None:
    old = net((shared / FOLDER / f"{name}.prototxt").read_text())
    assert net_needs_upgrade(old)
    assert upgrade_net(old)
    assert old == net((shared / FOLDER / f"{name}.upgraded.prototxt").read_text())
    assert net_needs_upgrade(old) == (name == "batchnorm_params")  # as the original: three params stay three


def test_binary_net(shared: Path) -> None:
    old = caffemodel.read_binary_net(shared / FOLDER / "v1.caffemodel")
    assert upgrade_net(old)
    wanted = (shared / FOLDER / "v1.upgraded.caffemodel").read_bytes()
    assert old == protobuf.parse_message(PB.NetParameter, wanted)
    assert len(old.SerializeToString()) == len(wanted)


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers(shared: Path, name: str) -> None:
    old = parse_prototxt(
        (shared / FOLDER / f"solver_{name}.prototxt").read_text(), PB.SolverParameter()
    ).message
    assert upgrade_solver(old)
    wanted = (shared / FOLDER / f"solver_{name}.upgraded.prototxt").read_text()
    assert old == parse_prototxt(wanted, PB.SolverParameter()).message
    assert not upgrade_solver(old)


def test_a_solver_with_both_types() -> None:
    both = PB.SolverParameter(type="SGD", solver_type=0)
    with pytest.raises(
        FormatError, match=r"s\.prototxt: the solver gives both the old field solver_type and"
    ):
        upgrade_solver(both, "s.prototxt")


#: type, field with value -> where it stands now
V0_FIELDS = [
    ("conv", "num_output: 3", "convolution_param { num_output: 3 }"),
    ("conv", "biasterm: false kernelsize: 5 pad: 2 stride: 3 group: 2",
     "convolution_param { bias_term: false kernel_size: 5 pad: 2 stride: 3 group: 2 }"),
    ("conv", 'weight_filler { type: "xavier" } bias_filler { value: 1 }',
     'convolution_param { weight_filler { type: "xavier" } bias_filler { value: 1 } }'),
    ("innerproduct", "num_output: 4 biasterm: true", "inner_product_param { num_output: 4 bias_term: true }"),
    ("pool", "pool: AVE kernelsize: 3 stride: 2 pad: 1",
     "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
    ("dropout", "dropout_ratio: 0.25", "dropout_param { dropout_ratio: 0.25 }"),
    ("lrn", "local_size: 3 alpha: 2 beta: 0.5 k: 2", "lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 2 }"),
    ("concat", "concat_dim: 2", "concat_param { concat_dim: 2 }"),
    ("data", 'source: "db" batchsize: 7 rand_skip: 2', 'data_param { source: "db" batch_size: 7 rand_skip: 2 }'),
    ("data", 'scale: 0.5 meanfile: "m" cropsize: 9 mirror: true',
     'transform_param { scale: 0.5 mean_file: "m" crop_size: 9 mirror: true }'),
    ("images", 'source: "l" shuffle_images: true new_height: 8 new_width: 9',
     'image_data_param { source: "l" shuffle: true new_height: 8 new_width: 9 }'),
    ("window_data",
     'det_fg_threshold: 0.4 det_bg_threshold: 0.3 det_fg_fraction: 0.2 det_context_pad: 1 det_crop_mode: "square"',
     'window_data_param { fg_threshold: 0.4 bg_threshold: 0.3 fg_fraction: 0.2 context_pad: 1 crop_mode: "square" }'),
    ("hdf5_data", 'source: "h" batchsize: 3', 'hdf5_data_param { source: "h" batch_size: 3 }'),
    ("hdf5_output", 'hdf5_output_param { file_name: "o" }', 'hdf5_output_param { file_name: "o" }'),
    ("infogain_loss", 'source: "i"', 'infogain_loss_param { source: "i" }'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "new"), V0_FIELDS)
def test_v0_fields(kind: str, old: str, new: str) -> None:
    made = net(f'layers {{ layer {{ name: "x" type: "{kind}" {old} }} }}')
    assert upgrade_net(made)
    wanted = parse_prototxt(new, PB.LayerParameter()).message
    wanted.name, wanted.type = "x", made.layer[0].type
    assert made.layer[0] == wanted


V0_TYPES = {
    "accuracy": "Accuracy", "bnll": "BNLL", "concat": "Concat", "conv": "Convolution", "data": "Data",
    "dropout": "Dropout", "euclidean_loss": "EuclideanLoss", "flatten": "Flatten", "hdf5_data": "HDF5Data",
    "hdf5_output": "HDF5Output", "im2col": "Im2col", "images": "ImageData", "infogain_loss": "InfogainLoss",
    "innerproduct": "InnerProduct", "lrn": "LRN", "multinomial_logistic_loss": "MultinomialLogisticLoss",
    "pool": "Pooling", "relu": "ReLU", "sigmoid": "Sigmoid", "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss", "split": "Split", "tanh": "TanH", "window_data": "WindowData",
}  # fmt: skip
V1_TYPES = {
    "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DATA": "Data",
    "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss", "ELTWISE": "Eltwise", "EXP": "Exp", "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN",
    "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SILENCE": "Silence", "SLICE": "Slice",
    "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "TANH": "TanH",
    "THRESHOLD": "Threshold", "WINDOW_DATA": "WindowData",
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), V0_TYPES.items())
def test_v0_types(old: str, new: str) -> None:
    made = net(f'layers {{ layer {{ name: "x" type: "{old}" }} }}')
    assert upgrade_net(made)
    assert made.layer[0].type == new


@pytest.mark.parametrize("old", [n for n in PB.V1LayerParameter.LayerType.keys() if n != "NONE"])  # noqa: SIM118
def test_v1_types(old: str) -> None:
    made = net(f'layers {{ name: "x" type: {old} }}')
    assert upgrade_net(made)
    assert made.layer[0].type == V1_TYPES[old]


def test_v1_parameter_specs() -> None:
    made = net('layers { name: "x" type: CONVOLUTION param: "w" param: "b" blob_share_mode: PERMISSIVE '
               "blobs_lr: 1 blobs_lr: 2 weight_decay: 3 weight_decay: 0 }")  # fmt: skip
    assert upgrade_net(made)
    wanted = """name: "x" type: "Convolution"
        param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 3 }
        param { name: "b" lr_mult: 2 decay_mult: 0 }"""
    assert made.layer[0] == parse_prototxt(wanted, PB.LayerParameter()).message


def test_padding_layers_are_folded() -> None:
    made = read_net_text("""
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 1 kernelsize: 3 } bottom: "padded" top: "conv" }
input: "data" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
""")
    layers = made.message.layer
    assert [layer.name for layer in layers] == ["input", "conv"]
    assert list(layers[1].bottom) == ["data"]
    assert list(layers[1].convolution_param.pad) == [2]
    assert [made.line_of("layer", i) for i in range(2)] == [None, 3]


# ---- what is refused ------------------------------------------------------------------------------

REFUSED = [
    ('layers { name: "a" type: RELU }\nlayer { name: "b" type: "ReLU" }',
     "n.prototxt: line 2: the net has both 'layer' and 'layers' fields"),
    ('layers { layer { name: "a" type: "conv" } }\nlayers { layer { name: "b" type: "conf" } }\n'
     'layers { layer { name: "c" type: "poole" } }',
     "n.prototxt: line 2: layer 'b': there was never a V0 layer type 'conf'. Did you mean conv, concat?\n"
     "  line 3: layer 'c': there was never a V0 layer type 'poole'. Did you mean pool?"),
    ('layers { layer { name: "a" type: "relu" }\n bottom: "nowhere" }',
     "n.prototxt: line 1: layer 'a' reads 'nowhere', which no earlier layer makes."),
    ('input: "d"\nlayers { layer { name: "p" type: "padding" } bottom: "d" top: "q" }\n'
     'layers { layer { name: "r" type: "relu" } bottom: "q" }',
     "n.prototxt: line 3: padding layer 'p' must feed one convolution or pooling layer and have one bottom; "
     "it feeds 'r' (relu)."),
    ('\ninput: "a" input: "b" input_dim: 1 input_dim: 1',
     "n.prototxt: line 2: 2 inputs need 2 input_shape fields or 8 input_dim fields; there are 0 and 2."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_refused(text: str, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_net_text(text, "n.prototxt")
    assert str(caught.value).startswith(words)


def test_what_cannot_be_carried_over_is_said() -> None:
    said: list[tuple[int, str]] = []
    made = net('layers { layer { name: "x" type: "relu" num_output: 3 } }')
    assert not upgrade_net(made, "old.prototxt", lambda severity, words: said.append((severity, words)))
    assert (2, "Unknown parameter num_output for layer type relu") in said
    assert said[0] == (
        0, "Attempting to upgrade input file specified using deprecated V0LayerParameter: old.prototxt"
    )  # fmt: skip


# ---- lines and unknown fields ---------------------------------------------------------------------


def lines(made: TextMessage) -> list[int | None]:
    return [made.line_of("layer", i) for i in range(len(made.message.layer))]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('layer { name: "a" }\nlayer { name: "b" }', [1, 2]),
        ('input: "x" input_shape { dim: 1 }\nlayer { name: "a" }\n\nlayer { name: "b" }', [None, 2, 4]),
        ('layers { name: "a" type: RELU }\nlayers { name: "b" type: RELU }', [1, 2]),
        ('input: "x"\nlayer { name: "a" }', [2]),
    ],
)
def test_lines_after_an_upgrade(text: str, wanted: list[int | None]) -> None:
    made = read_net_text(text)
    assert lines(made) == wanted


def test_origins_agree_with_the_upgrade(shared: Path) -> None:
    for name in NETS:
        old = net((shared / FOLDER / f"{name}.prototxt").read_text())
        origins = layer_origins(old)
        upgrade_net(old)
        assert len(origins) == len(old.layer)


#: text -> the unknown fields as they stand after the upgrade, and how they are written
KEPT = [
    ('layer { name: "a" type: "ReLU" spin: 3 }', ["line 1: layer.0.spin"], "spin: 3"),
    ('layers { name: "a" type: RELU relu_param { spin: UP } }', ["line 1: layer.0.relu_param.0.spin"], "spin: UP"),
    ('input: "x" input_dim: [1, 1, 1, 1]\nlayers { name: "a" type: RELU spin { up: [1, 2] } }',
     ["line 2: layer.1.spin"], "spin {\n    up: 1\n    up: 2\n  }"),
    ('layers { layer { name: "a" type: "relu" spin: 1 } }', ["line 1: layer.0.spin"], "spin: 1"),
    ('layers { layer { name: "a" type: "conv" weight_filler { spin: 1 } } }', ["line 1: layer.0.weight_filler"],
     "weight_filler {\n    spin: 1\n  }"),
    ('input: "x" input_shape { dim: 1 spin: 2 }', ["line 1: input_shape"], "input_shape {\n  spin: 2\n}"),
    ('precision: FLOAT16\nlayer { name: "a" }', ["line 1: precision"], "precision: FLOAT16"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names", "written"), KEPT)
def test_unknown_fields_come_through(text: str, names: list[str], written: str) -> None:
    made = read_net_text(text)
    assert made.unknown_names() == names
    assert written in format_prototxt(made)


def test_fork_fields_with_a_present_meaning() -> None:
    for word, mode in (("true", "CEIL"), ("false", "FLOOR")):
        made = read_net_text(f'layer {{ name: "p" type: "Pooling" pooling_param {{ ceil_mode: {word} }} }}')
        pooling = made.message.layer[0].pooling_param
        assert pooling.RoundMode.Name(pooling.round_mode) == mode
        assert not made.unknown
    made = read_net_text('layers { name: "p" type: ROI_POOLING }')
    assert made.message.layer[0].type == "RoiPooling"


STRANGE = [
    ('layer { type: "Convolution" convolution_param {\n num_outptu: 3 } }', 0, 2, False,
     "'convolution_param' has no field 'num_outptu'. Did you mean num_output?"),
    ('layer { type: "Pooling" pooling_param { pool: MAXX } }', 0, 1, False,
     "'pooling_param.pool' has no value MAXX; there are MAX, AVE, STOCHASTIC. Did you mean MAX?"),
    ('\nlayer { type: "ReLU" bottem: "x" }', 0, 2, False,
     "LayerParameter has no field 'bottem'. Did you mean bottom?"),
    ('quick: true', None, 1, False, "NetParameter has no field 'quick'."),
    ('layer { name: "r" type: "ReLU" include { phase: RUN } }', None, 1, False,
     "layer 'r' (ReLU): 'include.phase' has no value RUN; there are TRAIN, TEST."),
    ('layer { type: "ReLU" relu_param { engine: MKL2017 } }', 0, 1, True,
     "'relu_param.engine' has no value MKL2017; there are DEFAULT, CAFFE, CUDNN."),
    ('layer { type: "ReLU" forward_type: FLOAT16 }', 0, 1, True, "LayerParameter has no field 'forward_type'."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "layer", "line", "hint", "message"), STRANGE)
def test_strange_fields_in_words(text: str, layer: int | None, line: int, hint: bool, message: str) -> None:
    (found,) = strange_fields(read_net_text(text))
    assert (found.layer, found.line, found.hint, found.message) == (layer, line, hint, message)
