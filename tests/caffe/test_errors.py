"""Where the original stops the process: a typed error with file, line, layer, and what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2
from freshpot.errors import (
    ArgumentError,
    ArityError,
    FormatError,
    FreshpotError,
    MissingBlobError,
    NameClashError,
    NetError,
    ShapeError,
    UnknownOperatorError,
)
from freshpot.formats import caffemodel

DATA = (
    'name: "n"\n'
    'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }\n'
)
CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
    "convolution_param { num_output: 4 kernel_size: 3 } }\n"
)
IP = 'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 } }\n'

#: net, error, and its words after "net 'n': FILE"
BAD_NETS: list[tuple[str, type[FreshpotError], str]] = [
    # wiring
    (DATA + 'layer { name: "r" type: "ReLU" bottom: "dta" top: "r" }', MissingBlobError,
     ":3: layer 'r' (ReLU): bottom 0 'dta' is not the top of any earlier layer. Did you mean data?"),
    (DATA + CONV + 'layer { name: "r" type: "ReLU" bottom: "later" top: "r" }\n'
     'layer { name: "p" type: "Power" bottom: "data" top: "later" }', MissingBlobError,
     ":4: layer 'r' (ReLU): bottom 0 'later' is not the top of any earlier layer."),
    (DATA + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }\n'
     'layer { name: "s" type: "Sigmoid" bottom: "data" top: "r" }', NameClashError,
     ":4: layer 's' (Sigmoid): top 0 'r' is made by an earlier layer too."),
    (DATA + 'layer { name: "r" type: "ReLU" bottom: "data" bottom: "data" top: "r" }', ArityError,
     ":3: layer 'r' (ReLU): takes 1 bottom blobs, got 2."),
    (DATA + 'layer { name: "r" type: "ReLU" bottom: "data" }', ArityError,
     ":3: layer 'r' (ReLU): takes 1 top blobs, got 0."),
    (DATA + 'layer { name: "e" type: "Eltwise" bottom: "data" top: "e" }', ArityError,
     ":3: layer 'e' (Eltwise): takes at least 2 bottom blobs, got 1."),
    # unknown layers and fields, all at once
    (DATA + 'layer { name: "c" type: "Convolutoin" bottom: "data" top: "c" }', UnknownOperatorError,
     "cannot run, a layer or field is unknown:\n  FILE:3: layer 'c' (Convolutoin): there is no layer type "
     "'Convolutoin'. Did you mean Convolution, Deconvolution"),
    (DATA + CONV.replace("num_output: 4", "num_output: 4\n num_outptu: 4")
     + 'layer { name: "q" type: "Quux" bottom: "nowhere" top: "q" }\nlayer { name: "r" type: "ReLU" spin: 1 }',
     UnknownOperatorError,
     "cannot run, 3 layers or fields are unknown:\n"
     "  FILE:4: layer 'conv' (Convolution): 'convolution_param' has no field 'num_outptu'. Did you mean num_output?\n"
     "  FILE:5: layer 'q' (Quux): there is no layer type 'Quux'.\n"
     "  FILE:6: layer 'r' (ReLU): LayerParameter has no field 'spin'."),
    (DATA + 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: MAXX kernel_size: 2 } }',
     ArgumentError,
     "cannot run, a layer or field is unknown:\n  FILE:3: layer 'p' (Pooling): 'pooling_param.pool' has no value "
     "MAXX; there are MAX, AVE, STOCHASTIC. Did you mean MAX?"),
    (DATA + "quantize: true", ArgumentError,
     "cannot run, a layer or field is unknown:\n  FILE:3: NetParameter has no field 'quantize'."),
    # layers of another age
    (DATA.replace("layer", "layers").replace('"Input"', "INPUTS"), UnknownOperatorError,
     "cannot run, a layer or field is unknown:\n  FILE:2: layer 'in' (Inputs): there is no layer type 'Inputs'. "
     "Did you mean Input?"),
    ('name: "n"\ninput: "data"\ninput_dim: [1, 3, 8, 8]\nlayers {\n name: "x" type: DENSE_CRF }\n'
     'layers { name: "y" type: ROI_POOLING }', UnknownOperatorError,
     "cannot run, 2 layers or fields are unknown:\n"
     "  FILE:4: layer 'x' (DenseCrf): there is no layer type 'DenseCrf'. DeepLab's branch of Caffe has it, BVLC Caffe "
     "not.\n"
     "  FILE:6: layer 'y' (RoiPooling): there is no layer type 'RoiPooling'. Did you mean ROIPooling, PSROIPooling, "
     "Pooling?\n  A layer type that is not there can be a class of yours: "),
    ('name: "n"\ninput: "data"\ninput_dim: [1, 3, 8, 8]\nlayers { name: "r" type: RELU bottom: "dat" top: "r" }',
     MissingBlobError, ":4: layer 'r' (ReLU): bottom 0 'dat' is not the top of any earlier layer. Did you mean data?"),
    # parameters
    (DATA + IP.replace("}\n", 'param { name: "w" } param {} param {} }\n'), ArityError,
     ":3: layer 'ip' (InnerProduct): has 2 parameters, and 3 'param' entries."),
    (DATA + IP.replace("}\n", 'param { name: "w" } }\n') + CONV.replace("}\n", 'param { name: "w" } }\n'), ShapeError,
     ":4: layer 'conv' (Convolution): cannot share parameter 'w' of layer 'ip': its shape is (5, 192), this layer "
     "needs (4, 3, 3, 3); share_mode STRICT needs equal shapes."),
    (DATA + IP.replace("}\n", 'param { name: "w" lr_mult: 1 } }\n')
     + IP.replace("}\n", 'param { name: "w" lr_mult: 2 } }\n').replace('"ip"', '"ip2"'), NetError,
     ":4: layer 'ip2' (InnerProduct): shared parameter 'w' has lr_mult 2 here and 1 in layer 'ip'."),
    (DATA + IP.replace("num_output: 5", 'num_output: 5 weight_filler { type: "xaver" }'), ArgumentError,
     ":3: layer 'ip' (InnerProduct): there is no filler 'xaver'; there are "),
    # options
    (DATA + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" propagate_down: [true, true] }', ArityError,
     ":3: layer 'r' (ReLU): propagate_down must be given for all 1 bottoms or none, got 2."),
    (DATA + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" loss_weight: [1, 2] }', ArityError,
     ":3: layer 'r' (ReLU): loss_weight must be given for all 1 tops or none, got 2."),
    (DATA + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" include { phase: TEST } exclude { phase: TRAIN } }',
     NetError, ":3: layer 'r' (ReLU): has both include and exclude rules; keep one kind."),
    # shapes
    (DATA.replace("dim: 8 }", "dim: 99999999999 }") + CONV, ShapeError, None),
    (DATA + IP.replace("num_output: 5", "num_output: 5 axis: 4"), ShapeError,
     ":3: layer 'ip' (InnerProduct): axis 4 is out of range for bottom 'data' (2, 3, 8, 8)."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "error", "words"), BAD_NETS)
def test_bad_nets(tmp_path: Path, text: str, error: type[FreshpotError], words: str | None) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with pytest.raises(error) as caught:
        caffe.Net(str(path), caffe.TEST)
    assert type(caught.value) is error
    said = str(caught.value)
    assert str(path) in said
    if words is not None:
        wanted = words.replace("FILE", str(path))
        assert said.startswith(f"net 'n': {path}{wanted}" if words.startswith(":") else f"net 'n': {wanted}")


TEXTS = [
    ('layer { name: "a', 'line 1: the string that begins with "a has no closing quote on its line'),
    ('name: "n"\nlayer {\n  name: "a"\n', "line 2: the message opened here is never closed with '}'"),
    ("layer { name: 3 }", "line 1: field 'name' must be text in quotes, found 3."),
    (
        'layer { type: "Clip"\n clip_param { } }',
        "line 2: required fields are missing: layer[0].clip_param.min, ",
    ),
    (
        'layers { name: "a" type: RELU }\nlayer { name: "b" }',
        "line 2: the net has both 'layer' and 'layers' fields.",
    ),
    ('name: "a"\x00', "offset 9: not a text file (is it a binary model? The net comes first: Net(prototxt, "),
    (
        "\n<!DOCTYPE html>\n<html lang=en>",
        "is a web page (HTML), not the file itself. Fetch it again, by the address",
    ),
    ("version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS, not the file itself."),
    (
        'net: "lenet.prototxt"\nbase_lr: 0.1\nlr_policy: "inv"',
        'is a solver, not a net: caffe.get_solver (or `caffe train --solver`) takes it; its net is the file "lenet.pro',
    ),
    (
        'base_lr: 0.1\nlr_policy: "inv"',
        "is a solver, not a net: caffe.get_solver (or `caffe train --solver`) takes it.",
    ),
]


@pytest.mark.parametrize(("text", "words"), TEXTS)
def test_texts_that_cannot_be_read(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        caffe.Net(str(path), caffe.TEST)
    assert str(caught.value).startswith(f"{path}: {words}")


def test_hints_of_forks_are_left_aside_aloud(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        DATA + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r"\n relu_param { engine: MKL2017 } }'
    )
    net = caffe.Net(str(path), caffe.TEST)
    assert net.outputs == ["r"]
    assert f"{path}:4: left aside: 'relu_param.engine' has no value MKL2017" in capfd.readouterr().err


# ---- weights --------------------------------------------------------------------------------------


@pytest.fixture
def net(tmp_path: Path) -> caffe.Net:
    (tmp_path / "net.prototxt").write_text(DATA + IP)
    return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def weights(path: Path, *shapes: tuple[int, ...], name: str = "ip") -> str:
    message = caffe_pb2.NetParameter()
    layer = message.layer.add(name=name, type="InnerProduct")
    for shape in shapes:
        caffemodel.fill_blob(layer.blobs.add(), np.ones(shape, np.float32))
    caffemodel.write_message(path, message)
    return str(path)


@pytest.mark.parametrize(
    ("shapes", "error", "words"),
    [
        ([(5, 192)], ArityError, "has 2 parameters, and 1 in FILE. To leave them out, rename the layer."),
        ([(5, 192), (5,), (5,)], ArityError, "has 2 parameters, and 3 in FILE."),
        (
            [(5, 191), (5,)],
            ShapeError,
            "parameter 0 has shape (5, 192), and (5, 191) in FILE. To train it from scratch,",
        ),
        ([(5, 192), (1, 5)], ShapeError, "parameter 1 has shape (5,), and (1, 5) in FILE."),
    ],
)
def test_weights_that_do_not_fit(
    tmp_path: Path, net: caffe.Net, shapes: Any, error: type[FreshpotError], words: str
) -> None:
    file = weights(tmp_path / "w.caffemodel", *shapes)
    with pytest.raises(error) as caught:
        net.copy_from(file)
    place = f"net 'n': {tmp_path}/net.prototxt:3: layer 'ip' (InnerProduct): "
    assert str(caught.value).startswith(place + words.replace("FILE", file))


def test_weights_that_do_not_add_up(tmp_path: Path, net: caffe.Net) -> None:
    message = caffe_pb2.NetParameter()
    blob = message.layer.add(name="ip").blobs.add(data=[1, 2, 3])
    blob.shape.dim.extend([5, 192])
    message.layer[0].blobs.add(data=[0] * 5).shape.dim.append(5)
    caffemodel.write_message(tmp_path / "w.caffemodel", message)
    with pytest.raises(
        FormatError, match=r"w\.caffemodel: layer 'ip' parameter 0: a blob of shape \(5, 192\) has 3"
    ):
        net.copy_from(str(tmp_path / "w.caffemodel"))


def test_mismatches_may_be_skipped(tmp_path: Path, net: caffe.Net) -> None:
    report = net.copy_from(weights(tmp_path / "w.caffemodel", (5, 191), (5,)), skip_mismatched=True)
    assert (report.mismatched, report.copied) == (["ip[0]"], ["ip[1]"])
    other = net.copy_from(weights(tmp_path / "o.caffemodel", (1,), name="other"))
    assert (other.ignored, other.untouched) == (["other[0]"], ["ip[0]", "ip[1]"])


def told(error: BaseException) -> str:
    """What a traceback shows of an error: its words, and the notes below them."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def batch(count: int) -> np.ndarray:
    return np.zeros((count, 3, 8, 8), np.float32)


#: what somebody does with a net whose input is 'data' (2, 3, 8, 8), the error's kind, and its words
SLIPS: list[tuple[Any, type[Exception], str]] = [
    (
        lambda net: setattr(net.blobs["data"], "data", 0),
        AttributeError,
        "Write into it: net.blobs['x'].data[...] = ",
    ),
    (lambda net: setattr(net.blobs["data"], "diff", 0), AttributeError, "net.blobs['x'].diff[...] = values"),
    (
        lambda net: caffe.Net("w", "w", "TEST"),
        ArgumentError,
        "is caffe.TRAIN (0) or caffe.TEST (1), got 'TEST'.",
    ),
    (lambda net: caffe.Net("w", "TEST"), ArgumentError, "is caffe.TRAIN (0) or caffe.TEST (1), got 'TEST'."),
    (lambda net: caffe.Net("w", 2), ArgumentError, "is caffe.TRAIN (0) or caffe.TEST (1), got 2."),
]
#: the same where the original's words are kept, and a note says the rest
NOTED: list[tuple[Any, str, str]] = [
    (lambda net: net.blobs["dta"], "'dta'", "the net has no blob 'dta'. Did you mean data?"),
    (lambda net: net.blobs["fc7"], "'fc7'", "the net has no blob 'fc7'. There are data, ip."),
    (lambda net: net.forward(blobs=["fc7"]), "'fc7'", "the net has no blob 'fc7'."),
    (lambda net: net.params["ipp"], "'ipp'", "the net has no layer with parameters called 'ipp'. Did you mean ip?"),
    (lambda net: net.layer_dict["xx"], "'xx'", "the net has no layer 'xx'. There are in, ip."),
    (lambda net: net.forward(image=batch(2)), "Input blob arguments do not match net inputs.",
     "Given: 'image'; wanted: 'data'."),
    (lambda net: net.forward(data=batch(1)), "Input is not batch sized",
     "'data' is (1, 3, 8, 8), the net's blob (2, 3, 8, 8). Another batch size: net.blobs['data'].reshape(1, 3, 8, 8)"),
    (lambda net: net.backward(ipp=batch(2)), "Top diff arguments do not match net outputs.",
     "Given: 'ipp'; wanted: 'ip'."),
    (lambda net: net.backward(ip=np.zeros((3, 5))), "Diff is not batch sized", "'ip' is (3, 5), the net's blob (2, 5)"),
    (lambda net: caffe.Net("ne.prototxt", 1), "Could not open file ne.prototxt", "Did you mean net.prototxt?"),
    (lambda net: caffe.Net("net.prototxt", "w.h5", 1), "Could not open file w.h5", "there is no such file in /"),
    (lambda net: caffe.Net("no/x/net.prototxt", 1), "Could not open file no/x/net.prototxt", ": there is no folder /"),
    (lambda net: caffe.Net("net.prototxt/a", 1), "Could not open file net.prototxt/a", "is a file, no folder"),
    (lambda net: caffe.Net(".", 1), "Could not open file .", "that is a folder."),
]  # fmt: skip


@pytest.mark.parametrize(("do", "kind", "words"), SLIPS)
def test_slips(net: caffe.Net, do: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught:
        do(net)
    assert words in str(caught.value)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
@pytest.mark.parametrize(("do", "said", "note"), NOTED)
def test_slips_in_the_originals_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: caffe.Net, do: Any, said: str, note: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the words are compared
        do(net)
    assert str(caught.value) == said
    assert note in told(caught.value)


def test_named_members_print_as_they_did(net: caffe.Net) -> None:
    assert str(net.blobs).startswith("OrderedDict(")
    assert net.blobs.get("none", 1) == 1
    assert "none" not in net.params
    assert list(net.layer_dict) == ["in", "ip"]


@pytest.mark.parametrize(
    ("shapes", "name", "words"),
    [
        (((5, 192), (5,)), "fc7", "the net 'n' has no layer named as its layers are (fc7 …)"),
        ((), "ip", "it holds no weights"),
    ],
)
def test_a_model_of_another_net_is_said_to_be_one(
    tmp_path: Path, net: caffe.Net, capfd: pytest.CaptureFixture[str], shapes: Any, name: str, words: str
) -> None:
    file = weights(tmp_path / "w.caffemodel", *shapes, name=name)
    if not shapes:
        Path(file).write_bytes(b"")
    net.copy_from(file)
    said = capfd.readouterr().err
    assert f"{file}: nothing was copied: {words}" in said
    net.copy_from(weights(tmp_path / "w.caffemodel", (5, 192), (5,)))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["w.caffemodel", "w.h5", "net.prototxt"])
def test_files_that_are_not_there(tmp_path: Path, net: caffe.Net, name: str) -> None:
    path = str(tmp_path / "none" / name)
    with pytest.raises(RuntimeError, match=r"^Could not open file "):
        caffe.Net(path, caffe.TEST) if name == "net.prototxt" else net.copy_from(path)


def test_hdf5_weights_that_do_not_fit(tmp_path: Path, net: caffe.Net) -> None:
    path = str(tmp_path / "w.h5")
    with h5py.File(path, "w") as file:
        file.create_group("data/ip").create_dataset("0", data=np.ones((5, 192), np.float32))
    with pytest.raises(ArityError, match=r"layer 'ip' \(InnerProduct\): has 2 parameters, and 1 in "):
        net.copy_from(path)
    with h5py.File(path, "a") as file:
        file["data/ip"].create_dataset("1", data=np.ones((1, 5), np.float32))
    with pytest.raises(ShapeError, match=r"parameter 1 has shape \(5,\), and \(1, 5\) in "):
        net.copy_from(path)


def test_a_text_where_weights_are_wanted(tmp_path: Path, net: caffe.Net) -> None:
    with pytest.raises(
        FormatError,
        match=r"net\.prototxt: \d+ bytes are not a complete caffe\.NetParameter message.*It is text: is it anoth",
    ):
        net.copy_from(str(tmp_path / "net.prototxt"))


def test_slashes_in_layer_names_survive_hdf5(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text((DATA + IP).replace('name: "ip"', 'name: "/res1/ip"'))
    first, second = (caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST) for _ in range(2))
    first.params["/res1/ip"][0].data[...] = 3
    first.save_hdf5(str(tmp_path / "w.h5"))
    report = second.copy_from(str(tmp_path / "w.h5"))
    assert not report.untouched
    assert (second.params["/res1/ip"][0].data == 3).all()


def test_load_hdf5_takes_a_file_of_any_name(tmp_path: Path, net: caffe.Net) -> None:
    path = tmp_path / "weights"
    net.params["ip"][0].data[...] = 7
    net.save_hdf5(path)
    net.params["ip"][0].data[...] = 0
    net.load_hdf5(path)
    assert (net.params["ip"][0].data == 7).all()
    path.write_text("no weights")
    with pytest.raises(FormatError, match=r"weights: not a readable HDF5 file"):
        net.load_hdf5(path)


def test_a_shape_that_no_longer_fits_names_its_own_layer(tmp_path: Path) -> None:
    second = CONV.replace('"conv"', '"wide"').replace('"data"', '"conv"').replace("size: 3", "size: 6")
    (tmp_path / "net.prototxt").write_text(DATA + CONV + second)
    made = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    made.blobs["data"].reshape(1, 3, 5, 5)
    with pytest.raises(
        ShapeError, match=r":4: layer 'wide' \(Convolution\): a kernel of \[6, 6\] does not fit"
    ):
        made.forward()


@pytest.mark.parametrize(
    ("kind", "branch"), [("AnnotatedData", "SSD"), ("FlowWarp", "FlowNet"), ("Lstm", "Junhyuk Oh")]
)
def test_a_layer_of_a_branch_of_caffe_is_refused_with_advice(tmp_path: Path, kind: str, branch: str) -> None:
    text = DATA + f'layer {{ name: "p" type: "{kind}" top: "p" data_param {{ source: "x" }} }}'
    (tmp_path / "net.prototxt").write_text(text)
    with pytest.raises(UnknownOperatorError) as caught:
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    _, known, advice = str(caught.value).splitlines()
    assert known.endswith(
        f"there is no layer type '{kind}'. {branch}'s branch of Caffe has it, BVLC Caffe not."
    )
    assert 'type: "Python"' in advice


@pytest.mark.parametrize("name", ["net.prototxt", "net.caffemodel"])
def test_a_pointer_of_git_lfs(name: str, tmp_path: Path) -> None:
    """A clone without Git LFS: the file is not broken, it is not there yet."""
    net = tmp_path / "net.prototxt"
    net.write_text('layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 } } }')
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3629\n")
    with pytest.raises(FormatError, match=rf"{name}: is a pointer of Git LFS.*git lfs pull"):
        caffe.Net(str(net), str(tmp_path / "net.caffemodel"), caffe.TEST) if "model" in name else caffe.Net(
            str(net), caffe.TEST
        )
