"""Messages built from field tables: every name, number, type and default of the reference schemas."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffe2.proto import caffe2_pb2, predictor_consts_pb2
from freshpot.errors import FormatError
from freshpot.formats import protobuf

#: ONNX's has no recorded reference; tests/convert checks what is written with it
RECORDED_TABLES = [name for name in protobuf.TABLES if name not in ("onnx", "paddle")]
CAFFE2_TABLES = [name for name in RECORDED_TABLES if name != "caffe"]
FIELD = protobuf._FIELD


def read_schema(shared: Path, name: str) -> dict[str, Any]:
    """The reference schema of one table: package, messages {name: fields}, enums {name: {value: number}}."""
    if name != "caffe":
        schema = json.loads((shared / "reference/caffe2/schema.json").read_text())[f"{name}.proto"]
        messages = {full: message["fields"] for full, message in schema["messages"].items()}
        return {"package": schema["package"], "messages": messages, "enums": schema["enums"]}
    schema = json.loads((shared / "reference/caffe/schema.json").read_text())
    messages = {message["name"]: message["fields"] for message in schema["messages"]}
    return {
        "package": schema["package"],
        "messages": messages,
        "enums": {enum["name"]: dict(enum["values"]) for enum in schema["enums"]},
    }


def describe_field(field: Any) -> dict[str, Any]:
    """One field of a FileDescriptorProto in the words of the reference schema."""
    kind = FIELD.Type.Name(field.type)[5:].lower()
    row = {"name": field.name, "number": field.number, "type": kind}
    row["label"] = FIELD.Label.Name(field.label)[6:].lower()
    if kind in ("message", "enum"):
        row[kind] = field.type_name.lstrip(".")
    if field.options.packed:
        row["packed"] = True
    if field.options.deprecated:
        row["deprecated"] = True
    if field.HasField("default_value"):
        row["default"] = python_default(kind, field.default_value)
    return row


def python_default(kind: str, text: str) -> object:
    if kind == "bool":
        return {"true": True, "false": False}[text]
    if kind == "float":
        return float(np.float32(text))
    if kind == "double":
        return float(text)
    return text if kind in ("string", "bytes", "enum") else int(text)


def describe_file(file: Any) -> dict[str, Any]:
    proto = protobuf.descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    messages: dict[str, Any] = {}
    enums = {f"{proto.package}.{enum.name}": values_of(enum) for enum in proto.enum_type}

    def walk(prefix: str, message: Any) -> None:
        name = f"{prefix}.{message.name}"
        messages[name] = [describe_field(field) for field in message.field]
        enums.update({f"{name}.{enum.name}": values_of(enum) for enum in message.enum_type})
        for nested in message.nested_type:
            walk(name, nested)

    for message in proto.message_type:
        walk(proto.package, message)
    return {"package": proto.package, "messages": messages, "enums": enums}


def values_of(enum: Any) -> dict[str, int]:
    return {value.name: value.number for value in enum.value}


@pytest.mark.parametrize("name", RECORDED_TABLES)
def test_every_descriptor_equals_the_reference(shared: Path, name: str) -> None:
    wanted = read_schema(shared, name)
    for fields in wanted["messages"].values():
        for field in fields:
            for word in ("packed", "deprecated"):  # one of the two reference files spells out what is off
                if field.get(word) is False:
                    del field[word]
            if field["type"] == "float" and "default" in field:
                field["default"] = float(np.float32(field["default"]))
    assert without_additions(name, describe_file(protobuf.load(name).DESCRIPTOR)) == wanted


def without_additions(name: str, described: dict[str, Any]) -> dict[str, Any]:
    """A table without what other branches of the original added to it, which stands in a table of its own."""
    if name not in protobuf.ADDITIONS:
        return described
    extended = ""
    for line in protobuf.read_table(protobuf.ADDITIONS[name]).splitlines():
        words = line.split()
        if not words or words[0] == "#":
            continue
        if words[0] in ("message", "enum", "extend"):
            full = f"{described['package']}.{words[1]}"
            extended = full if words[0] == "extend" else ""
            if words[0] != "extend":
                del described["messages" if words[0] == "message" else "enums"][full]
        elif extended in described["messages"]:
            fields = described["messages"][extended]
            described["messages"][extended] = [f for f in fields if f["name"] != words[1]]
        elif extended:
            del described["enums"][extended][words[1]]
    return described


def test_numbers_of_other_branches_are_theirs_or_our_own() -> None:
    """What the original or another branch uses otherwise is given a number from 9100001 on."""
    fields = protobuf.load("caffe").LayerParameter.DESCRIPTOR.fields_by_name
    numbers = {name: fields[name].number for name in ("permute_param", "roi_pooling_param", "interp_param")}
    assert numbers == {"permute_param": 202, "roi_pooling_param": 8266711, "interp_param": 9100001}


@pytest.mark.parametrize("name", CAFFE2_TABLES)
def test_module_has_the_names_of_a_generated_one(shared: Path, name: str) -> None:
    module = __import__(f"caffe2.proto.{name}_pb2", fromlist=["DESCRIPTOR"])
    schema = read_schema(shared, name)
    assert module.DESCRIPTOR.name == f"caffe2/proto/{name}.proto"
    for full in schema["messages"]:
        path = full.removeprefix(schema["package"] + ".").split(".")
        cls = module
        for part in path:
            cls = getattr(cls, part)
        assert cls.DESCRIPTOR.full_name == full
        assert getattr(module, "_" + "_".join(path).upper()) is cls.DESCRIPTOR
        assert (cls.__module__, cls.__qualname__) == (module.__name__, ".".join(path))
    for full, values in schema["enums"].items():
        *outer, last = full.removeprefix(schema["package"] + ".").split(".")
        scope = module
        for part in outer:
            scope = getattr(scope, part)
        assert dict(getattr(scope, last).items()) == values
        assert {value: getattr(scope, value) for value in values} == values


def test_constants_of_the_predictor(shared: Path) -> None:
    schema = json.loads((shared / "reference/caffe2/schema.json").read_text())
    consts = predictor_consts_pb2.PredictorConsts()
    found = {name: getattr(consts, name) for name in schema["predictor_constants_values"]}
    assert found == schema["predictor_constants_values"]


def test_device_names_of_older_programs() -> None:
    assert (caffe2_pb2.CPU, caffe2_pb2.CUDA, caffe2_pb2.HIP) == (0, 1, 6)


MESSAGES = {
    "net": caffe2_pb2.NetDef(
        name="n", op=[caffe2_pb2.OperatorDef(type="Relu", input=["X"], output=["Y"])], external_input=["X"]
    ),
    "nested": caffe2_pb2.TensorProto.Segment(begin=1, end=5),
    "tensor": caffe2_pb2.TensorProto(dims=[2], data_type=caffe2_pb2.TensorProto.FLOAT, float_data=[1.5, -2]),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_messages_pickle_and_copy(message: Any, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(message, protocol))
    assert type(again) is type(message)
    assert again == message
    assert copy.deepcopy(message) == message
    assert copy.copy(message) is not message


def test_pickled_message_of_the_original_is_read() -> None:
    recorded = (
        b"\x80\x02ccaffe2.proto.caffe2_pb2\nTensorProto\nq\x00)Rq\x01}q\x02X\n\x00\x00\x00serialized"
        b"q\x03c_codecs\nencode\nq\x04X\x02\x00\x00\x00\x08\x01q\x05X\x06\x00\x00\x00latin1q\x06\x86"
        b"q\x07Rq\x08sb."
    )
    assert pickle.loads(recorded) == caffe2_pb2.TensorProto(dims=[1])


def test_text_format_knows_nested_enums() -> None:
    tensor = text_format.Parse("dims: 1 data_type: INT64 int64_data: 7", caffe2_pb2.TensorProto())
    assert (tensor.data_type, list(tensor.int64_data)) == (caffe2_pb2.TensorProto.INT64, [7])
    assert "data_type: INT64" in text_format.MessageToString(tensor)


def test_unknown_fields_survive() -> None:
    extra = b"\xf8\x3f\x01"  # field 1023, varint 1
    net = protobuf.parse_message(caffe2_pb2.NetDef, b"\x0a\x01n" + extra)
    assert net.name == "n"
    assert net.SerializeToString() == b"\x0a\x01n" + extra


def test_another_registration_of_the_same_file_does_not_clash() -> None:
    """A package that registers caffe2.proto in the default pool may live beside this one."""
    program = (
        "from google.protobuf import descriptor_pb2, descriptor_pool\n"
        "file = descriptor_pb2.FileDescriptorProto(name='caffe2/proto/caffe2.proto', package='caffe2')\n"
        "file.message_type.add(name='NetDef')\n"
        "descriptor_pool.Default().AddSerializedFile(file.SerializeToString())\n"
        "from caffe2.proto import caffe2_pb2\n"
        "print(caffe2_pb2.NetDef(name='x').name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "x\n"


def test_the_pure_python_runtime_works_too() -> None:
    program = (
        "from google.protobuf.internal import api_implementation as api\n"
        "from caffe2.proto import caffe2_pb2 as pb\n"
        "import copy, pickle\n"
        "t = pb.TensorProto(dims=[3], segment=pb.TensorProto.Segment(begin=0, end=1))\n"
        "ok = copy.deepcopy(t) == t == pickle.loads(pickle.dumps(t)) and pb.TensorProto.INT64 == 10\n"
        "print(api.Type(), ok)\n"
    )
    env = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout == "python True\n"


HEADER = "file bad_{0}.proto\npackage bad_{0}\n"
BAD_TABLES = {
    "no type": ("message A\n 1 x\n", "line 4: not a line of a field table: '1 x'"),
    "unknown word": ("message A\n 1 x int32 sometimes\n", "line 4: not a line of a field table"),
    "value outside an enum": (" 1 x\n", "line 3: not a line of a field table"),
    "outer message missing": ("message A.B\n", "line 3: not a line of a field table"),
    "unknown type": ("message A\n 1 x Nowhere\n", "the tables do not fit together"),
    "same number twice": ("message A\n 1 x int32\n 1 y int32\n", "line 5: .*this number or name is taken"),
    "same name twice": ("message A\n 1 x int32\n 2 x int32\n", "line 5: .*this number or name is taken"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_table_is_refused(name: str) -> None:
    text, message = BAD_TABLES[name]
    with pytest.raises(FormatError, match=r"bad\.fields: .*" + message):
        protobuf.build(HEADER.format(name.replace(" ", "_")) + text, "bad.fields")


def test_unknown_table_names_the_near_ones() -> None:
    with pytest.raises(FormatError, match=r"no field table 'cafe2'.*Did you mean caffe2"):
        protobuf.load("cafe2")


def test_aliases_packed_and_deprecated_reach_the_descriptor() -> None:
    built = protobuf.build(
        "file words.proto\npackage words\nenum E\n 1 A\n 1 B\nmessage M\n 1 e E repeated packed deprecated\n"
        ' 2 s string = "a b"\n 3 f float = -inf\n 4 n M.Inner\nmessage M.Inner\n 1 x sint32 required = -3\n'
    )
    proto = protobuf.descriptor_pb2.FileDescriptorProto()
    built.DESCRIPTOR.CopyToProto(proto)
    field = proto.message_type[0].field[0]
    assert proto.enum_type[0].options.allow_alias
    assert field.options.packed
    assert field.options.deprecated
    assert (built.M().s, built.M().f, built.M.Inner().x) == ("a b", float("-inf"), -3)


BAD_BYTES = {
    "truncated": caffe2_pb2.NetDef(name="net").SerializeToString()[:-1],
    "length beyond the end": b"\x0a\xff\xff\xff\xff\x07a",
    "endless varint": b"\x20" + b"\xff" * 11,
    "group never closed": b"\x0b",
    "field number 0": b"\x00\x00",
    "deeper than any net": b"".join(
        bytes([0x12]) + protobuf_length for protobuf_length in [b"\xff\x7f"] * 5000
    ),
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_bad_bytes_are_a_format_error(name: str) -> None:
    with pytest.raises(FormatError, match=r"x\.pb: record 3: .*not a complete caffe2\.NetDef message"):
        protobuf.parse_message(caffe2_pb2.NetDef, BAD_BYTES[name], path="x.pb", where="record 3")


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x01\xff",
        caffe2_pb2.NetDef(op=[caffe2_pb2.OperatorDef(input=["ok", "XX"])])
        .SerializeToString()
        .replace(b"XX", b"X\xff"),
    ],
    ids=["name", "nested and repeated"],
)
def test_names_that_are_no_text(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"net\.pb: .*(not UTF-8 text|can't decode)"):
        protobuf.parse_message(caffe2_pb2.NetDef, data, path="net.pb")


def test_text_beyond_ascii_is_text() -> None:
    net = caffe2_pb2.NetDef(name="né", op=[caffe2_pb2.OperatorDef(input=["ü"])])
    assert protobuf.parse_message(caffe2_pb2.NetDef, net.SerializeToString()) == net
