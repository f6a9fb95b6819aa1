"""Nets whose messages must equal the original's, byte for byte: `python net_cases.py` prints their digests as JSON.

Run by the original Caffe2 (Python 3.8, with networkx and a module caffe.proto.caffe_pb2) it gives
nets_of_the_original.json; run by freshpot, through test_net_cases.py, it must give the same.
"""

import hashlib
import itertools
import json
import logging
import sys

from caffe2.proto import caffe2_pb2
from caffe2.python import core, model_helper

CASES = {}


def case(function):
    """Declare a function that returns protobuf messages by name."""
    CASES[function.__name__] = function
    return function


def digest(proto):
    """SHA-256 of a message without the places where its operators were made."""
    proto = proto.Proto() if hasattr(proto, "Proto") else proto
    copied = type(proto)()
    copied.CopyFrom(proto)
    for op in getattr(copied, "op", ()):
        op.debug_info = ""
    return hashlib.sha256(copied.SerializeToString(deterministic=True)).hexdigest()


# ---- memonger --------------------------------------------------------------------------------------
def _nets(kind, scope):
    from caffe2.python import brew
    from caffe2.python.models import resnet

    model = model_helper.ModelHelper(name="m")
    with core.NameScope(scope):
        if kind == "tree":
            top = brew.fc(model, "data", "fc1", 10, 10)
            left, right = brew.fc(model, top, "fc2", 10, 10), brew.fc(model, top, "fc3", 10, 10)
            parts = [right, brew.fc(model, left, "fc4", 10, 10), brew.fc(model, left, "fc5", 10, 10)]
            scores = brew.fc(model, brew.sum(model, parts, "s"), "fcp", 10, 10)
            _, loss = model.SoftmaxWithLoss([scores, "label"], ["softmax", "loss"])
        elif kind == "resnet20":
            resnet.create_resnet_32x32(model, "data", 3, 3, 10)
            scores = core.ScopedBlobReference("last_out")
            _, loss = model.SoftmaxWithLoss([scores, "label"], ["softmax2", "loss"])
        else:
            _, loss = resnet.create_resnet50(model, "data", 3, 100, label="label")
    return model, loss, scope + "/" if scope else ""


@case
def memonger_shares():
    """Every way to share, in nets of several sizes."""
    from caffe2.python import memonger

    made = {}
    for kind, scope in itertools.product(("tree", "resnet20", "resnet50"), ("", "gpu_0")):
        key = kind + scope
        model, loss, prefix = _nets(kind, scope)
        fixed = {prefix + name for name in ("data", "label", "loss")} | {str(p) for p in model.params}
        made[key + "dag"] = memonger.optimize_inference_for_dag(model.net, [prefix + "data"], prefix)
        made[key + "fast"] = memonger.optimize_inference_fast(model.net.Proto(), fixed)
        made[key + "free"] = memonger.release_blobs_when_used(model.net.Proto(), {prefix + "data"})
        model.AddGradientOperators([loss])
        kept = set(model.param_to_grad.values())
        names = sorted({name for op in model.net.Proto().op for name in op.output})
        sizes = {name: [i % 7 + 1, i % 3 + 1] for i, name in enumerate(names)}
        for also in (False, True):
            made[f"{key}share{also}"] = memonger.share_grad_blobs(
                model.net, [loss], kept, scope, share_activations=also
            )
            made[f"{key}sizes{also}"] = memonger.share_grad_blobs(
                model.net, [loss], kept, scope, {prefix + "fc2_grad"}, also, sizes
            )
    return made


@case
def memonger_interference():
    """Places found greedily and by dynamic programming, with and without sizes."""
    from caffe2.python import memonger

    net = core.Net("n")
    for i in range(6):
        net.Relu(f"r{i}", f"r{i + 1}")
    net.Sum(["r6", "r3"], "z")
    net.Tanh("z", "y")
    names = [*(f"r{i}" for i in range(7)), "z", "y"]
    made = {}
    for algorithm, sized in itertools.product(memonger.AssignmentAlgorithm, (False, True)):
        sizes = {name: i * 5 % 7 + 1 for i, name in enumerate(names)} if sized else None
        found = memonger.optimize_interference(
            net.Proto(), ["r0", "y"], lambda g: list(range(len(g))), sizes, algorithm
        )
        made[f"{algorithm.name}{sized}"] = found.net
    return made


# ---- single modules --------------------------------------------------------------------------------
@case
def crf():
    """The layer in training and in use."""
    from caffe2.python import crf, crf_predict

    made = {}
    for train, scope in itertools.product((False, True), ("", "a")):
        model = model_helper.ModelHelper(name="x")
        with core.NameScope(scope):
            layer = crf.CRFWithLoss(model, 5)
            loss = layer.crf_loss("pred", "labels")
            crf_predict.crf_update_predictions(model, layer, "classes")
            if train:
                model.AddGradientOperators([model.net.AveragedLoss(loss, "avg")])
        made[f"init{train}{scope}"] = model.param_init_net
        made[f"net{train}{scope}"] = model.net
    return made


@case
def hsm_util():
    """A tree and the ways to its words."""
    from caffe2.proto import hsm_pb2
    from caffe2.python import hsm_util

    leaves = [hsm_util.create_node_with_words([1, 2, 5], "a"), hsm_util.create_node_with_words([3], "b")]
    root = hsm_util.create_node_with_nodes(leaves, "c")
    root.word_ids.append(9)
    tree = hsm_pb2.TreeProto()
    tree.root_node.MergeFrom(root)
    hierarchy = hsm_util.create_hierarchy(tree)
    return {"tree": tree, "hierarchy": hierarchy}


@case
def muji():
    """Every way to sum over GPUs."""
    from caffe2.python import muji

    made = {}
    for (name, count), affix in itertools.product(
        (("2", 2), ("4", 4), ("4Group2", 4), ("8", 8), ("Fallback", 3)), ("_reduced", "_r")
    ):
        net = core.Net("n")
        blobs = [net.AddExternalInput(f"b{i}") for i in range(count)]
        getattr(muji, "Allreduce" + name)(net, blobs, affix, list(range(count)))
        made[name + affix] = net
    net = core.Net("n")
    muji.Allreduce(net, [net.AddExternalInput(f"b{i}") for i in range(2)])
    return {**made, "chosen": net}


# ---- caffe_translator ------------------------------------------------------------------------------
_CAFFE = """name: "n" input: "data" input_dim: 2 input_dim: 3 input_dim: 17 input_dim: 17
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "c1" top: "bn" }
layer { name: "sc" type: "Scale" bottom: "bn" top: "sc" scale_param { bias_term: true } }
layer { name: "r1" type: "ReLU" bottom: "sc" top: "sc" }
layer { name: "p1" type: "Pooling" bottom: "sc" top: "p1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "p2" type: "Pooling" bottom: "sc" top: "p2" pooling_param {
  pool: AVE kernel_h: 3 kernel_w: 3 stride_h: 2 stride_w: 2 pad_h: 0 pad_w: 0 } }
layer { name: "cc" type: "Concat" bottom: "p1" bottom: "p2" top: "cc" }
layer { name: "l" type: "LRN" bottom: "cc" top: "l" lrn_param { local_size: 3 alpha: 0.1 beta: 0.75 } }
layer { name: "c2" type: "Convolution" bottom: "l" top: "c2" convolution_param {
  num_output: 4 kernel_h: 3 kernel_w: 1 group: 2 pad_h: 1 pad_w: 0 dilation: 1 bias_term: false } }
layer { name: "pr" type: "PReLU" bottom: "c2" top: "pr" }
layer { name: "e" type: "Eltwise" bottom: "c2" bottom: "pr" top: "e" }
layer { name: "t" type: "TanH" bottom: "e" top: "t" }
layer { name: "d" type: "Deconvolution" bottom: "t" top: "d"
  convolution_param { num_output: 2 kernel_size: 2 stride: 2 } }
layer { name: "sg" type: "Sigmoid" bottom: "d" top: "sg" }
layer { name: "f" type: "Flatten" bottom: "sg" top: "f" }
layer { name: "ip" type: "InnerProduct" bottom: "f" top: "ip" inner_product_param { num_output: 5 } }
layer { name: "do" type: "Dropout" bottom: "ip" top: "do" dropout_param { dropout_ratio: 0.3 } }
layer { name: "rs" type: "Reshape" bottom: "do" top: "rs" reshape_param { shape { dim: 0 dim: -1 } } }
layer { name: "red" type: "Reduction" bottom: "rs" top: "red" reduction_param { operation: MEAN axis: -1 } }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc"
  accuracy_param { top_k: 3 } include { phase: TEST } }
layer { name: "sm" type: "Softmax" bottom: "ip" top: "sm" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" include { phase: TRAIN } }
"""
_CROP = (
    'layer { name: "cr" type: "Crop" bottom: "c1" bottom: "p1" top: "cr" crop_param { axis: 2 offset: 1 } }'
)
_WEIGHTS = {
    "c1": [(4, 3, 3, 3), (4,)],
    "bn": [(4,), (4,), (1,)],
    "sc": [(4,), (4,)],
    "c2": [(4, 4, 3, 1)],
    "pr": [(4,)],
    "d": [(4, 2, 2, 2), (2,)],
    "ip": [(5, 96), (5,)],
}


def caffe_pair(text):
    """A NetParameter, and one with weights."""
    import numpy as np
    from google.protobuf import text_format

    from caffe.proto import caffe_pb2

    net, trained = caffe_pb2.NetParameter(), caffe_pb2.NetParameter()
    text_format.Merge(text, net)
    for name, shapes in _WEIGHTS.items():
        layer = trained.layer.add(name=name)
        for shape in shapes:
            blob = layer.blobs.add()
            blob.shape.dim.extend(shape)
            blob.data.extend((np.arange(np.prod(shape)) % 7 + 1).astype("f").tolist())
    return net, trained


@case
def caffe_translator():
    """Every layer that the original translated, in training and in use."""
    from caffe.proto import caffe_pb2
    from caffe2.python import caffe_translator as translator

    logging.disable(logging.INFO)
    made = {}
    for is_test in (False, True):
        net, trained = caffe_pair(_CAFFE)
        state = caffe_pb2.NetState(phase=int(is_test))
        net, params = translator.TranslateModel(net, trained, is_test=is_test, net_state=state)
        made[f"net{is_test}"], made[f"params{is_test}"] = net, params
        made[f"init{is_test}"] = translator.ConvertTensorProtosToInitNet(params, "data")
    crop = _CAFFE[: _CAFFE.index('layer { name: "p2"')] + _CROP
    made["crop"], _ = translator.TranslateModel(*caffe_pair(crop), is_test=True)
    logging.disable(logging.NOTSET)
    return made


def digests(name):
    """The digests of one case, by message; names of nets are counted anew."""
    core.Net._net_names_used.clear()
    return {key: digest(proto) for key, proto in CASES[name]().items()}


if __name__ == "__main__":
    assert caffe2_pb2
    json.dump({name: digests(name) for name in CASES}, sys.stdout, indent=1, sort_keys=True)
