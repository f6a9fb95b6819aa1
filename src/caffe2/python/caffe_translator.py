"""Caffe nets as Caffe2 nets, operator for operator as the original translated them.

``python -m caffe2.python.caffe_translator deploy.prototxt net.caffemodel`` writes init_net.pb and predict_net.pb.
`freshpot convert` does more layers. How it works: `_caffe_translator`.

Source: caffe2/python/caffe_translator.py.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core, utils
from caffe2.python._caffe_translator import layers as _layers  # noqa: F401 (declares the translators)
from caffe2.python._caffe_translator.registry import (
    CAFFE,
    LayerError,
    TranslatorRegistry,
    add_argument,
    base_translate,
)
from freshpot.errors import DTypeError, FreshpotError
from freshpot.formats import protobuf
from freshpot.formats.atomic import write_bytes
from freshpot.formats.prototxt import parse_prototxt

__all__ = [
    "AddArgument",
    "BaseTranslate",
    "ConvertTensorProtosToInitNet",
    "LayerError",
    "TranslateModel",
    "TranslatorRegistry",
]

logging.basicConfig()
log = logging.getLogger("caffe_translator")
log.setLevel(logging.INFO)

AddArgument = add_argument
BaseTranslate = base_translate


def TranslateModel(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """A Caffe net and its parameters as a NetDef and TensorProtos; see `TranslatorRegistry.TranslateModel`."""
    return TranslatorRegistry.TranslateModel(*args, **kwargs)


def ConvertTensorProtosToInitNet(net_params: Any, input_name: str) -> Any:
    """A NetDef that fills the parameters, and the input with one number.

    Raises:
        DTypeError: a parameter that does not hold float32 numbers.
    """
    init_net = caffe2_pb2.NetDef()
    for tensor in net_params.protos:
        if not tensor.float_data:
            raise DTypeError(f"parameter '{tensor.name}': Only float tensors are supported in this util.")
        args = [
            utils.MakeArgument("shape", list(tensor.dims)),
            utils.MakeArgument("values", tensor.float_data),
        ]
        init_net.op.extend([core.CreateOperator("GivenTensorFill", [], [tensor.name], arg=args)])
    init_net.op.extend([core.CreateOperator("ConstantFill", [], [input_name], shape=[1])])
    return init_net


def main(argv: Sequence[str] | None = None) -> int:
    """The command; exit status 0, or 1 with a message."""
    parser = argparse.ArgumentParser(
        prog="caffe_translator",
        description="Utilitity to convert pretrained caffe models to Caffe2 models.",
    )
    parser.add_argument("prototext", help="Caffe prototext.")
    parser.add_argument("caffemodel", help="Caffe trained model.")
    parser.add_argument("--init_net", help="Caffe2 initialization net.", default="init_net.pb")
    parser.add_argument("--predict_net", help="Caffe2 prediction net.", default="predict_net.pb")
    parser.add_argument(
        "--remove_legacy_pad",
        help="Remove legacy pad (Only works for nets with one input blob)",
        action="store_true",
    )
    parser.add_argument("--input_dims", help="Dimension of input blob", nargs="+", type=int, default=[])
    args = parser.parse_args(argv)
    try:
        _translate_files(args)
    except (FreshpotError, OSError) as error:
        print(f"caffe_translator: {error}", file=sys.stderr)
        return 1
    return 0


def _translate_files(args: argparse.Namespace) -> None:
    caffe_net = CAFFE.NetParameter()
    parse_prototxt(Path(args.prototext).read_text(encoding="utf-8"), caffe_net, args.prototext)
    trained = protobuf.parse_message(
        CAFFE.NetParameter, Path(args.caffemodel).read_bytes(), path=args.caffemodel
    )
    net, params = TranslateModel(
        caffe_net, trained, is_test=True, remove_legacy_pad=args.remove_legacy_pad, input_dims=args.input_dims
    )
    if not net.op:
        raise LayerError(f"{args.prototext}: no layer of it becomes an operator.")
    data = net.op[0].input[0]
    net.external_input.extend([data, *(param.name for param in params.protos)])
    net.external_output.append(net.op[-1].output[0])
    write_bytes(args.predict_net, net.SerializeToString())
    write_bytes(args.predict_net + "txt", str(net).encode("utf-8"))
    write_bytes(args.init_net, ConvertTensorProtosToInitNet(params, data).SerializeToString())


if __name__ == "__main__":
    sys.exit(main())
