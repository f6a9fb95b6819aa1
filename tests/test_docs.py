"""What the documents say is there: links, files, names, options, and commands that their own parsers take."""

from __future__ import annotations

import functools
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe import _cli as caffe_cli
from caffe._cli import flags as caffe_flags
from caffe2.python import workspace
from freshpot import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
#: made from the code, which says what is there; a log, which says what was
GENERATED = {"operators.md", "support.md", "CHANGELOG.md"}
WRITTEN = [page for page in PAGES if page.name not in GENERATED]
#: folders that paths in the documents start from
BASES = ("", "docs", "src", "src/freshpot", "tests", "bench")
#: files that are the reader's or the originals'
YOURS = {"NEW.py", "assemble_data.py", "download_model_binary.py"}


def ids(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block."""
    for found in re.finditer(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
        yield found[1], found[2]


def spans(page: Path) -> list[str]:
    """Inline code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [span.replace("\\|", "|").replace("\n", " ") for span in re.findall(r"`([^`]+)`", text)]


def commands(page: Path) -> Iterator[str]:
    """Command lines, in blocks without a language and inline; each choice ``a|b`` as a line of its own."""
    lines = [line for language, text in blocks(page) if not language for line in text.splitlines()]
    for line in (*lines, *spans(page)):
        line = re.sub(r"\s#.*", "", line).strip()
        if not re.match(r"(freshpot|caffe|python3?|FRESHPOT_\w+=\S+)\s", line):
            continue
        choices = [word.split("|") for word in re.sub(r"[\[\]…]", " ", line).split()]
        for k in range(max(map(len, choices))):
            yield " ".join(words[min(k, len(words) - 1)] for words in choices)


# ---- links and files --------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.*?) *$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    assert not lost


def is_there(name: str) -> bool:
    if any((ROOT / base / name).exists() for base in BASES):
        return True
    return "/" not in name and any(ROOT.joinpath("src").rglob(name))


@pytest.mark.parametrize("page", WRITTEN, ids=ids(WRITTEN))
def test_files_are_there(page: Path) -> None:
    ours = re.compile(
        r"[\w./-]+\.(?:py|md|svg|toml|zip|fields)|(?:src|tests|docs|bench|scripts|engine|ops|native)/[\w./-]*"
    )
    lost = [span for span in spans(page) if ours.fullmatch(span) and not is_there(span) and span not in YOURS]
    assert not lost


# ---- names ------------------------------------------------------------------------------------------


def resolve(dotted: str) -> Any:
    parts = dotted.split(".")
    for k in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:k]))
        except ModuleNotFoundError:
            continue
        for part in parts[k:]:
            found = getattr(found, part)
        return found
    raise AttributeError(dotted)


@pytest.mark.parametrize("page", WRITTEN, ids=ids(WRITTEN))
def test_names_exist(page: Path) -> None:
    lost = []
    for span in spans(page):
        name = re.match(r"(?:freshpot|caffe2?)(?:\.\w+)+", span)
        if name and not re.search(r"\.(md|py|svg|proto)$", name[0]):
            try:
                resolve(name[0])
            except AttributeError:
                lost.append(name[0])
    assert not lost


@functools.cache
def variables() -> set[str]:
    """freshpot's variables that some code names."""
    files = [
        path for folder in ("src", "tests", "bench", "scripts") for path in (ROOT / folder).rglob("*.py")
    ]
    texts = (path.read_text(encoding="utf-8") for path in files if path != Path(__file__))
    return {name for text in texts for name in re.findall(r"FRESHPOT_\w+", text)}


@pytest.mark.parametrize("page", WRITTEN, ids=ids(WRITTEN))
def test_variables_are_read(page: Path) -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("src", "tests", "bench", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != Path(__file__).name
    )
    lost = {
        name for name in re.findall(r"FRESHPOT_\w+", page.read_text(encoding="utf-8")) if name not in code
    }
    assert not lost


# ---- commands ---------------------------------------------------------------------------------------

#: what documents put for a number, and for a choice
PLACES = {"N": "1", "NAME": "caffe"}
LINES = sorted({(page.name, line) for page in WRITTEN for line in commands(page)})


def accepted(words: list[str]) -> str:
    """Why no parser of ours takes these words; empty if one does."""
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    program, *rest = words
    if program == "freshpot":
        return by_freshpot(rest)
    if program == "caffe":
        return by_caffe(rest)
    if program.startswith("python") and rest and rest[0] == "start.py":
        return "" if rest[1:2] == ["test"] else by_freshpot(rest[1:])
    if program.startswith("python") and "/" in rest[0]:
        script = ROOT / rest[0]
        if not script.is_file():
            return f"there is no {rest[0]}"
        code = script.read_text(encoding="utf-8")
        return "".join(
            f"no {word} " for word in rest[1:] if word.startswith("--") and f'"{word}"' not in code
        )
    return ""


def by_freshpot(words: list[str]) -> str:
    words = [PLACES.get(word, word) for word in words]
    if len(words) < 2:  # `freshpot run`: the command's name, as it is spoken of
        return "" if words[0] in cli.COMMANDS or words[0].startswith("--") else "no such command"
    try:
        cli.parse(words)
    except SystemExit as error:
        return "" if error.code == 0 else f"refused with {error.code}"
    return ""


def by_caffe(words: list[str]) -> str:
    tool = caffe_cli.TOOLS.get(words[0])
    if tool is None and words[0] not in caffe_cli.ACTIONS:
        return f"no action {words[0]}"
    flags = importlib.import_module(f"caffe._cli.{tool[0]}").FLAGS if tool else caffe_cli.BREW_FLAGS
    caffe_flags.parse(words[1:], (*flags, *caffe_flags.LOGGING))
    return ""


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line}" for page, line in LINES])
def test_commands_are_taken(page: str, line: str) -> None:
    assert not accepted(shlex.split(line))


def test_commands_were_found() -> None:
    assert {"freshpot bench --list", "freshpot mnist --dialect paddle"} <= {line for _, line in LINES}


@pytest.mark.parametrize(
    "line",
    [
        "freshpot mnist --dialekt caffe",
        "freshpot brew",
        "caffe trian -gpu 0",
        "python bench/lenet_step.py --gpu",
    ],
)
def test_wrong_commands_are_seen(line: str) -> None:
    assert accepted(shlex.split(line))


# ---- programs ---------------------------------------------------------------------------------------


PROGRAMS = [(page, text) for page in WRITTEN for language, text in blocks(page) if language == "python"]


@pytest.mark.parametrize(
    ("page", "text"), PROGRAMS, ids=[f"{page.name}-{k}" for k, (page, _) in enumerate(PROGRAMS)]
)
def test_programs_are_python(page: Path, text: str) -> None:
    compile(text, str(page), "exec")


def test_the_program_of_the_first_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (text for language, text in blocks(ROOT / "README.md") if "model_helper" in text)
    workspace.ResetWorkspace(str(tmp_path))
    bars = np.kron(
        np.eye(4, dtype=np.float32), np.ones((7, 1), np.float32)
    )  # (28, 4): each in a place of its own
    images = np.repeat(bars.T[:, None, :, None], 28, axis=3)
    given = {"images": images, "labels": np.arange(4, dtype=np.int32)}
    exec(program, given)
    workspace.ResetWorkspace()
    assert float(capsys.readouterr().out) < 0.5, "200 steps on four images, and they are not learned"


def test_what_the_pages_list_is_what_there_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [name for name in cli.COMMANDS if f"`freshpot {name}" not in readme]
    linked = {Path(target).name for target in re.findall(r"\]\((docs/[^)]+)\)", readme)}
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")}
