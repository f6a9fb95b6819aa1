"""Nets for training, evaluation and prediction from a `LayerModelHelper`.

Source: caffe2/python/layer_model_instantiator.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from caffe2.python import core, schema
from caffe2.python.layers.layers import InstantiationContext
from caffe2.python.layers.tags import Tags


def _add_layers(
    model: Any, include_tags: Iterable[str] | None, left_out: str, *args: Any, **kwargs: Any
) -> None:
    """Add the layers that have one of the tags (None: any), but not the tag ``left_out``, to a net."""
    wanted = None if include_tags is None else set(include_tags)
    for layer in model.layers:
        if left_out not in layer.tags and (wanted is None or not wanted.isdisjoint(layer.tags)):
            layer.add_operators(*args, **kwargs)


def shrink_output_schema(net: Any, out_schema: Any) -> Any:
    """The columns of the schema whose blobs the net has."""
    if len(out_schema.field_names()) <= 1:
        return out_schema
    columns = zip(
        out_schema.field_names(),
        out_schema.field_types(),
        out_schema.field_blobs(),
        out_schema.field_metadata(),
        strict=True,
    )
    kept = [column for column in columns if net.BlobIsDefined(column[2])]
    return schema.from_column_list(*([column[i] for column in kept] for i in range(4)))


def _set_records(net: Any, inputs: Any, outputs: Any) -> None:
    net.set_input_record(inputs)
    net.set_output_record(shrink_output_schema(net, outputs))


def generate_predict_net(model: Any, include_tags: Iterable[str] | None = None) -> Any:
    """The net that predicts."""
    net = core.Net("predict_net")
    context = InstantiationContext.PREDICTION
    _add_layers(model, include_tags, Tags.EXCLUDE_FROM_PREDICTION, net, context=context)
    _set_records(net, model.input_feature_schema.clone(), model.output_schema.clone())
    return net


def generate_eval_net(model: Any, include_tags: Iterable[str] | None = None) -> Any:
    """The net that evaluates: it is given labels, and gives metrics."""
    net = core.Net("eval_net")
    _add_layers(model, include_tags, Tags.EXCLUDE_FROM_EVAL, net, context=InstantiationContext.EVAL)
    inputs = model.input_feature_schema + model.trainer_extra_schema
    _set_records(net, inputs, model.output_schema + model.metrics_schema)
    return net


def generate_training_nets_forward_only(
    model: Any, include_tags: Iterable[str] | None = None
) -> tuple[Any, Any]:
    """The net that fills parameters, and the training net without gradients."""
    net = core.Net("train_net")
    init_net = model.create_init_net("train_init_net")
    _add_layers(model, include_tags, Tags.EXCLUDE_FROM_TRAIN, net, init_net)
    inputs = model.input_feature_schema + model.trainer_extra_schema
    _set_records(net, inputs, model.output_schema + model.metrics_schema)
    return init_net, net


def generate_training_nets(model: Any, include_tags: Iterable[str] | None = None) -> tuple[Any, Any]:
    """The net that fills parameters, and the training net with gradients and updates (if there is a loss)."""
    init_net, net = generate_training_nets_forward_only(model, include_tags)
    model.apply_regularizers_on_loss(net, init_net)
    if not model.has_loss():
        return init_net, net
    grad_map = net.AddGradientOperators(model.loss.field_blobs())
    model.apply_post_grad_net_modifiers(net, init_net, grad_map, modify_output_record=True)
    model.apply_optimizers(net, init_net, grad_map)
    model.apply_regularizers_after_optimizer(net, init_net, grad_map)
    model.apply_final_net_modifiers(net, init_net, grad_map, modify_output_record=True)
    return init_net, net
