"""What a net's description asks for and freshpot lacks, in one error.

Owned here: that error, and the hints that are only logged. Who calls it: `_net.net`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe import _log
from caffe._net.layer import find_type
from freshpot.errors import ArgumentError, UnknownOperatorError
from freshpot.formats.caffe_text import StrangeField

if TYPE_CHECKING:
    from caffe._net.net import CaffeNet

_ADVICE = """\
A layer type that is not there can be a class of yours: type: "Python" python_param { module: "…" layer: "…" }."""


def refuse_unknown(net: CaffeNet, strange: Sequence[StrangeField]) -> None:
    """One error for all layers and fields that cannot run.

    Raises:
        UnknownOperatorError: a layer type is not there. ArgumentError: only fields are not known.
    """
    fields: dict[int | None, list[StrangeField]] = {}
    for field in strange:
        if field.hint:
            _log.warning("net.cpp:53", f"{net.at_line(field.line)}left aside: {field.message}")
        else:
            fields.setdefault(field.layer, []).append(field)
    found = [f"{net.at_line(field.line)}{field.message}" for field in fields.get(None, [])]
    no_such_type = False
    for i, layer in enumerate(net.param.layer):
        try:
            find_type(layer.type)
        except UnknownOperatorError as error:
            found.append(f"{net.place(i)}: {error.message}")
            no_such_type = True
            continue
        for field in fields.get(net.source_index[i], []):
            found.append(f"{net.at_line(field.line)}layer '{layer.name}' ({layer.type}): {field.message}")
    if not found:
        return
    count = f"{len(found)} layers or fields are" if len(found) > 1 else "a layer or field is"
    if no_such_type:
        found.append(_ADVICE)
    message = "\n  ".join([f"cannot run, {count} unknown:", *found])
    raise (UnknownOperatorError if no_such_type else ArgumentError)(message, net=net.name or None)
