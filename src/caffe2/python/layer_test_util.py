"""A test case for layers: a model, the nets made from it, and what a net must hold.

Source: caffe2/python/layer_test_util.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import (
    core,
    layer_model_helper,
    layer_model_instantiator,
    schema,
    test_util,
    utils,
    workspace,
)
from caffe2.python._errors import require


class OpSpec(NamedTuple):
    """What an operator must be: type, blobs (None: any), arguments (None: any)."""

    type: str
    input: Any
    output: Any
    arg: Any = None


class LayersTestCase(test_util.TestCase):
    """Each test starts with an empty workspace and ``self.model``, a model with 32 float features."""

    def setUp(self) -> None:
        super().setUp()
        self.setup_example()

    def setup_example(self) -> None:
        """Start anew; hypothesis calls it before each example."""
        workspace.ResetWorkspace()
        self.reset_model()

    def reset_model(self, input_feature_schema: Any = None, trainer_extra_schema: Any = None) -> None:
        """Make ``self.model`` anew."""
        features = schema.Struct(("float_features", schema.Scalar((np.float32, (32,)))))
        self.model = layer_model_helper.LayerModelHelper(
            "test_model",
            input_feature_schema=input_feature_schema or features,
            trainer_extra_schema=trainer_extra_schema or schema.Struct(),
        )

    def new_record(self, schema_obj: Any) -> Any:
        """The schema with new blobs."""
        return schema.NewRecord(self.model.net, schema_obj)

    def get_training_nets(self, add_constants: bool = False) -> tuple[Any, Any]:
        """Init net and training net, without the filling of constants unless asked for."""
        net = core.Net("train_net")
        init_net = (
            self.model.create_init_net("train_init_net") if add_constants else core.Net("train_init_net")
        )
        for layer in self.model.layers:
            layer.add_operators(net, init_net)
        return init_net, net

    def get_eval_net(self) -> Any:
        """The net that evaluates."""
        return layer_model_instantiator.generate_eval_net(self.model)

    def get_predict_net(self) -> Any:
        """The net that predicts."""
        return layer_model_instantiator.generate_predict_net(self.model)

    def run_train_net(self) -> None:
        """Fill parameters, and run the training net once."""
        self.model.output_schema = schema.Struct()
        init_net, net = layer_model_instantiator.generate_training_nets(self.model)
        workspace.RunNetOnce(init_net)
        workspace.RunNetOnce(net)

    def run_train_net_forward_only(self, num_iter: int = 1) -> None:
        """Fill parameters, and run the training net without gradients."""
        self.model.output_schema = schema.Struct()
        init_net, net = layer_model_instantiator.generate_training_nets_forward_only(self.model)
        workspace.RunNetOnce(init_net)
        require(num_iter > 0, f"num_iter must be positive; got {num_iter}.")
        workspace.CreateNet(net)
        workspace.RunNet(net.Proto().name, num_iter=num_iter)

    def assertBlobsEqual(self, spec_blobs: Any, op_blobs: Any) -> None:
        """Each blob is as said, where something is said."""
        if spec_blobs is None:
            return
        self.assertEqual(len(spec_blobs), len(op_blobs))  # noqa: PT009
        for wanted, found in zip(spec_blobs, op_blobs, strict=True):
            if wanted is not None:
                self.assertEqual(wanted, found)  # noqa: PT009

    def assertArgsEqual(self, spec_args: Any, op_args: Any) -> None:
        """The arguments are those said, in any order."""
        self.assertEqual(len(spec_args), len(op_args))  # noqa: PT009
        wanted = caffe2_pb2.OperatorDef()
        wanted.arg.extend(utils.MakeArgument(arg.name, spec_args[arg.name]) for arg in op_args)
        self.assertEqual(wanted.arg, op_args)  # noqa: PT009

    def assertNetContainOps(self, net: Any, op_specs: Sequence[OpSpec]) -> Any:
        """The net's operators are those said, in order; returns them."""
        ops = net.Proto().op
        self.assertEqual(len(op_specs), len(ops))  # noqa: PT009
        for op, spec in zip(ops, op_specs, strict=True):
            self.assertEqual(spec.type, op.type)  # noqa: PT009
            self.assertBlobsEqual(spec.input, op.input)
            self.assertBlobsEqual(spec.output, op.output)
            if spec.arg is not None:
                self.assertArgsEqual(spec.arg, op.arg)
        return ops
