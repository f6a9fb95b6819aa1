"""Nets of layers whose messages must equal the original's: `python layer_cases.py` prints their digests as JSON.

Run by the original Caffe2 it gives layers_of_the_original.json; run by freshpot, through test_layers.py, it must give
the same.
"""

import contextlib
import json
import logging
import sys

import numpy as np
from net_cases import digest

from caffe2.python import core, layer_model_helper, layer_model_instantiator, optimizer, regularizer, schema
from caffe2.python.helpers.arg_scope import arg_scope
from caffe2.python.layers import fc, sparse_lookup
from caffe2.python.layers.layers import IdList, IdListWithEvicted, IdScoreList, InstantiationContext
from caffe2.python.layers.tags import Tags
from caffe2.python.modeling.gradient_clipping import GradientClipping

FLOAT, VECTOR = schema.Scalar(np.float32), schema.Scalar((np.float32, (8,)))
LABELLED = {
    "label": schema.Scalar(np.int32),
    "logit": VECTOR,
    "prediction": VECTOR,
    "weight": schema.Scalar(np.int32),
}
LIMITED = schema.Metadata(categorical_limit=100, expected_value=7)
IMAGE = schema.Scalar((np.float32, (4, 6, 3)))


def ids(form=IdList, key="items"):
    """A record of ids below 100."""
    record = form.clone()
    (record._items["keys"] if key == "keys" else record._items).set_metadata(LIMITED)
    record.lengths.set_metadata(LIMITED)
    return record


def struct(**fields):
    """A Struct of the fields, in order."""
    return schema.Struct(*fields.items())


def specs(kind):
    """The features that a field is made dense for."""
    return [("f", schema.FeatureSpec(feature_type=kind, feature_names=["a", "b"], feature_ids=[5, 9]))]


def mapped(values):
    """Feature id -> values."""
    return struct(f=schema.Map(np.int32, values))


NEGATIVES = struct(pos_prediction=FLOAT, neg_prediction=schema.List(np.float32))
CONTEXTS = {
    InstantiationContext.TRAINING: VECTOR,
    InstantiationContext.EVAL: VECTOR,
    InstantiationContext.PREDICTION: VECTOR,
}
NESTED = struct(a=FLOAT, b=schema.List(schema.List(np.int32)), c=schema.Map(np.int64, np.float32))
SAMPLED = struct(input=VECTOR, indices=schema.Scalar(np.int32), sampling_prob=FLOAT)

#: Name of a case -> layer, record that it takes, arguments.
LAYERS = {
    "fc": ("FC", VECTOR, {"output_dims": 5}),
    "fc transposed": ("FC", VECTOR, {"output_dims": 5, "transposed": True, "clip_param": (-1.0, None)}),
    "fc in pieces": ("FC", VECTOR, {"output_dims": 5, "max_fc_size": 16}),
    "fc axis 2": ("FC", IMAGE, {"output_dims": 5, "axis": 2}),
    "fc of one's own": (
        "FC",
        VECTOR,
        {
            "output_dims": 5,
            "weight_init": ("GaussianFill", {"std": 2.0}),
            "weight_reg": regularizer.L2Norm(0.1),
            "bias_reg": regularizer.LogBarrier(0.5),
            "name": "own",
            "clip_param": (-2.0, 2.0),
        },
    ),
    "fc without bias": ("FCWithoutBias", VECTOR, {"output_dims": 5}),
    "fc with bootstrap": ("FCWithBootstrap", VECTOR, {"output_dims": 1, "num_bootstrap": 2}),
    "bias": ("AddBias", VECTOR, {}),
    "concat": ("Concat", struct(a=VECTOR, b=VECTOR), {}),
    "concat new axis": ("Concat", struct(a=VECTOR, b=VECTOR), {"axis": 1, "add_axis": 1}),
    "concat rows": ("Concat", struct(a=VECTOR, b=VECTOR), {"axis": 0}),
    "split": ("Split", VECTOR, {"num_splits": 4}),
    "split sizes": ("Split", VECTOR, {"split": [3, 5]}),
    "dropout": ("Dropout", VECTOR, {"ratio": 0.3}),
    "lr": ("BatchLRLoss", struct(label=LABELLED["label"], logit=VECTOR), {}),
    "lr weighted": (
        "BatchLRLoss",
        struct(log_variance=FLOAT, **LABELLED),
        {"jsd_weight": 0.2, "pos_label_target": 0.9, "focal_gamma": 2.0, "stop_grad_in_focal_factor": True},
    ),
    "lr homotopy": (
        "BatchLRLoss",
        struct(**LABELLED),
        {"homotopy_weighting": True, "average_loss": False, "task_gamma": 0.9, "log_D_trick": True},
    ),
    "mse": ("BatchMSELoss", struct(label=FLOAT, prediction=VECTOR), {}),
    "mse weighted": ("BatchMSELoss", struct(**LABELLED), {}),
    "sigmoid cross entropy": ("BatchSigmoidCrossEntropyLoss", struct(label=VECTOR, prediction=VECTOR), {}),
    "softmax": ("BatchSoftmaxLoss", struct(label=schema.Scalar(np.int64), prediction=VECTOR), {}),
    "softmax smoothed": (
        "BatchSoftmaxLoss",
        struct(**LABELLED),
        {"label_smoothing_matrix": np.eye(8) * 0.5 + 0.0625, "scale": 2.0},
    ),
    "bpr": ("BPRLoss", NEGATIVES, {}),
    "margin": ("MarginRankLoss", NEGATIVES, {"margin": 0.3, "average_loss": True}),
    "sampled": ("SamplingTrain", SAMPLED, {"prediction_layer": "FC", "output_dims": 5}),
    "uniform samples": ("UniformSampling", schema.Scalar(np.int32), {"num_samples": 4, "num_elements": 9}),
    "adaptive": (
        "AdaptiveWeight",
        struct(a=FLOAT, b=FLOAT),
        {"weights": [0.2, 0.8], "enable_diagnose": True},
    ),
    "adaptive variance": (
        "AdaptiveWeight",
        struct(a=FLOAT, b=FLOAT),
        {"estimation_method": "inv_var", "pos_optim_method": "pos_grad_proj"},
    ),
    "constant weights": ("ConstantWeight", struct(a=FLOAT, b=FLOAT), {}),
    "weighted sum": ("BlobWeightedSum", struct(a=VECTOR, b=VECTOR), {"init_weights": [1, 2]}),
    "homotopy": (
        "HomotopyWeight",
        struct(a=FLOAT, b=FLOAT),
        {"min_weight": 0.1, "half_life": 10, "quad_life": 40},
    ),
    "labels smoothed": ("LabelSmooth", schema.Scalar(np.int32), {"smooth_matrix": np.eye(3)}),
    "labels smoothed, two": ("LabelSmooth", schema.Scalar(np.int32), {"smooth_matrix": [0.25, 0.75]}),
    "batch norm": ("BatchNormalization", VECTOR, {"momentum": 0.8}),
    "batch norm of images": ("BatchNormalization", IMAGE, {"order": "NHWC"}),
    "layer norm": ("LayerNormalization", VECTOR, {}),
    "layer norm, simple": ("LayerNormalization", VECTOR, {"use_layer_norm_op": False}),
    "arc cosine": ("ArcCosineFeatureMap", VECTOR, {"output_dims": 5, "s": 2, "scale": 0.5}),
    "semi-random": ("SemiRandomFeatures", VECTOR, {"output_dims": 5, "s": 0}),
    "fourier": ("RandomFourierFeatures", VECTOR, {"output_dims": 5, "sigma": 0.5}),
    "conv": ("Conv", IMAGE, {"output_dim": 2, "kernel_h": 3, "kernel_w": 3, "stride_h": 1, "stride_w": 2}),
    "similarity": ("PairwiseSimilarity", struct(all_embeddings=IMAGE), {"output_dim": 9}),
    "cosine": (
        "PairwiseSimilarity",
        struct(x_embeddings=IMAGE, y_embeddings=IMAGE, indices_to_gather=schema.Scalar(np.int32)),
        {"output_dim": 9, "pairwise_similarity_func": "cosine_similarity"},
    ),
    "buckets": ("BucketWeighted", ids(IdScoreList, "keys"), {"bucket_boundaries": [0.5, 1.5]}),
    "buckets of ids": ("BucketWeighted", ids(IdScoreList, "keys"), {"hash_buckets": False}),
    "positions": ("PositionWeighted", ids(), {}),
    "map to range": ("MapToRange", schema.Scalar(np.int32), {"max_index": 9}),
    "last n": ("LastNWindowCollector", FLOAT, {"num_to_collect": 3}),
    "reservoir": (
        "ReservoirSampling",
        struct(data=FLOAT, object_id=schema.Scalar(np.int64)),
        {"num_to_collect": 3},
    ),
    "merge": ("MergeIdLists", schema.NamedTuple("in", ids(), ids()), {}),
    "gather": ("GatherRecord", struct(indices=schema.Scalar(np.int32), record=NESTED), {}),
    "select": ("SelectRecordByContext", schema.Struct(*CONTEXTS.items()), {}),
    "select copies": ("SelectRecordByContext", schema.Struct(*CONTEXTS.items()), {"use_copy": True}),
    "sparse dropout": (
        "SparseDropoutWithReplacement",
        ids(),
        {
            "dropout_prob_train": 0.5,
            "dropout_prob_eval": 0.25,
            "dropout_prob_predict": 1,
            "replacement_value": -1,
        },
    ),
    "hash": ("SparseFeatureHash", ids(), {"seed": 3}),
    "hash by division": (
        "SparseFeatureHash",
        ids(IdScoreList, "keys"),
        {"modulo": 10, "use_hashing": False, "use_divide_mod": True, "divisor": 2},
    ),
    "dense floats": ("FeatureSparseToDense", mapped(np.float32), {"input_specs": specs("FLOAT")}),
    "dense ids": (
        "FeatureSparseToDense",
        mapped(schema.List(np.int64)),
        {"input_specs": specs("ID_LIST"), "default_dense_value": float("nan")},
    ),
    "dense scores": (
        "FeatureSparseToDense",
        mapped(schema.Map(np.int64, np.float32)),
        {"input_specs": specs("ID_SCORE_LIST")},
    ),
    "dense embeddings": (
        "FeatureSparseToDense",
        mapped(schema.List(np.float32)),
        {"input_specs": specs("EMBEDDING")},
    ),
    "evicted": ("SparseLookup", ids(IdListWithEvicted), {"inner_shape": [8], "reducer": "Sum"}),
    "operator": ("TopK", VECTOR, {"output_names_or_num": ["values", "indices"], "k": 3}),
    "operator with a layer's name": (
        "FunctionalLayerDropout",
        VECTOR,
        {"output_names_or_num": 2, "ratio": 0.1},
    ),
    "to metrics": ("FC", VECTOR, {"output_dims": 5, "output_to_metrics": True, "params_to_metrics": True}),
    "tagged": ("FC", VECTOR, {"output_dims": 5, "tags": [Tags.EXCLUDE_FROM_PREDICTION]}),
}
for _reducer in sparse_lookup.SparseLookup._id_list_supported_reducers:
    LAYERS["lookup " + _reducer] = ("SparseLookup", ids(), {"inner_shape": [8], "reducer": _reducer})
for _reducer in sparse_lookup.SparseLookup._id_score_list_supported_reducers:
    if _reducer == "WeightedMean":
        continue  # there is no operator of that name in the original
    _arguments = {"inner_shape": [8], "reducer": _reducer}
    LAYERS["lookup of scores " + _reducer] = ("SparseLookup", ids(IdScoreList, "keys"), _arguments)
VERSIONS = ("fp16", "uint8rowwise", "fused_uint8rowwise", "fused_uint4rowwise")


def start_anew():
    """Forget all blobs, names of nets and numbers of optimizers."""
    core.workspace.ResetWorkspace()
    optimizer._optimizer_instance_count.clear()
    core.Net._net_names_used.clear()


def model_of(record):
    """A model that is given the record."""
    made = layer_model_helper.LayerModelHelper("m", record, schema.Struct())
    made.default_optimizer = optimizer.SgdOptimizer(0.1)
    return made


def nets_of(model):
    """The nets for training, evaluation and prediction."""
    init_net, net = layer_model_instantiator.generate_training_nets(model)
    evaluated = layer_model_instantiator.generate_eval_net(model)
    return [init_net, net, evaluated, layer_model_instantiator.generate_predict_net(model)]


def digests(name):
    """The digests of the nets of a case."""
    start_anew()
    layer, record, arguments = LAYERS[name]
    with core.NameScope("above"):
        model = model_of(record if isinstance(record, schema.Struct) else struct(only=record))
        given = model.input_feature_schema
        output = getattr(model, layer)(
            given if isinstance(record, schema.Struct) else given.only, **arguments
        )
    model.output_schema = struct(out=output, given=schema.Scalar(np.float32, given.field_blobs()[0]))
    if "oss" in layer:
        model.add_loss(output.loss if layer == "BatchSoftmaxLoss" else output)
    elif layer in ("FC", "AdaptiveWeight", "BlobWeightedSum", "BatchNormalization"):
        model.add_loss(model.AveragedLoss(output, 1))
    made = [*map(digest, nets_of(model)), digest(model.net), digest(model.param_init_net)]
    kinds = [str(kind) for kind in output.field_types()]
    return [*made, [str(blob) for blob in output.field_blobs()], kinds]


def versions():
    """The nets that look up in tables of other forms."""
    made = {}
    for version in VERSIONS:
        start_anew()
        model = model_of(struct(a=ids(), b=ids(IdScoreList, "keys")))
        given = model.input_feature_schema
        for column, reducer in (
            (given.a, "Sum"),
            (given.a, "Max"),
            (given.b, "WeightedSum"),
            (given.b, "None"),
        ):
            model.add_output_schema(reducer, model.SparseLookup(column, [8], reducer))
        half = model.FC(model.output_schema[0], 3)
        model.add_output_schema("half", half)
        in_tables = {"version": version, "min_blob_size_4bits": 10}
        with contextlib.ExitStack() as scopes:
            scopes.enter_context(arg_scope(sparse_lookup.get_sparse_lookup_predictor_version, **in_tables))
            scopes.enter_context(arg_scope(fc.get_fc_predictor_version, fc_version="fp16"))
            made[version] = digest(layer_model_instantiator.generate_predict_net(model))
    return made


def whole_model():
    """A small model whose gradients are clipped, trained by Adagrad.

    The init net is left out: the original lists one of its own blobs among its external inputs.
    """
    start_anew()
    model = model_of(struct(dense=VECTOR, sparse=ids()))
    extra = struct(label=schema.Scalar(np.float32))
    model.add_trainer_extra_schema(extra)
    given = model.input_feature_schema
    engine = optimizer.AdagradOptimizer(0.1)
    parts = []
    for side in ("left", "right"):
        with core.NameScope(side):
            parts.append(model.FC(given.dense, 4, weight_optim=engine, name="side"))
    found = model.SparseLookup(given.sparse, [4], "Mean", weight_optim=engine)
    joined = model.Concat(schema.NamedTuple("j", *parts, found))
    hidden = model.Relu(joined, 1)
    logit = model.FC(hidden, 1)
    prediction = model.Sigmoid(logit, 1)
    model.add_loss(model.BatchLRLoss(struct(logit=logit, label=model.trainer_extra_schema.label)), "lr")
    model.add_output_schema("prediction", prediction)
    model.add_prediction(prediction)
    model.add_post_grad_net_modifiers(
        GradientClipping(grad_clip_method="by_norm", clip_norm_type="l2_norm", clip_threshold=0.1)
    )
    return [digest(net) for net in nets_of(model)[1:]]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    np.random.seed(0)
    made = {name: digests(name) for name in LAYERS}
    json.dump({"layers": made, "versions": versions(), "whole": whole_model()}, sys.stdout, indent=1)
