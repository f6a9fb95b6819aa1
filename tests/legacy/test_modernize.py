"""Python 2 to 3: what each construct becomes, and what it does then."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

from freshpot.legacy import python2
from freshpot.legacy.modernize import Modernized, is_python2, modernize, python3

# Python 2 -> what it prints
PROGRAMS = {
    "print": ("print 'x', 7", "x 7\n"),
    "print without end": ("print 'x',\nprint 'y'", "x y\n"),
    "print of an attribute": ("print (1 + 2j).real, 'x'", "1.0 x\n"),
    "print of an element": ("print ([5])[0], 2", "5 2\n"),
    "print of a comparison": ("print (1) == 1", "True\n"),
    "print of a pair": ("xrange(1)\nprint (1), 2", "1 2\n"),
    "slip of print": ('print("%d x %d") % (1, 2)', "1 x 2\n"),
    "print of a tuple": ("print 1\nprint('a', 2)", "1\n('a', 2)\n"),
    "xrange": ("for i in xrange(2): print i", "0\n1\n"),
    "division": ("print 7 / 2, 7. / 2, 7 / float(2), -7 / 2", "3 3.5 3.5 -4\n"),
    "division in a chain": ("print 2 * 7 / 4 * 2, 1. * 7 / 2", "6 3.5\n"),
    "division in place": ("x = 7\nx /= 2\nprint x", "3\n"),
    "true division by choice": ("from __future__ import division\nprint 7 / 2", "3.5\n"),
    "dict methods": (
        "d = {1: 2}\nprint d.items()[0], d.has_key(1), [k for k in d.iterkeys()]",
        "(1, 2) True [1]\n",
    ),
    "except": ("try:\n    raise ValueError, 'm'\nexcept ValueError, e:\n    print e", "m\n"),
    "backticks and <>": ("print `1` + 'a', 1 <> 2", "1a True\n"),
    "octal and long": ("print 0777, 10L", "511 10\n"),
    "unicode": ("print u'x', isinstance('x', basestring), unicode(3)", "x True 3\n"),
    "exec": ("exec 'print(3)'", "3\n"),
    "cmp, reduce": ("print cmp(1, 2), reduce(lambda a, b: a + b, [1, 2])", "-1 3\n"),
    "map and zip are lists": ("print map(str, [1])[0], zip([1], [2])[0]", "1 (1, 2)\n"),
    "round": (
        "import numpy\nprint round(2.5), round(-0.15, 1), round(7), round(numpy.array([1.26]), 1), round(1e300)",
        "3.0 -0.1 7.0 1.3 1e+300\n",
    ),
    "tuple parameters": ("f = lambda (a, b): a + b\nprint f((1, 2))", "3\n"),
    "tabs": ("if 1:\n\tprint 1\n        print 2", "1\n2\n"),
    "in a string": ("s = '''\n%time\n!x'''\nprint s", "\n%time\n!x\n"),
}


def run(text: str) -> str:
    names = {"__name__": "__main__", **python2.names()}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(text, "cell", "exec", dont_inherit=True), names)
    return out.getvalue()


@pytest.mark.parametrize("name", PROGRAMS)
def test_python2(name: str) -> None:
    text, printed = PROGRAMS[name]
    (cell,), old = modernize([text])
    assert old
    assert cell.changed
    assert cell.error is None
    assert run(cell.text) == printed


KEPT = [
    "print('a', 2)\n",
    "x = 1 / 2\n",
    "def f(x: int) -> int:\n    return x\n",
    "print(f'{1:>3}', file=None)\n",
]


@pytest.mark.parametrize("text", [*KEPT, "async def f():\n    await g()\n", "a, *b = c\n"])
def test_python3_is_left_alone(text: str) -> None:
    assert modernize([text]) == ([Modernized(text)], False)


def test_one_old_cell_makes_the_program_old() -> None:
    cells, old = modernize(["print 1", "x = 7 / 2", "print('a', 2)"])
    assert old
    assert [cell.text for cell in cells] == ["print(1)", "x = old_div(7, 2)", "print('a', 2)"]


def test_division_stays_true_after_its_import() -> None:
    cells, _ = modernize(["x = 1 / 2", "from __future__ import division", "print 1 / 2"])
    assert [cell.text for cell in cells] == ["x = old_div(1, 2)", "", "print(1 / 2)"]


@pytest.mark.parametrize(
    "text", ["print 1\n\n\nprint 2", "from __future__ import (division,\n  print_function)\nx = xrange(3)"]
)
def test_lines_stay_where_they_are(text: str) -> None:
    assert python3(text).count("\n") == text.count("\n")


DEEP = ["x = " + "(" * 5000, "x = " + "-" * 5000 + "1", "x = " + "[" * 150 + "]" * 150 + "print 1"]


@pytest.mark.parametrize("text", ["def f(:\n", "x = = 1", "print 'x", "if 1:\nprint 1", "x = '\0'", *DEEP])
def test_neither(text: str) -> None:
    (cell,), _ = modernize([text])
    assert cell.error is not None
    assert cell.text == text
    with pytest.raises(SyntaxError):
        python3(text)


def test_names_bound_by_the_program_are_no_marks() -> None:
    _, old = modernize(["from functools import reduce\nx = reduce(max, [1])", "def cmp(a): pass\ncmp(1)"])
    assert not old


def test_old_division_of_arrays() -> None:
    assert python2.old_div(np.array([7, -7]), 2).tolist() == [3, -4]
    assert python2.old_div(np.array([7.0]), 2).tolist() == [3.5]
    assert python2.old_div(np.int64(7), 2) == 3
    whole = np.array([7])
    assert python2.old_idiv(whole, 2) is whole
    assert whole.tolist() == [3]


# ---- one type for text and bytes -----------------------------------------------------------------------
def test_files_give_bytes_where_they_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for data, wanted in ((b"abc\n", "abc\n"), (b"\x0a\x12\x80", b"\x0a\x12\x80"), (b"\x12ab", b"\x12ab")):
        path.write_bytes(data)
        with python2.open_(str(path)) as file:
            assert file.read() == wanted


def test_files_take_both(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with python2.open_(str(path), "w") as file:
        file.write("é\n")
        file.write(b"\x80")
        file.write("x")
    assert path.read_bytes() == b"\xc3\xa9\n\x80x"


def test_execfile(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("print 1\nx = 3\n")
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        python2.execfile(str(tmp_path / "other.py"), names)
    assert names["x"] == 3


def test_signs_that_no_grammar_has() -> None:
    with pytest.raises(SyntaxError):
        python3("\u00b2")


@pytest.mark.parametrize(
    ("first", "old"), [("#!/usr/bin/env python2", True), ("#!/usr/bin/python3", False), ("", False)]
)
def test_the_first_line_says_which_python(first: str, old: bool) -> None:
    """A program that both Pythons read: with the old one, text files take numpy's bytes."""
    assert is_python2(f'{first}\nwith open("w.npy", "w") as f:\n    numpy.save(f, x)\n') is old
