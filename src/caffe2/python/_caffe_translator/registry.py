"""The register of translators, and what they work with.

Owned here: which function translates which layer, and walking a net. Who calls it: `caffe_translator`, programs that
add translators of their own.

Source: caffe2/python/caffe_translator.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from caffe2.proto import caffe2_pb2
from caffe2.python import utils
from caffe2.python._caffe_translator.legacy_pad import remove_legacy_pad as without_legacy_pad
from freshpot.errors import ArgumentError, NotSupportedError, near_matches
from freshpot.formats import protobuf

log = logging.getLogger("caffe_translator")
CAFFE = protobuf.load("caffe")

Translator = Callable[..., tuple[Any, Any]]


class LayerError(NotSupportedError, KeyError, RuntimeError, ValueError):
    """A layer that is not translated, or not with these parameters."""


def refuse(layer: Any, why: str) -> LayerError:
    """The error for a layer."""
    return LayerError(f"layer '{layer.name}' ({layer.type}): {why}")


class TranslatorRegistry:
    """The register, as class methods."""

    registry_: ClassVar[dict[str, Translator]] = {}

    @classmethod
    def Register(cls, op_name: str) -> Callable[[Translator], Translator]:
        """Declare the translator of a layer type.

        It is called with the layer, its trained arrays, whether the net is for use, and ``net``, ``net_params`` and
        ``input_dims``; it returns operators (one, several, None) and TensorProtos.
        """

        def register(function: Translator) -> Translator:
            cls.registry_[op_name] = function
            return function

        return register

    @classmethod
    def TranslateLayer(
        cls, layer: Any, pretrained_blobs: list[Any], is_test: bool, **kwargs: Any
    ) -> tuple[list[Any], Any]:
        """Operators and parameters of a layer.

        Raises:
            LayerError: there is no translator, or it does not do this.
        """
        if layer.type not in cls.registry_:
            raise refuse(layer, f"no translator is registered.{near_matches(layer.type, cls.registry_)}")
        ops, params = cls.registry_[layer.type](layer, pretrained_blobs, is_test, **kwargs)
        if ops is None:
            ops = []
        return (ops if isinstance(ops, list) else [ops]), params

    @classmethod
    def TranslateModel(
        cls,
        caffe_net: Any,
        pretrained_net: Any,
        is_test: bool = False,
        net_state: Any = None,
        remove_legacy_pad: bool = False,
        input_dims: Sequence[int] | None = None,
    ) -> tuple[Any, Any]:
        """A Caffe net and its parameters as a NetDef and TensorProtos.

        Args:
            caffe_net: the NetParameter, with layers of the current form.
            pretrained_net: the trained NetParameter.
            is_test: whether the net is for use.
            net_state: which layers are taken; TRAIN, as an empty NetState says, by default.
            remove_legacy_pad: give windows the padding that makes Caffe's sizes, instead of ``legacy_pad``.
            input_dims: sizes (N, C, H, W) of the input; the net's own by default.

        Raises:
            LayerError: layers of an old form, one that is not translated, one that is trained twice.
            ArgumentError: sizes are needed, and not known.
        """
        state = CAFFE.NetState() if net_state is None else net_state
        net = caffe2_pb2.NetDef(name=caffe_net.name)
        net_params = caffe2_pb2.TensorProtos()
        if caffe_net.layers:
            raise LayerError(
                "I think something is wrong. This translation script only accepts new style layers that are stored "
                "in the layer field. `caffe upgrade_net_proto_text` writes them."
            )
        dims = list(input_dims or _input_dims(caffe_net))
        for layer in caffe_net.layer:
            if not should_include(state, layer):
                log.info("Current net state does not need layer %s", layer.name)
                continue
            log.info("Translate layer %s", layer.name)
            trained = [
                each for each in (*pretrained_net.layer, *pretrained_net.layers) if each.name == layer.name
            ]
            if len(trained) > 1:
                raise refuse(layer, "huh? more than one pretrained layer of one name?")
            blobs = [utils.CaffeBlobToNumpyArray(blob) for each in trained for blob in each.blobs]
            ops, params = cls.TranslateLayer(
                layer, blobs, is_test, net=net, net_params=net_params, input_dims=dims
            )
            net.op.extend(ops)
            net_params.protos.extend(params)
        if remove_legacy_pad:
            if not dims:
                raise ArgumentError("Please specify input_dims to remove legacy_pad")
            net = without_legacy_pad(net, net_params, dims)
        return net, net_params


def _input_dims(caffe_net: Any) -> Sequence[int]:
    if caffe_net.input_dim:
        return caffe_net.input_dim
    if caffe_net.input_shape:
        return caffe_net.input_shape[0].dim
    if caffe_net.layer and caffe_net.layer[0].input_param.shape:
        return caffe_net.layer[0].input_param.shape[0].dim
    return []


def should_include(net_state: Any, layer: Any) -> bool:
    """Whether Caffe's rules take a layer."""
    if layer.include:
        return any(_meets(net_state, rule) for rule in layer.include)
    return not any(_meets(net_state, rule) for rule in layer.exclude)


def _meets(state: Any, rule: Any) -> bool:
    if rule.HasField("phase") and rule.phase != state.phase:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    stages = set(state.stage)
    return stages.issuperset(rule.stage) and stages.isdisjoint(rule.not_stage)


def base_translate(layer: Any, caffe2_type: str) -> Any:
    """An operator with a layer's bottoms and tops."""
    return caffe2_pb2.OperatorDef(type=caffe2_type, input=layer.bottom, output=layer.top)


def add_argument(op: Any, key: str, value: Any) -> None:
    """Give an operator an argument."""
    op.arg.extend([utils.MakeArgument(key, value)])
