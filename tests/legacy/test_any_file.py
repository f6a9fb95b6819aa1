"""Whatever a file holds, reading it as a program gives cells or a typed error, and each cell Python or its error."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshpot.errors import FreshpotError
from freshpot.legacy.cells import Document, read_document
from freshpot.legacy.modernize import modernize

pytestmark = pytest.mark.filterwarnings("ignore")

ENDINGS = st.sampled_from([".py", ".ipynb", ".md", ".rst", ".txt", ".exe", ""])
#: what such files are made of
PIECES = st.sampled_from(
    [
        *(
            "```python\n",
            "```\n",
            "~~~ py\n",
            "```{.python .input}\n",
            ".. code:: python\n\n",
            "Then::\n\n",
            "::",
        ),
        *("    ", "\t", "\n", "\n\n", "Output:\n", ">>> ", "... ", "# coding: utf-16\n", "# coding: idna\n"),
        *(
            "x = 1\n",
            "print 'x' % y\n",
            "print >>f, x\n",
            "exec 'x' in d\n",
            "raise E, 'x', t\n",
            "`x`",
            "0777L",
        ),
        *(
            "def f((a, b), c):\n",
            "if x:\n",
            "%matplotlib inline\n",
            "!ls {x}\n",
            "%%bash\n",
            "%%time ",
            "x?\n",
        ),
        *(
            "lambda (a, b): a\n",
            "from __future__ import division\n",
            "x /= 2 / 3.\n",
            "'''",
            '"',
            "\\",
            "(",
            "}",
            "é",
        ),
        *(
            "import urllib2\n",
            "d.has_key(1)\n",
            "except E, e:\n",
            "async",
            "print",
            "\0",
            "\f",
            "\r",
            "\ufeff",
            "1_0",
        ),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
CELLS = st.fixed_dictionaries(
    {},
    optional={
        "cell_type": st.sampled_from(["code", "markdown", 3]) | JSONS,
        "source": TEXTS | st.lists(TEXTS, max_size=4) | JSONS,
        "input": TEXTS | JSONS,
        "outputs": st.lists(st.fixed_dictionaries({"text": TEXTS | JSONS}), max_size=2) | JSONS,
    },
)
BOOKS = st.fixed_dictionaries(
    {},
    optional={
        "cells": st.lists(CELLS | JSONS, max_size=4) | JSONS,
        "worksheets": st.lists(
            st.fixed_dictionaries({"cells": st.lists(CELLS, max_size=2)}) | JSONS, max_size=2
        ),
        "nbformat": st.integers(0, 6) | JSONS,
        "metadata": JSONS | st.fixed_dictionaries({"kernelspec": JSONS, "language_info": JSONS}),
    },
)


def check(ending: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{ending}"
        path.write_bytes(data)
        refused, document = _read(path)
    assert document is not None or str(path) in refused
    if document is None:
        return
    lines = data.count(b"\n") + data.count(b"\r") + 1
    assert all(1 <= cell.line <= lines for cell in document.cells)
    modern, _ = modernize(cell.source for cell in document.cells)
    for cell, new in zip(document.cells, modern, strict=True):
        assert new.error is not None or new.text.count("\n") >= cell.source.count("\n") - 1


def _read(path: Path) -> tuple[str, Document | None]:
    try:
        return "", read_document(path)
    except FreshpotError as error:
        return str(error), None


SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@SETTINGS
@given(ENDINGS, st.binary(max_size=60) | TEXTS.map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes(ending: str, data: bytes) -> None:
    check(ending, data)


@SETTINGS
@given(BOOKS | JSONS, st.sampled_from([None, 1]), st.integers(0, 30))
def test_any_notebook(book: Any, indent: int | None, cut: int) -> None:
    text = json.dumps(book, indent=indent)
    check(".ipynb", text[: len(text) - cut if cut < 10 else None].encode())
