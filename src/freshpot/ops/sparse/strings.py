"""Parts of texts, and tests of texts, element by element. One table makes them all.

Source: caffe2/operators/string_ops.h
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from freshpot.net.schema import STRING, Arg, Port
from freshpot.ops._operator import Operator


class _Texts(Operator, abstract=True):
    """Y = a function of each text in X."""

    inputs = (Port("X", STRING),)
    outputs = (Port("Y"),)
    no_gradient = "there is no gradient of text"
    function: Callable[[bytes, Any], Any]
    makes_text = True

    def kernel(self, X: np.ndarray) -> Any:
        wanted = getattr(self, self.args[0].name)
        made = [type(self).function(text, wanted) for text in X.ravel().tolist()]
        if not self.makes_text:
            return torch.tensor(made, dtype=torch.bool, device=self.device).reshape(X.shape)
        Y = np.empty(len(made), dtype=object)
        Y[:] = made
        return Y.reshape(X.shape)


_LENGTH = Arg("length", int, 3, "bytes to keep")
#: operator -> function, its argument, what it says, whether it makes text
_TABLE: dict[str, tuple[Callable[[bytes, Any], Any], Arg, str, bool]] = {
    "StringPrefix": (lambda t, n: t[: max(n, 0)], _LENGTH, "the first bytes of each text", True),
    "StringSuffix": (lambda t, n: t[max(len(t) - n, 0) :], _LENGTH, "the last bytes of each text", True),
    "StringStartsWith": (
        bytes.startswith,
        Arg("prefix", bytes, b"", "bytes to look for"),
        "whether each text starts with 'prefix'",
        False,
    ),
    "StringEndsWith": (
        bytes.endswith,
        Arg("suffix", bytes, b"", "bytes to look for"),
        "whether each text ends with 'suffix'",
        False,
    ),
    "StringEquals": (
        bytes.__eq__,
        Arg("text", bytes, b"", "text to compare with"),
        "whether each text equals 'text'",
        False,
    ),
}

for _name, (_function, _arg, _says, _text) in _TABLE.items():
    type(
        _name,
        (_Texts,),
        {
            "__doc__": f"Y = {_says}.\n\nShapes:   X: any, text -> Y: as X\nSource:   caffe2/operators/string_ops.h",
            "__module__": __name__,
            "function": staticmethod(_function),
            "args": (_arg,),
            "makes_text": _text,
        },
    )
