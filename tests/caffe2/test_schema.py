"""Schemas and records of the Caffe2 API."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe2.python import core, schema, workspace
from caffe2.python._errors import MisuseError


@pytest.fixture(autouse=True)
def fresh() -> None:
    workspace.ResetWorkspace()


def nested() -> schema.Struct:
    return schema.Struct(
        ("a", np.int32),
        ("b", schema.Struct(("c", np.float32), ("d", schema.List(np.int64)))),
        ("e:f", schema.Scalar((np.float32, 3))),
        ("m", schema.Map(np.int32, np.str_)),
    )


def test_leaves_are_named_by_their_path() -> None:
    names = ["a", "b:c", "b:d:lengths", "b:d:values", "e:f", "m:lengths", "m:values:keys", "m:values:values"]
    assert nested().field_names() == names
    assert nested()["b:d:values"].id() == 3
    assert nested().b.slice() == slice(1, 4)
    assert nested().field_types()[4].shape == (3,)


def test_columns_make_the_schema_again() -> None:
    first = nested()
    again = schema.from_column_list(first.field_names(), first.field_types())
    assert again.field_names() == first.field_names()
    assert isinstance(again.b.d, schema.List)
    assert again.m.keys.field_types() == [np.dtype(np.int32)]


def test_structs_add_and_subtract() -> None:
    left = schema.Struct(("a", np.int32), ("b", schema.Struct(("c", np.int32), ("d", np.int32))))
    right = schema.Struct(("b", schema.Struct(("c", np.int32))))
    assert (left - right).field_names() == ["a", "b:d"]
    assert ((left - right) + right).field_names() == ["a", "b:d", "b:c"]
    assert left[["b", "a"]].field_names() == ["b:c", "b:d", "a"]


def test_records_go_through_the_workspace() -> None:
    net = core.Net("reader")
    columns = schema.Struct(("x", schema.Scalar((np.float32, 2))), ("y", np.int64))
    record = schema.NewRecord(net, columns)
    assert [str(b) for b in record.field_blobs()] == ["x", "y"]
    fed = [np.ones((4, 2), np.float32), np.arange(4)]
    schema.FeedRecord(record, fed)
    fetched = schema.FetchRecord(record)
    np.testing.assert_array_equal(fetched.x(), fed[0])
    np.testing.assert_array_equal(fetched.y(), fed[1])


def test_printed_form() -> None:
    text = repr(schema.Struct(("a", np.int32)))
    assert text == "Struct( \n  a=\n    Scalar(dtype('int32'), None, None)\n) \n"


MISUSE: dict[str, tuple[Any, type[Exception], str]] = {
    "str blob": (lambda: schema.Scalar(blob="x"), ValueError, "BlobReference"),
    "lengths": (lambda: schema.Struct(("lengths", np.int32)), MisuseError, "lengths"),
    "twice": (lambda: schema.Struct(("a", np.int32), ("a", np.int32)), ValueError, "Duplicate field name: a"),
    "no field": (lambda: nested()["z"], KeyError, "there are: a, b:c"),
    "set": (lambda: setattr(nested(), "a", 1), TypeError, "does not change"),
    "no blob": (lambda: nested().a(), MisuseError, "holds no blob"),
    "count": (lambda: schema.from_blob_list(nested(), []), MisuseError, "8 columns; got 0"),
    "limit": (
        lambda: schema.Scalar(np.float32, metadata=schema.Metadata(5)),
        MisuseError,
        "categorical_limit is for fields of integers",
    ),
}


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_says_what_is_wrong(case: str) -> None:
    act, error, message = MISUSE[case]
    with pytest.raises(error, match=message):
        act()
