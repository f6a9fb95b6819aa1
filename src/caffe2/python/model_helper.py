"""`ModelHelper`: a net, the net that initialises its parameters, and the list of these parameters.

Source: caffe2/python/model_helper.py.
"""

from __future__ import annotations

import itertools
from typing import Any

from caffe2.python import core, scope
from caffe2.python._errors import MisuseError
from caffe2.python.helpers.db_input import db_input
from caffe2.python.modeling.parameter_info import ParameterInfo, ParameterTags
from caffe2.python.modeling.parameter_sharing import parameter_sharing_context
from caffe2.python.optimizer_context import DEFAULT_OPTIM, OptimizerContext
from caffe2.python.predictor_net import ExtractPredictorNet
from caffe2.python.regularizer_context import RegularizerContext
from freshpot.errors import ArgumentError, NetError

__all__ = ["ExtractPredictorNet", "ModelHelper"]

#: Operators that a model with ``allow_not_known_ops=False`` takes.
_known_working_ops = frozenset(
    [
        "Accuracy",
        "Adadelta",
        "Adagrad",
        "Adam",
        "Add",
        "AveragedLoss",
        "Cast",
        "Checkpoint",
        "ConstantFill",
        "Copy",
        "CopyCPUToGPU",
        "CopyGPUToCPU",
        "DequeueBlobs",
        "EnsureCPUOutput",
        "ExpandDims",
        "Flatten",
        "FlattenToVec",
        "LabelCrossEntropy",
        "LearningRate",
        "MakeTwoClass",
        "MatMul",
        "NCCLAllreduce",
        "NHWC2NCHW",
        "PackSegments",
        "Print",
        "PRelu",
        "ReduceFrontSum",
        "Scale",
        "ScatterWeightedSum",
        "Sigmoid",
        "Snapshot",
        "Softmax",
        "SoftmaxWithLoss",
        "SortedSegmentSum",
        "SparseAdadelta",
        "SparseAdagrad",
        "SquaredL2Distance",
        "Squeeze",
        "StopGradient",
        "Summarize",
        "Tanh",
        "Transpose",
        "UnpackSegments",
        "WeightedSum",
        "YellowFin",
    ]
)

_INIT_NET_MARK = "/param_init_net"


class ModelHelper:
    """A net under construction: ``net`` computes, ``param_init_net`` fills the parameters.

    ``model.Relu(x, "y")`` adds an operator to ``net``; layers with parameters come from `brew`.

    Args:
        name: name of the net; its init net is ``NAME_init``.
        init_params: False leaves the parameters to the workspace (for testing, deployment).
        allow_not_known_ops: False refuses operators that the original had not tried with this class.
        skip_sparse_optim: leave parameters with sparse gradients out of `GetOptimizationParamInfo`.
        param_model: share parameters and init net with this model.
        arg_scope: default arguments of `brew` helpers, over order NCHW and use_cudnn.
    """

    def __init__(
        self,
        name: str | None = None,
        init_params: bool = True,
        allow_not_known_ops: bool = True,
        skip_sparse_optim: bool = False,
        param_model: ModelHelper | None = None,
        arg_scope: dict[str, Any] | None = None,
    ) -> None:
        self.name = name or "model"
        self.net: Any = core.Net(self.name)
        self._take_parameters(param_model)
        self._param_info_deprecated: list[ParameterInfo] = []
        self._devices: list[int] = []
        self.gradient_ops_added = False
        self.init_params = init_params
        self.allow_not_known_ops = allow_not_known_ops
        self.skip_sparse_optim = skip_sparse_optim
        self.weights: list[core.BlobReference] = []
        self.biases: list[core.BlobReference] = []
        self._arg_scope: dict[str, Any] = {
            "order": "NCHW",
            "use_cudnn": True,
            "cudnn_exhaustive_search": False,
            **(arg_scope or {}),
        }

    def _take_parameters(self, other: ModelHelper | None) -> None:
        self.param_init_net: Any = other.param_init_net if other else core.Net(self.name + "_init")
        self.param_to_grad: dict[Any, Any] = other.param_to_grad if other else {}
        self.params: list[core.BlobReference] = other.params if other else []
        self._parameters_info: dict[Any, ParameterInfo] = other._parameters_info if other else {}
        self._computed_params: list[core.BlobReference] = other._computed_params if other else []

    @property
    def arg_scope(self) -> dict[str, Any]:
        """Default arguments that `brew` helpers take from this model."""
        return self._arg_scope

    def get_name(self) -> str:
        """The name given to the model."""
        return self.name

    # --- parameters -------------------------------------------------------------------------------

    def create_param(
        self, param_name: Any, shape: list[int], initializer: Any, tags: Any = None
    ) -> core.BlobReference:
        """A parameter of that name and shape, made by ``initializer`` unless it is there already.

        A str is put in the current name scope, or in the scope that shares its parameters with it
        (`ParameterSharing`); a BlobReference is taken as it is. ``tags`` (one `ParameterTags` or a list)
        decide the lists it enters and which optimizer of an `OptimizerContext` it gets.
        """
        if isinstance(param_name, core.BlobReference):
            name = str(param_name)
        elif isinstance(param_name, str):
            name = parameter_sharing_context.get_parameter_name(param_name)
        else:
            raise TypeError(
                f"a parameter's name must be str or BlobReference; got {type(param_name).__name__}."
            )
        if name in self._parameters_info:
            return self._shared_param(name, shape)
        info = initializer.create_param(
            param_name=core.BlobReference(name), init_net=self.param_init_net, shape=shape
        )
        self._apply_contexts(info, self._normalize_tags(tags))
        self._parameters_info[name] = info
        self.AddParameter(info.blob, tags)
        return info.blob

    def _shared_param(self, name: str, shape: list[int]) -> core.BlobReference:
        known = self._parameters_info[name]
        if known.shape != shape:
            raise MisuseError(
                f"parameter '{name}' exists with shape {known.shape} and cannot be used with shape {shape}."
                " Give the layer another name, or another name scope."
            )
        return known.blob

    @staticmethod
    def _apply_contexts(info: ParameterInfo, tags: set[str]) -> None:
        context = OptimizerContext.current()
        for tag in tags:
            if context.has_optimizer(tag):
                info.optimizer = context.get_optimizer(tag)
        if not info.optimizer and context.has_optimizer(DEFAULT_OPTIM):
            info.optimizer = context.get_optimizer(DEFAULT_OPTIM)
        info.regularizer = RegularizerContext.current()

    @staticmethod
    def _normalize_tags(tags: Any) -> set[str]:
        return set(tags or ()) if tags is None or isinstance(tags, (list, set, tuple)) else {tags}

    def get_param_info(self, param: core.BlobReference) -> ParameterInfo | None:
        """What is known of a parameter, or None."""
        if not isinstance(param, core.BlobReference):
            raise TypeError(f"get_param_info takes a BlobReference; got {type(param).__name__} '{param}'.")
        return self._parameters_info.get(param)

    def AddParameter(self, param: core.BlobReference, tags: Any = None) -> None:
        """Enter a blob that exists into the lists of parameters that its tags name."""
        if not isinstance(param, core.BlobReference):
            raise TypeError(f"AddParameter takes a BlobReference; got {type(param).__name__} '{param}'.")
        tags = self._normalize_tags(tags)
        computed = ParameterTags.COMPUTED_PARAM in tags
        (self._computed_params if computed else self.params).append(param)
        if ParameterTags.WEIGHT in tags:
            self.weights.append(param)
        if ParameterTags.BIAS in tags:
            self.biases.append(param)

    def add_param_DEPRECATED(
        self,
        param: core.BlobReference,
        key: Any = None,
        shape: list[int] | None = None,
        length: int | None = None,
    ) -> ParameterInfo:
        """Old form of `AddParameter`; returns the parameter's info."""
        self._update_param_info_deprecated()
        self.AddParameter(param)
        record = self.net.input_record()
        if key is not None and record is not None:
            key = record.field_names()[record.field_blobs().index(key)]
        number = len(self._param_info_deprecated)
        shape = shape if shape is not None else self._infer_param_shape(param)
        self._param_info_deprecated.append(ParameterInfo(number, param, key, shape, length))
        return self._param_info_deprecated[-1]

    def _update_param_info_deprecated(self) -> None:
        for param in self.params[len(self._param_info_deprecated) :]:
            number = len(self._param_info_deprecated)
            shape = self._infer_param_shape(param)
            self._param_info_deprecated.append(ParameterInfo(number, param, shape=shape))
        for info in self._param_info_deprecated:
            info.grad = self.param_to_grad.get(info.name)

    def _infer_param_shape(self, param: Any) -> list[int] | None:
        """The ``shape`` argument of the operator that fills a parameter."""
        for op in self.param_init_net.Proto().op:
            if str(param) in op.output:
                for arg in op.arg:
                    if arg.name == "shape":
                        return list(arg.ints)
        return None

    @staticmethod
    def _NormalizeNamescope(namescope: str | None) -> str:
        if namescope is None:
            return scope.CurrentNameScope()
        separator = scope._NAMESCOPE_SEPARATOR
        return namescope if namescope == "" or namescope.endswith(separator) else namescope + separator

    def _in_namescope(self, params: list[core.BlobReference], namescope: str | None) -> list[Any]:
        prefix = self._NormalizeNamescope(namescope)
        return [p for p in params if prefix == "" or p.GetNameScope().startswith(prefix)]

    def GetParams(self, namescope: str | None = None, top_scope: bool = False) -> list[Any]:
        """The trained parameters below a name scope (None: the current one, "": all)."""
        return self._in_namescope(self.params, namescope)

    def GetComputedParams(self, namescope: str | None = None) -> list[Any]:
        """Parameters computed from data, such as running means, below a name scope."""
        return self._in_namescope(self._computed_params, namescope)

    def GetAllParams(self, namescope: str | None = None) -> list[Any]:
        """`GetParams` and then `GetComputedParams`."""
        return self.GetParams(namescope) + self.GetComputedParams(namescope)

    def _Validate(self) -> list[str]:
        names = sorted(str(p) for p in self.params)
        return sorted({a for a, b in itertools.pairwise(names) if a == b})

    def Validate(self) -> None:
        """Raise NetError if a parameter is listed twice."""
        twice = self._Validate()
        if twice:
            raise NetError(f"parameters were added twice: {', '.join(twice)}.", net=self.name)

    # --- training ---------------------------------------------------------------------------------

    def AddGradientOperators(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add the gradient of ``[loss, …]`` to the net, once; returns blob name -> gradient.

        Afterwards ``param_to_grad`` maps each parameter to its gradient.
        """
        if self.gradient_ops_added:
            raise RuntimeError(f"model '{self.name}' has gradient operators already; they are added once.")
        self.Validate()
        self.gradient_ops_added = True
        self.grad_map = self.net.AddGradientOperators(*args, **kwargs)
        self.param_to_grad = self.get_param_to_grad(self.params)
        for param, grad in self.param_to_grad.items():
            info = self.get_param_info(param)
            if info is None:
                self._parameters_info[param] = ParameterInfo(None, param, grad=grad)
            else:
                info.grad = grad
        return self.grad_map

    def get_param_to_grad(self, params: list[Any]) -> dict[Any, Any]:
        """Parameter -> gradient, for those of ``params`` that have one."""
        self._require_gradients()
        return {p: self.grad_map[str(p)] for p in params if str(p) in self.grad_map}

    def _require_gradients(self) -> None:
        if not self.gradient_ops_added:
            raise RuntimeError(f"model '{self.name}' has no gradients yet: call AddGradientOperators first.")

    def GetOptimizationParamInfo(self, params: list[Any] | None = None) -> list[Any]:
        """Infos of the parameters to update: those given, or all, that have a gradient."""
        self._require_gradients()
        param_to_grad = self.get_param_to_grad(params) if params else self.param_to_grad
        return [
            self.get_param_info(param)
            for param, grad in param_to_grad.items()
            if not (self.skip_sparse_optim and isinstance(grad, core.GradientSlice))
        ]

    # --- the nets ---------------------------------------------------------------------------------

    def Proto(self) -> Any:
        """The net's message."""
        return self.net.Proto()

    def InitProto(self) -> Any:
        """The init net's message."""
        return self.param_init_net.Proto()

    def RunAllOnGPU(self, *args: Any, **kwargs: Any) -> None:
        """Put both nets on a GPU."""
        self.param_init_net.RunAllOnGPU(*args, **kwargs)
        self.net.RunAllOnGPU(*args, **kwargs)

    def CreateDB(self, blob_out: Any, db: str, db_type: str, **kwargs: Any) -> Any:
        """A database reader that the init net opens."""
        return self.param_init_net.CreateDB([], blob_out, db=db, db_type=db_type, **kwargs)

    def TensorProtosDBInput(
        self, unused_blob_in: Any, blob_out: Any, batch_size: int, db: str, db_type: str, **kwargs: Any
    ) -> Any:
        """Batches of records of a database, which the init net opens."""
        if len(unused_blob_in) != 0:
            raise ArgumentError(
                "model.TensorProtosDBInput opens the database itself and takes [] as input; with a reader"
                " of your own call model.net.TensorProtosDBInput."
            )
        return db_input(self, blob_out, batch_size, db, db_type, **kwargs)

    def GetDevices(self) -> list[int]:
        """The devices of a data-parallel model."""
        if not self._devices:
            raise NetError("the model is not data parallel: see data_parallel_model.", net=self.name)
        return self._devices

    def __getattr__(self, op_type: str) -> Any:
        """An operator of the net, as ``model.Relu``; AttributeError, with near matches, if there is none."""
        if op_type.startswith("_"):
            raise AttributeError(op_type)
        if not core.IsOperator(op_type):
            near = ", ".join(core.C.nearby_opnames(op_type)) if hasattr(core, "C") else ""
            hint = f" Did you mean: [{near}]" if near else ""
            raise AttributeError(f"Method {op_type} is not a registered operator.{hint}")
        if not self.allow_not_known_ops and op_type not in _known_working_ops:
            raise AttributeError(f"Operator {op_type} is not known to be safe")
        return getattr(self.net, op_type)

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *self.__dict__, *_known_working_ops})

    def GetCompleteNet(self) -> Any:
        """One net that initialises and then computes; the init part is marked in ``debug_info``."""
        complete = self.param_init_net.Clone(self.name + "_complete_net", keep_schema=True)
        for op in complete.Proto().op:
            op.debug_info += _INIT_NET_MARK
        complete.AppendNet(self.net)
        if self.net.Proto().HasField("type"):
            complete.Proto().type = self.net.Proto().type
        return complete

    def ConstructInitTrainNetfromNet(self, net: Any) -> None:
        """Take this model's two nets from a net that `GetCompleteNet` made."""
        marked = [op.debug_info.endswith(_INIT_NET_MARK) for op in net.Proto().op]

        def part(name: str, init: bool) -> Any:
            return net.Clone(
                f"{net.Name()}/{name}",
                keep_schema=True,
                op_id_mask=[i for i, mark in enumerate(marked) if mark == init],
                update_external_list=True,
            )

        self.param_init_net = part("generated_param_init_net", True)
        self.net = part("generated_net", False)
