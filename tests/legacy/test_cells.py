"""Files as cells: every form, and what is no program."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from freshpot.errors import FormatError, NotSupportedError
from freshpot.legacy.cells import Document, read_document


def read(folder: Path, name: str, text: str) -> Document:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_document(path)


def shape(document: Document) -> tuple[list[tuple[int, str]], int, int, int]:
    cells = [(cell.line, cell.source) for cell in document.cells]
    return cells, document.fragments, document.outputs, document.others


# name, text -> cells with their lines, fragments, outputs, other blocks
TEXTS = {
    "python": ("a.py", "x = 1\nprint(x)\n", ([(1, "x = 1\nprint(x)\n")], 0, 0, 0)),
    "fenced": ("a.md", "t\n```python\nx = 1\n```\n", ([(3, "x = 1")], 0, 0, 0)),
    "py, spaces behind": ("a.md", "```py  \nx = 1\n```  \n", ([(2, "x = 1")], 0, 0, 0)),
    "braces": ("a.md", "```{.python .input}\nx = 1\n```\n", ([(2, "x = 1")], 0, 0, 0)),
    "tildes": ("a.md", "~~~python3\nx = 1\n~~~\n", ([(2, "x = 1")], 0, 0, 0)),
    "ipython": ("a.md", "```ipython3\nx = 1\n```\n", ([(2, "x = 1")], 0, 0, 0)),
    "output in a fence": (
        "a.md",
        "```python\nprint(1)\n```\nOutput:\n```\n1\n```\n",
        ([(2, "print(1)")], 0, 1, 0),
    ),
    "output indented": ("a.md", "```python\nprint(1)\n```\n\n    1\n", ([(2, "print(1)")], 0, 1, 0)),
    "output in the cell": (
        "a.md",
        "```python\nprint(1)\noutput：\n1 x y\n```\n",
        ([(2, "print(1)")], 0, 1, 0),
    ),
    "fragment": ("a.md", "```python\nx = 1\n```\nso\n\n    x = f(y)\n\nend\n", ([(2, "x = 1")], 1, 0, 0)),
    "prose indented": (
        "a.md",
        "```python\nx = 1\n```\nso\n\n    (1) first, then\n",
        ([(2, "x = 1")], 0, 0, 0),
    ),
    "shell": ("a.md", "```python\nx = 1\n```\n```bash\nls\n```\n", ([(2, "x = 1")], 0, 0, 1)),
    "closed by an opening fence": (
        "a.md",
        "```python\nx = 1\n```python\ntext\n```python\ny = 1\n```\n",
        ([(2, "x = 1"), (6, "y = 1")], 0, 0, 0),
    ),
    "never closed": ("a.md", "```python\nx = 1", ([(2, "x = 1")], 0, 0, 0)),
    "untagged": ("a.md", "```\nx = f(1)\n```\n```\n[1, 2]\n```\n", ([(2, "x = f(1)")], 0, 1, 0)),
    "untagged Python 2": ("a.md", "```\nprint 'x'\n```\n", ([(2, "print 'x'")], 0, 0, 0)),
    "indented": ("a.md", "text\n\n    import os\n    x = 1\n\nword\n", ([(3, "import os\nx = 1")], 0, 0, 0)),
    "prompt": ("a.md", "```python\n>>> x = 1\n>>> x\n1\n```\n", ([(2, "x = 1\nx\n")], 0, 0, 0)),
    "directive": (
        "a.rst",
        "T\n\n.. code:: ipython3\n\n    x = 1\n    y = 2\n\nt\n",
        ([(5, "x = 1\ny = 2")], 0, 0, 0),
    ),
    "directive's options": (
        "a.rst",
        ".. code-block:: python\n   :linenos:\n\n   if x:\n       y = 2\n",
        ([(4, "if x:\n    y = 2")], 0, 0, 0),
    ),
    "parsed literal": (
        "a.rst",
        ".. code:: python\n\n    print(1)\n\n.. parsed-literal::\n\n    1\n",
        ([(3, "print(1)")], 0, 1, 0),
    ),
    "literal block": ("a.rst", "Then::\n\n    x = f(1)\n\nend\n", ([(3, "x = f(1)")], 0, 0, 0)),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, tmp_path: Path) -> None:
    file, text, wanted = TEXTS[name]
    assert shape(read(tmp_path, file, text)) == wanted


def test_what_is_shown_belongs_to_its_cell(tmp_path: Path) -> None:
    text = "```python\n!cat a\n```\n\n    one\n    two\n\n```python\nx = 1\n```\n"
    assert [cell.shown for cell in read(tmp_path, "a.md", text).cells] == ["one\ntwo\n", ""]


def notebook(*cells: object, **more: object) -> dict[str, object]:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more}


def code(*lines: str, **more: object) -> dict[str, object]:
    return {"cell_type": "code", "source": list(lines), **more}


def test_notebook_lines_are_those_of_the_file(tmp_path: Path) -> None:
    book = notebook({"cell_type": "markdown", "source": ["x"]}, code("a = 1\n", "b = 2"), code("c = 'é'"))
    text = json.dumps(book, indent=1)
    document = read(tmp_path, "a.ipynb", text)
    lines = text.split("\n")
    assert [cell.source for cell in document.cells] == ["a = 1\nb = 2", "c = 'é'"]
    first, second = (cell.line for cell in document.cells)
    assert "a = 1" in lines[first - 1]
    assert "c = " in lines[second - 1]
    assert document.cells[0].place(first + 1) == f"line {first + 1}"


def test_notebook_on_one_line(tmp_path: Path) -> None:
    cell = read(tmp_path, "a.ipynb", json.dumps(notebook(code("a = 1\n", "b = 2")))).cells[0]
    assert cell.place(cell.first + 1) == "line 2 of the cell"


def test_notebook_of_format_3(tmp_path: Path) -> None:
    book = {
        "worksheets": [{"cells": [{"cell_type": "code", "input": "print 1", "outputs": [{"text": "1"}]}]}]
    }
    document = read(tmp_path, "a.ipynb", json.dumps(book))
    assert ([cell.source for cell in document.cells], document.outputs) == (["print 1"], 1)


BAD = {
    "not JSON": ("a.ipynb", b"import os\n", "is not a notebook: not JSON"),
    "cut off": ("a.ipynb", b'{"cells": [', "line 1: is not a notebook"),
    "deep": ("a.ipynb", b"[" * 100_000, "is not a notebook"),
    "a list": ("a.ipynb", b"[1]", "a list, not an object with cells"),
    "no cells": ("a.ipynb", b"{}", "it has no list 'cells'"),
    "cells of text": ("a.ipynb", b'{"cells": "x"}', "it has no list 'cells'"),
    "a cell that is none": ("a.ipynb", b'{"cells": [1]}', "cell 1: a cell must be an object, not a number"),
    "a source that is none": (
        "a.ipynb",
        b'{"cells": [{"cell_type": "code", "source": [1]}]}',
        "cell 1: a cell's source must be text or a list of lines, not a list",
    ),
    "worksheet": ("a.ipynb", b'{"worksheets": [1]}', "a worksheet without cells"),
    "not UTF-8": ("a.md", b"one\n\xff\xfe\n", "line 2: is not text in utf-8: byte 0xff"),
    "zero byte": ("a.py", b"x = 1\n\0", "line 2: is not text: it holds a zero byte"),
    "unknown encoding": ("a.py", b"# coding: klingon\n", "the encoding 'klingon'"),
    "an encoding of no text": ("a.py", b"# coding: rot13\n", "the encoding 'rot13'"),
    "an encoding that fails": ("a.py", b"# coding: undefined\nx = 1\n", "is not text in 'undefined'"),
    "binary": ("a.md", b"\x89PNG\r\n\x1a\n\x00", "line 1: is not text in utf-8: byte 0x89"),
    "empty": ("a.py", b"", "is empty: there is nothing to run"),
    "empty lines": ("a.py", b"\n  \n", "is empty: there is nothing to run"),
    "empty notebook": ("a.ipynb", b"", "is not a notebook: not JSON"),
    "notebook without code": (
        "a.ipynb",
        b'{"cells": [{"cell_type": "markdown", "source": "x"}, {"cell_type": "code", "source": []}]}',
        "has no code cell with anything in it",
    ),
    "a format to come": (
        "a.ipynb",
        b'{"cells": [], "nbformat": 5}',
        "a notebook of format 5; known are 2 to 4",
    ),
    "a format that is none": ("a.ipynb", b'{"cells": [], "nbformat": "4"}', "a notebook of format 4; known"),
    "text without code": ("a.md", b"# Title\n\nwords\n\n    more words\n", "has no Python in it: no fenced"),
    "empty text": ("a.md", b"", "has no Python in it"),
    "rst without code": ("a.rst", b"Title\n=====\n\n.. code:: bash\n\n    ls\n", "no '.. code:: python'"),
    "unknown ending": ("a.exe", b"MZ", "cannot tell what '.exe' is"),
    "a net": ("a.prototxt", b"name: 'a'", "It is a net, not a program: see `caffe` and `freshpot convert`."),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name: str, tmp_path: Path) -> None:
    file, data, message = BAD[name]
    (tmp_path / file).write_bytes(data)
    with pytest.raises(FormatError) as caught:
        read_document(tmp_path / file)
    assert message in str(caught.value)
    assert file in str(caught.value)


@pytest.mark.parametrize("name", ["a.ipynb", "a", "a.py"])
def test_folders(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(FormatError, match="is a folder; name the program in it"):
        read_document(tmp_path / name)


def test_what_is_no_file(tmp_path: Path) -> None:
    """Reading a pipe that nobody writes to would never end."""
    os.mkfifo(tmp_path / "a.py")
    with pytest.raises(FormatError, match="is no regular file"):
        read_document(tmp_path / "a.py")


def test_a_large_notebook(tmp_path: Path) -> None:
    """Pictures of 20 MB between 400 cells: the lines of all cells are found in time."""
    picture = {"output_type": "display_data", "data": {"image/png": ["x" * 50_000]}}
    cells = [code(*[f"a{k}_{i} = {i}\n" for i in range(10)]) | {"outputs": [picture]} for k in range(400)]
    document = read(tmp_path, "a.ipynb", json.dumps(notebook(*cells), indent=1))
    assert len(document.cells) == 400
    assert all(cell.exact for cell in document.cells)


def test_other_languages_are_refused(tmp_path: Path) -> None:
    book = notebook(code("x <- 1"), metadata={"kernelspec": {"language": "R"}})
    with pytest.raises(NotSupportedError, match="a notebook in R"):
        read(tmp_path, "a.ipynb", json.dumps(book))


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freshpot.legacy.cells.MAX_BYTES", 1 << 20)
    with pytest.raises(FormatError, match="larger than 1 MiB"):
        read(tmp_path, "a.py", "#" * (1 << 20) + "\n")


def test_named_encodings(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes("# -*- coding: latin-1 -*-\nx = 'é'\r\n".encode("latin-1"))
    assert read_document(path).cells[0].source == "# -*- coding: latin-1 -*-\nx = 'é'\n"
