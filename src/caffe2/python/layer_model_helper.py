"""`LayerModelHelper`: a model made of layers, from which nets for training, evaluation and prediction are made.

``model.FC(record, 10)`` makes a layer and returns the record it gives. An operator that is no layer is called the
same way, with the number or names of its outputs behind its input; where a layer has an operator's name,
``model.FunctionalLayerConcat`` is the operator.

Source: caffe2/python/layer_model_helper.py.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from caffe2.python import core, model_helper, scope, utils
from caffe2.python._errors import require
from caffe2.python._layer_model.records import ModelRecords
from caffe2.python._layer_model.training import ModelTraining
from caffe2.python.layers import layers
from caffe2.python.modeling.parameter_info import ParameterInfo
from caffe2.python.modeling.parameter_sharing import parameter_sharing_context
from caffe2.python.optimizer import Optimizer
from freshpot.errors import FreshpotError

logger = logging.getLogger(__name__)

_FILLS = {"i": {4: "GivenTensorIntFill", 8: "GivenTensorInt64Fill"}, "b": {1: "GivenTensorBoolFill"}}


class _ShapesDifferError(FreshpotError, ValueError):
    """Two layers share a parameter and want it in different shapes."""


def _constant_fill(array: Any, dtype: Any) -> Callable[[Any], Any]:
    """What makes the operator that fills a blob with the array."""
    values = np.array(array) if dtype is None else np.array(array, dtype=dtype)
    kind = _FILLS.get(values.dtype.kind, {}).get(values.dtype.itemsize, "GivenTensorFill")
    if values.dtype.kind == "U":
        kind = "GivenTensorStringFill"
    return lambda blob: core.CreateOperator(
        kind, [], blob, shape=values.shape, values=values.flatten().tolist()
    )


class LayerModelHelper(ModelTraining, ModelRecords, model_helper.ModelHelper):
    """A model of layers.

    ``input_feature_schema``: what prediction is given. ``trainer_extra_schema``: what training is given besides,
    labels and weights. ``keep_blobs``: the schemas hold the blobs already; else new ones are made.
    """

    def __init__(
        self,
        name: str,
        input_feature_schema: Any,
        trainer_extra_schema: Any,
        keep_blobs: bool = False,
        use_attribution: bool = True,
    ) -> None:
        super().__init__(name=name)
        self._layer_names: set[str] = set()
        self._layers: list[Any] = []
        self._param_to_shape: dict[str, Any] = {}
        self._seed: int | None = None
        self._sequence_seed = True
        self._start_training()
        self._take_records(input_feature_schema, trainer_extra_schema, keep_blobs)
        self.global_constants: dict[str, Any] = {}
        self.global_constant_initializers: dict[Any, Any] = {}
        self._init_global_constants()
        self.param_init_net = self.create_init_net("param_init_net")
        self._initialize_params = True
        self.use_attribution = use_attribution

    def _init_global_constants(self) -> None:
        self.add_global_constant("ONE", 1.0)
        self.add_global_constant("NAN", float("NaN"))
        self.add_global_constant("ZERO", 0.0)
        self.add_global_constant("ZERO_RANGE", [0, 0], dtype="int32")

    @staticmethod
    def _get_global_constant_initializer_op(
        blob_name: Any, array: Any = None, dtype: Any = None, initializer: Any = None
    ) -> Any:
        require(
            (array is None) != (initializer is None),
            "give a constant's array or its initializer, one of them.",
        )
        return (initializer or _constant_fill(array, dtype))(blob_name)

    def add_global_constant(
        self, name: str, array: Any = None, dtype: Any = None, initializer: Any = None
    ) -> Any:
        """A blob that every init net fills with the array, or by ``initializer(blob)``; the name must be new."""
        require(isinstance(name, str), f"a constant's name must be a str; got {type(name).__name__}.")
        require(name not in self.global_constants, f"there is a global constant {name} already.")
        blob = self.net.NextBlob(name)
        op = self._get_global_constant_initializer_op(blob, array, dtype, initializer)
        self.global_constants[name] = blob
        self.global_constant_initializers[blob] = op
        return blob

    def maybe_add_global_constant(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """`add_global_constant`, or the constant of that name if it is filled in the same way."""
        if name not in self.global_constants:
            return self.add_global_constant(name, *args, **kwargs)
        blob = self.global_constants[name]
        op = self._get_global_constant_initializer_op(blob, *args, **kwargs)
        known = self.global_constant_initializers[blob]
        require(
            utils.OpAlmostEqual(op, known, "debug_info"),
            f"global constant {name} is filled by\n{known}and cannot be filled by\n{op}",
        )
        return blob

    def _add_global_constants(self, init_net: Any) -> None:
        init_net.Proto().op.extend(self.global_constant_initializers.values())

    def create_init_net(self, name: str) -> Any:
        """A net that fills the constants, to which layers add what fills their parameters."""
        init_net = core.Net(name)
        self._add_global_constants(init_net)
        return init_net

    def _GetOne(self) -> Any:
        return self.global_constants["ONE"]

    def set_initialize_params(self, initialize_params: bool) -> None:
        """Whether layers made from now on fill their parameters."""
        self._initialize_params = initialize_params

    @property
    def seed(self) -> int | None:
        """The seed of random operators, or None."""
        return self._seed

    @property
    def sequence_seed(self) -> bool:
        """True if each operator gets a seed of its own."""
        return self._sequence_seed

    def store_seed(self, seed: int, sequence_seed: bool = True) -> None:
        """Keep a seed for `apply_seed`."""
        self._seed, self._sequence_seed = seed, sequence_seed

    def apply_seed(self, net: Any) -> None:
        """Give the seed to a net's operators."""
        if self._seed:
            net.set_rand_seed(self._seed, self._sequence_seed)

    def _validate_param_shape(self, param_name: str, shape: Any) -> None:
        known = self._param_to_shape.get(param_name, shape)
        if known != shape:
            raise _ShapesDifferError(
                f"Got inconsistent shapes of parameter {param_name}, which scope '{scope.CurrentNameScope()}' shares,"
                f" has shape {known} and cannot have {shape}."
            )

    def _validate_param_optim(self, param_name: str, optim: Any) -> None:
        """A parameter that is shared has one optimizer."""
        if param_name not in self.param_to_optim:
            return
        known = self.param_to_optim[param_name]
        if optim is None:
            same = known == self._default_optimizer
        elif optim == self.NoOptim:
            same = known == self.NoOptim
        elif isinstance(optim, Optimizer):
            same = type(known) is type(optim) and known.attributes == optim.attributes
        else:
            raise ValueError(f"an optimizer must be None, model.NoOptim or an Optimizer; got {optim}.")
        require(
            same, f"parameter {param_name} is shared: its optimizer is {known}, here it is to be {optim}."
        )

    def create_param(
        self,
        param_name: Any,
        shape: Any,
        initializer: Any,
        optimizer: Any = None,
        ps_param: Any = None,
        regularizer: Any = None,
    ) -> Any:
        """A `LayerParameter`; layers call this through their own `create_param`.

        A str is put in the current scope, or in the one that shares its parameters with it. Raises ValueError if
        a shared parameter would change its shape, MisuseError if it would change its optimizer.
        """
        if isinstance(param_name, core.BlobReference):
            name = str(param_name)
        elif isinstance(param_name, str):
            name = parameter_sharing_context.get_parameter_name(param_name)
        else:
            raise ValueError(
                f"a parameter's name must be str or BlobReference; got {type(param_name).__name__}."
            )
        require(len(initializer) in (1, 2), "an initializer is (type,) or (type, arguments).")
        arguments = copy.deepcopy(initializer[1]) if len(initializer) == 2 else {}
        if shape is not None:
            require("shape" not in arguments, f"the shape of parameter {name} is given twice.")
            arguments["shape"] = shape
        blob = core.BlobReference(name)
        op = core.CreateOperator(initializer[0], [], blob, **arguments) if self._initialize_params else None
        made = layers.LayerParameter(
            parameter=blob, initializer=op, optimizer=optimizer, ps_param=ps_param, regularizer=regularizer
        )
        self._validate_param_shape(name, shape)
        self._validate_param_optim(name, optimizer)
        self._param_to_shape[name] = shape
        return made

    # --- layers ---------------------------------------------------------------------------------------

    def next_layer_name(self, prefix: str) -> str:
        """A new name of a layer in the current scope: the prefix, or the prefix with ``_auto_0`` … behind it."""
        base = name = str(core.ScopedName(prefix))
        index = 0
        while name in self._layer_names:
            name, index = f"{base}_auto_{index}", index + 1
        self._layer_names.add(name)
        return name

    @property
    def layers(self) -> list[Any]:
        """The layers, in order."""
        return self._layers

    def add_layer(self, layer: Any) -> Any:
        """Add a layer and its operators in training; returns its output."""
        self._layers.append(layer)
        for param in layer.get_parameters():
            require(isinstance(param.parameter, core.BlobReference), f"parameter {param} has no blob.")
            self.param_to_optim[str(param.parameter)] = param.optimizer or self.default_optimizer
            self.params.append(param.parameter)
            if isinstance(param, layers.LayerParameter):
                self.param_to_reg[param.parameter] = param.regularizer
            elif not isinstance(param, ParameterInfo):
                raise ValueError(f"a layer's parameter must be a LayerParameter; got {type(param).__name__}.")
        layer.add_operators(self.net, self.param_init_net)
        return layer.output_schema

    def TensorProtosDBInput(
        self,
        unused_blob_in: Any,
        blob_out: Any,
        batch_size: int,
        db: Any = None,
        db_type: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As in `ModelHelper`; for a reader, as programs of 2017 call it, a layer of that operator."""
        if db is None and len(unused_blob_in):
            make = self.FunctionalLayerTensorProtosDBInput
            return make(unused_blob_in, blob_out, batch_size=batch_size, **kwargs)
        return super().TensorProtosDBInput(unused_blob_in, blob_out, batch_size, db, db_type, **kwargs)

    def get_parameter_blobs(self) -> list[Any]:
        """The blobs of all layers' parameters."""
        return [param.parameter for layer in self._layers for param in layer.get_parameters()]

    def _add_made(self, layer: Any, kwargs: dict[str, Any]) -> Any:
        if kwargs.get("output_to_metrics", False):
            layer.export_output_for_metrics()
        if kwargs.get("params_to_metrics", False):
            layer.export_params_for_metrics()
        return self.add_layer(layer)

    def __getattr__(self, layer: str) -> Any:
        """What makes a layer of that name, or one of an operator of that name."""
        if layer.startswith("__"):
            raise AttributeError(layer)
        if layers.layer_exists(layer):

            def make(*args: Any, **kwargs: Any) -> Any:
                return self._add_made(layers.create_layer(layer, self, *args, **kwargs), kwargs)

            return make
        op_type = layer if core.IsOperator(layer) else layer.removeprefix("FunctionalLayer")
        if op_type == layer and not core.IsOperator(layer):
            raise AttributeError(f"Trying to create non-registered layer: {layer}")

        def make_functional(*args: Any, **kwargs: Any) -> Any:
            def apply_operator(net: Any, in_record: Any, out_record: Any, **arguments: Any) -> None:
                getattr(net, op_type)(in_record.field_blobs(), out_record.field_blobs(), **arguments)

            kwargs.setdefault("name", op_type)
            made = layers.create_layer("Functional", self, *args, function=apply_operator, **kwargs)
            return self._add_made(made, kwargs)

        return make_functional
