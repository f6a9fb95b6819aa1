"""A legacy file as cells of Python, each with its line in the file.

Python files are one cell, notebooks give their code cells, Markdown and reStructuredText their code blocks. A text
whose blocks name Python holds its program in those; its other blocks are fragments, output or other languages.
A text without any such block holds its program in the blocks that are Python: fenced ones, else indented ones.
"""

from __future__ import annotations

import ast
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from freshpot.errors import FormatError
from freshpot.legacy import modernize

__all__ = ["MAX_BYTES", "Block", "Cell", "Document", "read_document"]

MAX_BYTES = 64 << 20  # a program with its pictures in a notebook; more is no program

PYTHON = re.compile(r"\{?\.?i?(python|py)[23]?(\.\d+)?\b", re.IGNORECASE)
DOCTEST = re.compile(r"\{?\.?(pycon|doctest)\b", re.IGNORECASE)
_PLAIN = re.compile(r"(text|txt|output|console|parsed-literal|none)?$", re.IGNORECASE)
#: the line in a block below which the author pasted what was printed
_OUTPUT = re.compile(r"^output\s*[:：]\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Cell:
    """Some lines of the program.

    Attributes:
        path: the file; line: its line on which ``source`` starts, from 1.
        source: as written, less a common indentation.
        shown: what the file shows as printed by the cell; empty where it shows nothing.
        exact: line k of ``source`` is line ``line + k`` of the file (not so in a notebook on one line).
    """

    path: Path
    line: int
    source: str
    shown: str = ""
    exact: bool = True

    @property
    def first(self) -> int:
        """Number of ``source``'s first line where lines are counted: in the file, or else in the cell."""
        return self.line if self.exact else 1

    def place(self, line: int) -> str:
        """Where a line, counted from `first` on, is: ``line 12``."""
        return f"line {line}" if self.exact else f"line {line} of the cell"


@dataclass(frozen=True)
class Document:
    """A file as cells, and how many other blocks it has.

    Attributes:
        form: ``python``, ``notebook``, ``markdown`` or ``rst``.
        fragments: pieces of Python that are no part of the program.
        outputs: what the program printed when the author ran it.
        others: blocks in other languages.
    """

    path: Path
    form: str
    cells: tuple[Cell, ...]
    fragments: int = 0
    outputs: int = 0
    others: int = 0

    @property
    def interactive(self) -> bool:
        """Written for a notebook or a prompt: a cell shows the value of its last line, and its figures."""
        return self.form != "python"


@dataclass(frozen=True)
class Block:
    """A block of a text, before it is known what it is.

    Attributes:
        tag: the language named, "" if none.
        follows: nothing but empty lines (or "Output:") stands between it and the block before.
        indented: told by its indentation alone.
    """

    line: int
    tag: str
    lines: tuple[str, ...] = field(repr=False)
    follows: bool = False
    indented: bool = False

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def read_document(path: Path) -> Document:
    """The cells of a file; its ending tells the form (``.py .ipynb .md .markdown .rst .txt``).

    Raises:
        FormatError: not text in UTF-8, too large, not what its ending says, or without any code.
        NotSupportedError: a notebook in another language.
        OSError: the file cannot be read.
    """
    form = _FORMS.get(path.suffix.lower())
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise FormatError("is a folder; name the program in it", path=path)
    if not stat.S_ISREG(mode):
        raise FormatError("is no regular file", path=path)
    if form is None:
        nets = path.suffix.lower() in (".prototxt", ".caffemodel", ".pb", ".pbtxt", ".onnx")
        todo = "It is a net, not a program: see `caffe` and `freshpot convert`" if nets else "Rename the file"
        raise FormatError(
            f"cannot tell what '{path.suffix}' is; known are {', '.join(_FORMS)}. {todo}.", path=path
        )
    document = _document(path, form, _read_text(path))
    if not any(cell.source.strip() for cell in document.cells):
        raise FormatError(_NO_CODE[form], path=path)
    return document


def _document(path: Path, form: str, text: str) -> Document:
    from freshpot.legacy import markdown, notebook, rst

    if form == "python":
        return Document(path, form, (Cell(path, 1, text),))
    if form == "notebook":
        return notebook.read(path, text)
    return classify(path, form, (rst if form == "rst" else markdown).blocks(text))


_NO_CODE = {
    "python": "is empty: there is nothing to run",
    "notebook": "has no code cell with anything in it: there is nothing to run",
    "markdown": "has no Python in it: no fenced and no indented block is code",
    "rst": "has no Python in it: no '.. code:: python' and no block after '::' is code",
}

_FORMS = {
    **dict.fromkeys([".py", ".pyw"], "python"),
    ".ipynb": "notebook",
    **dict.fromkeys([".md", ".markdown", ".txt"], "markdown"),
    **dict.fromkeys([".rst", ".rest"], "rst"),
}

_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
#: what Emacs writes behind an encoding for the ends of lines
_EMACS = re.compile(r"-(unix|dos|mac)$", re.IGNORECASE)


def _read_text(path: Path) -> str:
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise FormatError(f"larger than {MAX_BYTES >> 20} MiB: this is no program", path=path)
    encoding = "utf-8-sig"
    if path.suffix.lower() == ".py":  # an encoding may be named in the first two lines
        named = next((hit for line in data.split(b"\n")[:2] if (hit := _CODING.match(line))), None)
        encoding = named[1].decode("ascii", "replace") if named else encoding
    encoding = _EMACS.sub("", encoding)
    try:
        text = data.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8", "utf_8") else encoding)
    except LookupError:
        raise FormatError(f"names the encoding '{encoding}', which is not known", path=path) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"is not text in {error.encoding}: byte 0x{data[error.start]:02x}. Save it as UTF-8.",
            path=path,
            where=f"line {line}",
        ) from None
    except ValueError as error:  # encodings that are none of text
        raise FormatError(f"is not text in '{encoding}': {error}", path=path) from None
    if "\0" in text:
        raise FormatError("is not text: it holds a zero byte", path=path, where=_line_of(text, "\0"))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line_of(text: str, what: str) -> str:
    return f"line {text.count(chr(10), 0, text.index(what)) + 1}"


def classify(path: Path, form: str, found: Iterable[Block]) -> Document:
    """Tell the cells of a text from its other blocks."""
    blocks = list(found)
    is_cell = _rule(blocks)
    cells: list[Cell] = []
    fragments = outputs = others = 0
    before = False  # the block before is a cell or its output
    for block in blocks:
        if is_cell(block):
            cell, cut = _cell(path, block)
            cells.append(cell)
            outputs += cut
            before = True
        elif _PLAIN.match(block.tag) and before and block.follows:
            outputs += 1
            cells[-1] = _with_output(cells[-1], block.text)
        else:
            before = False
            if _PLAIN.match(block.tag) or PYTHON.match(block.tag):
                code = looks_like_code(block.text)
                fragments += code
                others += not code and not block.indented  # indented text that is no code is prose
            else:
                others += 1
    return Document(path, form, tuple(cells), fragments, outputs, others)


def _rule(blocks: Sequence[Block]) -> Callable[[Block], bool]:
    """What makes a block of this text a cell."""

    def tagged(block: Block) -> bool:
        return PYTHON.match(block.tag) is not None or DOCTEST.match(block.tag) is not None

    def fenced(block: Block) -> bool:
        return not block.indented and _PLAIN.match(block.tag) is not None and looks_like_code(block.text)

    def indented(block: Block) -> bool:
        return looks_like_code(block.text)

    return next((rule for rule in (tagged, fenced) if any(map(rule, blocks))), indented)


def _cell(path: Path, block: Block) -> tuple[Cell, int]:
    """The cell of a block; and 1 if what it printed stands in the same block, else 0."""
    lines = _doctest(block.lines)
    end = next((i for i, line in enumerate(lines) if _OUTPUT.match(line)), None)
    shown = "" if end is None else "\n".join(lines[end + 1 :]) + "\n"
    return Cell(path, block.line, "\n".join(lines[:end]), shown), end is not None


def _doctest(lines: Sequence[str]) -> Sequence[str]:
    """A session at the prompt without its prompts; what was printed becomes empty lines."""
    first = next((line for line in lines if line.strip()), "")
    if not first.startswith(">>>"):
        return lines
    return [line[4:] if line.startswith((">>> ", "... ")) else "" for line in lines]


def _with_output(cell: Cell, text: str) -> Cell:
    return Cell(cell.path, cell.line, cell.source, cell.shown + text.strip("\n") + "\n", cell.exact)


_CODE = (
    ast.Assign,
    ast.AugAssign,
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.ClassDef,
    ast.For,
    ast.With,
)


def looks_like_code(text: str) -> bool:
    """True for Python (2 or 3, magics allowed) that does something, not a mere word or number."""
    if text.lstrip().startswith(">>> "):
        return True
    try:
        tree = modernize.parse(modernize.python3(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, (*_CODE, ast.Call, ast.While, ast.If, ast.Try)) for node in ast.walk(tree))
