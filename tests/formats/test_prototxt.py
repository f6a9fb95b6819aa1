"""Protocol buffer text: what is read, what is refused in which words, and that nothing is lost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from freshpot.errors import FormatError
from freshpot.formats import protobuf, prototxt
from freshpot.formats.prototxt import format_prototxt, parse_prototxt

PB = protobuf.load("caffe")


def layer(text: str) -> Any:
    return parse_prototxt(text, PB.LayerParameter()).message


def solver(text: str) -> Any:
    return parse_prototxt(text, PB.SolverParameter()).message


# ---- what is read ---------------------------------------------------------------------------------

GOOD = [
    ('name: "a"', {"name": "a"}),
    ("name: 'a'", {"name": "a"}),
    ('name : "a" ;', {"name": "a"}),
    ('name: "a", type: "b"', {"name": "a", "type": "b"}),
    ('name: "a" "b"\n\'c"d\' # adjacent ones are one', {"name": 'abc"d'}),
    (r'name: "t\ta\"b\\n\'\101\x42"', {"name": "t\ta\"b\\n'AB"}),
    ('name: "grün 图"', {"name": "grün 图"}),
    (r'name: "\345\233\276"', {"name": "图"}),
    ('# only a comment', {}),
    ('name: "a # no comment"# a comment\n#\n', {"name": "a # no comment"}),
    ("\ufeffname: 'bom'", {"name": "bom"}),
    ('name: "a"\r\ntype: "b"\r\n', {"name": "a", "type": "b"}),
    ('bottom: "a" bottom: "b"', {"bottom": ["a", "b"]}),
    ('bottom: ["a", "b"]', {"bottom": ["a", "b"]}),
    ("bottom: []", {}),
    ("loss_weight: [1, 2.5, 1e2, .5, 3., -1.5f, 2F, inf, -inf]",
     {"loss_weight": [1, 2.5, 100, 0.5, 3, -1.5, 2, math.inf, -math.inf]}),
    ("phase: TEST", {"phase": 1}),
    ("phase: 1", {"phase": 1}),
    ("propagate_down: [true, false, t, f, 1, 0, True, False]",
     {"propagate_down": [True, False] * 4}),
    ("", {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fields"), GOOD)
def test_good(text: str, fields: dict[str, Any]) -> None:
    assert layer(text) == PB.LayerParameter(**fields)


@pytest.mark.parametrize("text", [text for text, _ in GOOD if "\ufeff" not in text and "t, f" not in text])
def test_good_as_the_reference_parser_reads_it(text: str) -> None:
    assert layer(text) == text_format.Parse(text.replace("3.,", "3,"), PB.LayerParameter())


NUMBERS = [
    ("10", 10),
    ("0x1F", 31),
    ("0X1f", 31),
    ("017", 15),
    ("0", 0),
    ("-5", -5),
    ("-0x10", -16),
    ("2147483647", 2**31 - 1),
]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_whole_numbers(text: str, value: int) -> None:
    assert solver(f"max_iter: {text}").max_iter == value


@pytest.mark.parametrize(
    "text", ["{ kernel_size: 3 }", ": { kernel_size: 3 }", "< kernel_size: 3 >", ": < kernel_size: 3; >"]
)
def test_messages(text: str) -> None:
    assert layer(f"pooling_param {text}").pooling_param.kernel_size == 3


def test_nested_messages_of_both_kinds() -> None:
    made = layer('convolution_param < weight_filler { type: "msra" } bias_filler < value: 2 > >')
    assert made.convolution_param.weight_filler.type == "msra"
    assert made.convolution_param.bias_filler.value == 2


def test_a_list_of_messages() -> None:
    made = layer("param: [{ lr_mult: 1 }, < lr_mult: 2 >]")
    assert [spec.lr_mult for spec in made.param] == [1, 2]


def test_an_empty_message_is_there() -> None:
    assert layer("relu_param {}").HasField("relu_param")


def test_nan() -> None:
    assert math.isnan(solver("base_lr: nan").base_lr)


def test_lines() -> None:
    made = parse_prototxt(
        '\n\nlayer {\n  name: "a"\n}\nlayer {\n\n  pooling_param {\n  pad: 1 } }', PB.NetParameter()
    )
    places = [("layer", 0), ("layer", 0, "name", 0), ("layer", 1), ("layer", 1, "pooling_param", 0, "pad", 0)]
    assert [made.line_of(*place) for place in places] == [3, 4, 6, 9]
    assert made.line_of("layer", 2) is None


def test_a_part_of_a_message() -> None:
    made = parse_prototxt('base_lr: 1\nnet_param {\n layer { name: "a"\n spin: 1 } }', PB.SolverParameter())
    part = made.part("net_param", 0)
    assert part.message.layer[0].name == "a"
    assert part.line_of("layer", 0) == 3
    assert part.unknown_names() == ["line 4: layer.0.spin"]


def test_comments_may_be_in_any_encoding() -> None:
    text = 'name: "a" # 图'.encode("gbk").decode("utf-8", "surrogateescape")
    assert layer(text).name == "a"


# ---- what is refused ------------------------------------------------------------------------------

BAD = [
    ('name: "a', "line 1: the string that begins with \"a has no closing quote on its line"),
    ("\nname: 'a\n'", "line 2: the string that begins with 'a has no closing quote on its line"),
    ('name: "a"\nrelu_param {\n\n', "line 2: the message opened here is never closed with '}'"),
    ("relu_param < }", "line 1: expected the name of a field, found '}'"),
    ("}", "line 1: expected the name of a field, found '}'"),
    ('"name": 1', "line 1: expected the name of a field, found '\"name\"'"),
    ('name "a"', "line 1: expected ':' or '{' after 'name'"),
    ("name: :", "line 1: expected a value, found ':'"),
    ("name:", "line 1: the text ends in the middle of a field"),
    ("name", "line 1: expected ':' or '{' after 'name'"),
    ("\n\nname: @", "line 3: cannot read '@' here"),
    ("name: 3", "line 1: field 'name' must be text in quotes, found 3."),
    ("name: abc", "line 1: field 'name' must be text in quotes, found abc."),
    ("name { }", "line 1: field 'name' is not a message: expected a value, found '{'"),
    ("\nrelu_param: 3", "line 2: field 'relu_param' is a message: expected '{', found '3'"),
    ('pooling_param { kernel_size: "3" }', "line 1: field 'kernel_size' must be a whole number, found \"3\"."),
    ("pooling_param { kernel_size: 1.5 }", "line 1: field 'kernel_size' must be a whole number, found 1.5."),
    ("pooling_param {\nkernel_size: x }", "line 2: field 'kernel_size' must be a whole number, found x."),
    ("pooling_param { kernel_size: -1 }", "line 1: field 'kernel_size' cannot hold -1: "),
    ("pooling_param { kernel_size: 4294967296 }", "line 1: field 'kernel_size' cannot hold 4294967296: "),
    ("pooling_param { kernel_size: 089 }", "line 1: field 'kernel_size' must be a whole number, found 089."),
    (f"pooling_param {{ kernel_size: {'9' * 5000} }}", "line 1: field 'kernel_size' must be a whole number, found 9"),
    ("loss_weight: true", "line 1: field 'loss_weight' must be a number, found true."),
    ('loss_weight: "1"', "line 1: field 'loss_weight' must be a number, found \"1\"."),
    ("propagate_down: yes", "line 1: field 'propagate_down' must be true or false, found yes."),
    ("propagate_down: tru", "line 1: field 'propagate_down' must be true or false, found tru. Did you mean true?"),
    ('phase: "TEST"', "line 1: field 'phase' must be a name without quotes, found \"TEST\""),
    ('name: "a"\nname: "b"', "line 2: field 'name' is given twice, first on line 1; keep one of them"),
    ("\nname: ['a', 'b']", "line 2: field 'name' takes one value, found a list of 2"),
    ("relu_param {}\n\nrelu_param {}", "line 3: field 'relu_param' is given twice, first on line 1"),
    ('bottom: ["a" "b"', "line 1: expected ',' or ']' in the list of 'bottom'"),
    ('bottom: ["a",', "line 1: the text ends in the middle of a field"),
    ('bottom: ["a" 3]', "line 1: expected ',' or ']' in the list of 'bottom'"),
    (r'name: "\xZZ"', "line 1: field 'name' must be text in quotes, found \"\\xZZ\"."),
    (r'name: "\377"', "line 1: field 'name' must be text in quotes, found \"\\377\"."),
    ("name: '\udcff'", "line 1: field 'name' must be text in quotes, found '"),
    ("x {" * 70, "line 1: messages are nested more than 64 deep"),
    ("kernel_size: 1_000", "line 1: cannot read '1_000' here"),
    ("num: ٣", "line 1: cannot read '٣' here"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD)
def test_bad(text: str, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_prototxt(text, PB.LayerParameter(), "bad.prototxt")
    assert str(caught.value).startswith(f"bad.prototxt: {words}")


def test_required_fields() -> None:
    schema = protobuf.build(
        "file t/required.proto\npackage t\nmessage Inner\n 1 must string required\n 2 may string\n"
        "message Outer\n 1 inner Inner repeated\n"
    )
    assert parse_prototxt('inner { must: "x" }', schema.Outer()).message.inner[0].must == "x"
    with pytest.raises(FormatError, match=r"r\.txt: line 3: required fields are missing: inner\[1\]\.must"):
        parse_prototxt('inner { must: "x" }\n\ninner { may: "y" }', schema.Outer(), "r.txt")


def test_a_text_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prototxt, "MAX_SIZE", 10)
    with pytest.raises(FormatError, match="text of 11 characters; at most 10 are read"):
        layer("name: 'abc'")


def test_a_large_text_is_read_in_a_straight_line() -> None:
    text = 'layer { name: "a" type: "ReLU" top: "t" }\n' * 20_000
    assert len(parse_prototxt(text, PB.NetParameter()).message.layer) == 20_000
    assert len(layer("name: " + '"ab" ' * 50_000).name) == 100_000


# ---- unknown fields -------------------------------------------------------------------------------

UNKNOWN = [
    "spin: 3",
    'spin: "a\\"b"',
    "spin: UP",
    "spin: -1.5e3",
    "spin {\n  up: 1\n  down {\n    left: true\n  }\n}",
    "pooling_param {\n  pool: MAXX\n}",
    "pooling_param {\n  kernel_size: 3\n  ceil: true\n}",
]


@pytest.mark.parametrize("text", UNKNOWN)
def test_unknown_fields_are_written_as_they_stood(text: str) -> None:
    made = parse_prototxt(text, PB.LayerParameter())
    assert len(made.unknown) == 1
    assert format_prototxt(made) == text + "\n"


def test_names_of_unknown_fields() -> None:
    made = parse_prototxt(
        "quick: 1\nlayer { spin { x: 1 } pooling_param {\n ceil: true } }", PB.NetParameter()
    )
    assert made.unknown_names() == [
        "line 1: quick",
        "line 2: layer.0.spin",
        "line 3: layer.0.pooling_param.0.ceil",
    ]


def test_mixed_quotes_in_an_unknown_field() -> None:
    made = parse_prototxt("""spin: "it's" 'a "b" \\'c'""", PB.LayerParameter())
    text = format_prototxt(made)
    again = parse_prototxt(text, PB.LayerParameter())
    assert format_prototxt(again) == text
    known = parse_prototxt(text.replace("spin", "name"), PB.LayerParameter()).message
    assert known.name == "it'sa \"b\" 'c"


# ---- any message ----------------------------------------------------------------------------------

_NUMBERS = {
    "CPPTYPE_INT32": st.integers(-(2**31), 2**31 - 1),
    "CPPTYPE_INT64": st.integers(-(2**63), 2**63 - 1),
    "CPPTYPE_UINT32": st.integers(0, 2**32 - 1),
    "CPPTYPE_UINT64": st.integers(0, 2**64 - 1),
    "CPPTYPE_FLOAT": st.floats(width=32, allow_nan=False),
    "CPPTYPE_DOUBLE": st.floats(allow_nan=False),
    "CPPTYPE_BOOL": st.booleans(),
}


def values_of(field: Any) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type == field.TYPE_BYTES:
        return st.binary(max_size=20)
    if field.cpp_type == field.CPPTYPE_STRING:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    return next(s for name, s in _NUMBERS.items() if getattr(field, name) == field.cpp_type)


def required(field: Any) -> bool:
    flag = getattr(field, "is_required", None)  # protobuf before 6 has labels
    return field.label == field.LABEL_REQUIRED if flag is None else bool(flag)


@st.composite
def messages(draw: st.DrawFn, kind: type[Message], depth: int = 3) -> Message:
    """A message with some of its fields set, other messages in it too."""
    made = kind()
    fields = [f for f in kind.DESCRIPTOR.fields if depth or f.message_type is None]
    chosen = draw(st.lists(st.sampled_from(fields), max_size=4, unique_by=lambda f: f.name)) if fields else []
    chosen += [f for f in fields if required(f) and f not in chosen]
    for field in chosen:
        repeated = prototxt._repeated(field)
        if field.message_type is not None:
            inner = type(getattr(made, field.name).add() if repeated else getattr(made, field.name))
            count = draw(st.integers(1, 2)) if repeated else 1
            made.ClearField(field.name)
            for _ in range(count):
                target = getattr(made, field.name).add() if repeated else getattr(made, field.name)
                target.CopyFrom(draw(messages(inner, depth - 1)))
                if not repeated:
                    target.SetInParent()
        elif repeated:
            getattr(made, field.name).extend(draw(st.lists(values_of(field), max_size=3)))
        else:
            setattr(made, field.name, draw(values_of(field)))
    return made


@pytest.mark.parametrize(
    "name", ["NetParameter", "SolverParameter", "LayerParameter", "Datum", "V1LayerParameter"]
)
def test_any_message_is_printed_parsed_and_printed_the_same(name: str) -> None:
    kind = getattr(PB, name)

    @settings(max_examples=60, deadline=None)
    @given(messages(kind))
    def check(message: Message) -> None:
        made = prototxt.TextMessage(message)
        text = format_prototxt(made)
        again = parse_prototxt(text, kind())
        assert again.message == message
        assert not again.unknown
        assert format_prototxt(again) == text
        assert parse_prototxt(text_format.MessageToString(message), kind()).message == message

    check()


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("layer{}<>[]:;,\"'#\\\n 019.-+efxname")))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        made = parse_prototxt(text, PB.NetParameter())
    except FormatError:
        return
    written = format_prototxt(made)
    assert format_prototxt(parse_prototxt(written, PB.NetParameter())) == written


def test_floats_keep_every_bit() -> None:
    rng = np.random.RandomState(0)
    values = rng.randint(0, 2**32, 500, dtype=np.uint64).astype(np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    made = prototxt.TextMessage(PB.LayerParameter(loss_weight=values.tolist()))
    again = parse_prototxt(format_prototxt(made), PB.LayerParameter()).message
    np.testing.assert_array_equal(np.array(again.loss_weight, np.float32), values)
