"""Old Caffe nets and solvers brought to the present form, in this one place.

Owned here: V0 and V1 layers, input fields, transformation fields, three-parameter BatchNorm layers, solver
types given as enums. Who calls it: whoever reads a net or a solver; the engine knows only the newest form.
The rules are those of the original's `upgrade_proto.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from freshpot.errors import FormatError, near_matches
from freshpot.formats import protobuf

#: told of what is done: severity 0 (info), 1 (warning) or 2 (error), and words
Say = Callable[[int, str], None]
#: the line of a field of the text that a net came from, if it came from text: ``line_of("layers", 3)``
LineOf = Callable[..., "int | None"]


def silent(_: int, __: str) -> None:
    """Say nothing."""


def _no_line(*_: str | int) -> int | None:
    return None


def _fail(message: str, origin: str, line: int | None) -> FormatError:
    return FormatError(message, path=origin or None, where=f"line {line}" if line else None)


_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")
_DATA_PARAMS = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}


def layer_origins(param: Any) -> list[int | None]:
    """For each layer that `upgrade_net` will leave, its index now; None for one that it adds.

    V0 padding layers vanish; input fields become a layer in front.
    """
    old = bool(param.layers)
    v0 = _is_v0(param)
    kept = [
        i
        for i, layer in enumerate(param.layers if old else param.layer)
        if not v0 or layer.layer.type != "padding"
    ]
    made_up = param.input and (param.input_dim or (param.input_shape and not v0))
    return [None, *kept] if made_up else list(kept)


def _is_v0(param: Any) -> bool:
    return any(layer.HasField("layer") for layer in param.layers)


def upgrade_net(param: Any, origin: str = "", say: Say = silent, line_of: LineOf = _no_line) -> bool:
    """Bring a NetParameter to the present form, in place.

    Args:
        param: the net.
        origin: its file, for messages.
        say: told of what is done.
        line_of: finds lines for messages (`TextMessage.line_of`).

    Returns:
        False if something of it could not be carried over; ``say`` was told what.

    Raises:
        FormatError: V0 layers of types that were never known (all of them), a bottom that no layer makes, a
        padding layer that cannot be folded, both ``layer`` and ``layers``, shapes that do not fit the inputs.
    """
    complete = True
    if _is_v0(param):
        say(0, f"Attempting to upgrade input file specified using deprecated V0LayerParameter: {origin}")
        complete &= _report(
            _upgrade_v0(param, origin, say, line_of),
            "V0NetParameter to NetParameter",
            "V0LayerParameter",
            say,
        )
        say(
            1,
            "Note that future Caffe releases will not support V0NetParameter; use "
            "./build/tools/upgrade_net_proto_text for prototxt and ./build/tools/upgrade_net_proto_binary for model "
            "weights upgrade this and any other net protos to the new format.",
        )
    if _needs_transform(param):
        what = "transformation parameters"
        say(0, f"Attempting to upgrade input file specified using deprecated {what}: {origin}")
        _upgrade_transform(param)
        say(0, "Successfully upgraded file specified using deprecated data transformation parameters.")
        say(
            1,
            "Note that future Caffe releases will only support transform_param messages for transformation fields.",
        )
    if param.layers:
        say(0, f"Attempting to upgrade input file specified using deprecated V1LayerParameter: {origin}")
        complete &= _report(
            _upgrade_v1(param, origin, say, line_of), "V1LayerParameter", "V1LayerParameter", say
        )
    if param.input:
        say(0, f"Attempting to upgrade input file specified using deprecated input fields: {origin}")
        _upgrade_inputs(param, origin, line_of)
        say(0, "Successfully upgraded file specified using deprecated input fields.")
        say(1, "Note that future Caffe releases will only support input layers and not input fields.")
    old_norms = [layer for layer in param.layer if layer.type == "BatchNorm" and len(layer.param) == 3]
    if old_norms:
        say(0, f"Attempting to upgrade batch norm layers using deprecated params: {origin}")
        for layer in old_norms:
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0.0
        say(0, "Successfully upgraded batch norm layers using deprecated params.")
    return complete


def net_needs_upgrade(param: Any) -> bool:
    """True if `upgrade_net` would change something."""
    return (
        bool(param.layers or param.input)
        or any(layer.type == "BatchNorm" and len(layer.param) == 3 for layer in param.layer)
        or _needs_transform(param)
    )


def _report(complete: bool, problem: str, what: str, say: Say) -> bool:
    if complete:
        say(0, f"Successfully upgraded file specified using deprecated {what}")
    else:
        say(2, f"Warning: had one or more problems upgrading {problem} (see above); continuing anyway.")
    return complete


# ---- V0 -------------------------------------------------------------------------------------------

_V0_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
_CONV = {"conv": "convolution_param"}
_CONV_FC = {**_CONV, "innerproduct": "inner_product_param"}
_CONV_POOL = {**_CONV, "pool": "pooling_param"}
_LRN = {"lrn": "lrn_param"}
_IMAGES = {"images": "image_data_param"}
_WINDOW = {"window_data": "window_data_param"}
_SOURCES = {"data": "data_param", "hdf5_data": "hdf5_data_param", **_IMAGES, **_WINDOW}
_ANY = {"": "transform_param"}

#: V0 field -> the field's name now, and layer type -> the message it moved to ("": of every type)
_V0_FIELDS: dict[str, tuple[str, dict[str, str]]] = {
    "num_output": ("num_output", _CONV_FC),
    "biasterm": ("bias_term", _CONV_FC),
    "weight_filler": ("weight_filler", _CONV_FC),
    "bias_filler": ("bias_filler", _CONV_FC),
    "pad": ("pad", _CONV_POOL),
    "kernelsize": ("kernel_size", _CONV_POOL),
    "group": ("group", _CONV),
    "stride": ("stride", _CONV_POOL),
    "pool": ("pool", {"pool": "pooling_param"}),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", _LRN),
    "alpha": ("alpha", _LRN),
    "beta": ("beta", _LRN),
    "k": ("k", _LRN),
    "source": ("source", {**_SOURCES, "infogain_loss": "infogain_loss_param"}),
    "scale": ("scale", _ANY),
    "meanfile": ("mean_file", _ANY),
    "batchsize": ("batch_size", _SOURCES),
    "cropsize": ("crop_size", _ANY),
    "mirror": ("mirror", _ANY),
    "rand_skip": ("rand_skip", {"data": "data_param", **_IMAGES}),
    "shuffle_images": ("shuffle", _IMAGES),
    "new_height": ("new_height", _IMAGES),
    "new_width": ("new_width", _IMAGES),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", _WINDOW),
    "det_bg_threshold": ("bg_threshold", _WINDOW),
    "det_fg_fraction": ("fg_fraction", _WINDOW),
    "det_context_pad": ("context_pad", _WINDOW),
    "det_crop_mode": ("crop_mode", _WINDOW),
    "hdf5_output_param": ("", {"hdf5_output": "hdf5_output_param"}),
}


def _upgrade_v0(param: Any, origin: str, say: Say, line_of: LineOf) -> bool:
    _refuse_v0_types(param, origin, line_of)
    made = type(param)()
    for name in ("name", "force_backward"):
        if param.HasField(name):
            setattr(made, name, getattr(param, name))
    made.input.extend(param.input)
    made.input_dim.extend(param.input_dim)
    complete = True
    for layer in _without_padding_layers(param, origin, line_of):
        complete &= _upgrade_v0_layer(layer, made.layers.add(), say)
    param.CopyFrom(made)
    return complete


def _refuse_v0_types(param: Any, origin: str, line_of: LineOf) -> None:
    """One error for all layers whose type there never was."""
    wrong = [
        (line_of("layers", i), layer.layer)
        for i, layer in enumerate(param.layers)
        if layer.layer.HasField("type") and layer.layer.type not in (*_V0_TYPES, "padding")
    ]
    if not wrong:
        return
    said = [
        f"{f'line {line}: ' if line and k else ''}layer '{layer.name}': there was never a V0 layer type "
        f"'{layer.type}'.{near_matches(layer.type, _V0_TYPES)}"
        for k, (line, layer) in enumerate(wrong)
    ]
    raise _fail("\n  ".join(said), origin, wrong[0][0])


def _without_padding_layers(param: Any, origin: str, line_of: LineOf) -> list[Any]:
    """The layers with each padding layer folded into the convolution or pooling that reads it."""
    makers: dict[str, Any] = dict.fromkeys(param.input)
    made = []
    for i, layer in enumerate(param.layers):
        copy = type(layer)()
        copy.CopyFrom(layer)
        if layer.layer.type != "padding":
            made.append(copy)
        for j, name in enumerate(layer.bottom):
            if name not in makers:
                raise _fail(
                    f"layer '{layer.layer.name}' reads '{name}', which no earlier layer makes."
                    f"{near_matches(name, makers)}",
                    origin,
                    line_of("layers", i),
                )
            maker = makers[name]
            if maker is None or maker.layer.type != "padding":
                continue
            if layer.layer.type not in ("conv", "pool") or len(layer.bottom) != 1 or len(maker.bottom) != 1:
                raise _fail(
                    f"padding layer '{maker.layer.name}' must feed one convolution or pooling layer and have one "
                    f"bottom; it feeds '{layer.layer.name}' ({layer.layer.type}).",
                    origin,
                    line_of("layers", i),
                )
            copy.layer.pad = maker.layer.pad
            copy.bottom[j] = maker.bottom[0]
        makers.update(dict.fromkeys(layer.top, layer))
    return made


def _upgrade_v0_layer(connection: Any, made: Any, say: Say) -> bool:
    made.bottom.extend(connection.bottom)
    made.top.extend(connection.top)
    if not connection.HasField("layer"):
        return True
    old = connection.layer
    if old.HasField("name"):
        made.name = old.name
    if old.HasField("type"):
        made.type = type(made).LayerType.Value(_V0_TYPES[old.type])
    for blob in old.blobs:
        made.blobs.add().CopyFrom(blob)
    made.blobs_lr.extend(old.blobs_lr)
    made.weight_decay.extend(old.weight_decay)
    complete = True
    for field, (new_name, places) in _V0_FIELDS.items():
        if not old.HasField(field):
            continue
        place = places.get("") or places.get(old.type)
        if place is None:
            say(2, f"Unknown parameter {field} for layer type {old.type}")
            complete = False
            continue
        _move(getattr(old, field), getattr(made, place), new_name)
    return complete


def _move(value: Any, target: Any, name: str) -> None:
    if not name:
        target.CopyFrom(value)
    elif hasattr(value, "CopyFrom"):
        getattr(target, name).CopyFrom(value)
    elif hasattr(getattr(target, name), "append"):
        getattr(target, name).append(value)
    else:
        setattr(target, name, value)


# ---- V1 -------------------------------------------------------------------------------------------

#: V1 types whose name now is not their words run together
_V1_NAMES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
#: V1 fields that became parts of `param`, and what they are called there
_V1_SPECS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}


def _upgrade_v1(param: Any, origin: str, say: Say, line_of: LineOf) -> bool:
    if param.layer:
        raise _fail(
            "the net has both 'layer' and 'layers' fields. The current form is layer { type: \"Convolution\" … }, the "
            "old one layers { type: CONVOLUTION … }; change them all to the current form.",
            origin,
            max(filter(None, (line_of("layer", 0), line_of("layers", 0))), default=None),
        )
    complete = True
    for old in param.layers:
        complete &= _upgrade_v1_layer(old, param.layer.add(), say)
    del param.layers[:]
    return complete


def _upgrade_v1_layer(old: Any, made: Any, say: Say) -> bool:
    complete = True
    for descriptor, value in old.ListFields():
        name = descriptor.name
        if name == "type":
            made.type = v1_type_name(type(old).LayerType.Name(value))
        elif name in _V1_SPECS:
            for k, item in enumerate(value):
                while len(made.param) <= k:
                    made.param.add()
                setattr(made.param[k], _V1_SPECS[name], item)
        elif name == "layer":
            say(2, "Input NetParameter has V0 layer -- ignoring.")
            complete = False
        elif hasattr(value, "CopyFrom"):
            getattr(made, name).CopyFrom(value)
        elif hasattr(value, "append") or hasattr(value, "extend"):
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
    return complete


def v1_type_name(enum_name: str) -> str:
    """What a V1 layer type is called now: INNER_PRODUCT -> InnerProduct."""
    return _V1_NAMES.get(enum_name) or ("" if enum_name == "NONE" else enum_name.title().replace("_", ""))


# ---- fields ---------------------------------------------------------------------------------------


def _old_data_params(param: Any) -> list[tuple[Any, Any]]:
    kinds = {
        type(layer).LayerType.Value(name): field
        for layer in param.layers[:1]
        for name, field in _DATA_PARAMS.items()
    }
    return [(layer, getattr(layer, kinds[layer.type])) for layer in param.layers if layer.type in kinds]


def _needs_transform(param: Any) -> bool:
    return any(data.HasField(f) for _, data in _old_data_params(param) for f in _TRANSFORM_FIELDS)


def _upgrade_transform(param: Any) -> None:
    for layer, data in _old_data_params(param):
        for name in _TRANSFORM_FIELDS:
            if data.HasField(name):
                setattr(layer.transform_param, name, getattr(data, name))
                data.ClearField(name)


def _upgrade_inputs(param: Any, origin: str, line_of: LineOf) -> None:
    """Input fields -> an Input layer in front. Inputs without shapes (old caffemodels) are dropped."""
    count = len(param.input)
    if param.input_shape or param.input_dim:
        if len(param.input_shape) not in (0, count) or (
            not param.input_shape and len(param.input_dim) != 4 * count
        ):
            raise _fail(
                f"{count} inputs need {count} input_shape fields or {4 * count} input_dim fields; there are "
                f"{len(param.input_shape)} and {len(param.input_dim)}.",
                origin,
                line_of("input", 0),
            )
        layers = [type(layer).FromString(layer.SerializePartialToString()) for layer in param.layer]
        del param.layer[:]
        made = param.layer.add(name="input", type="Input")
        made.top.extend(param.input)
        for k in range(count):
            shape = made.input_param.shape.add()
            if param.input_shape:
                shape.CopyFrom(param.input_shape[k])
            else:
                shape.dim.extend(param.input_dim[4 * k : 4 * k + 4])
        param.layer.extend(layers)
    for name in ("input", "input_shape", "input_dim"):
        param.ClearField(name)


# ---- solvers --------------------------------------------------------------------------------------

_SOLVER_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}


def upgrade_solver(param: Any, origin: str = "", say: Say = silent) -> bool:
    """Bring a SolverParameter to the present form, in place; True if there was something to do.

    Raises:
        FormatError: both the old ``solver_type`` and the new ``type`` are given.
    """
    if not param.HasField("solver_type"):
        return False
    if param.HasField("type"):
        raise FormatError(
            "the solver gives both the old field solver_type and the new field type; keep type.",
            path=origin or None,
        )
    say(
        0,
        f"Attempting to upgrade input file specified using deprecated 'solver_type' field (enum)': {origin}",
    )
    param.type = _SOLVER_TYPES[protobuf.load("caffe").SolverParameter.SolverType.Name(param.solver_type)]
    param.ClearField("solver_type")
    say(
        0,
        "Successfully upgraded file specified using deprecated 'solver_type' field (enum) to 'type' field (string).",
    )
    say(1, "Note that future Caffe releases will only support 'type' field (string) for a solver's type.")
    return True
