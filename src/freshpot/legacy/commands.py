"""Commands of notebooks (``!command``) that are done here, without a shell and without leave.

They are those that only look (``ls``, ``head``, ``diff`` …) or make a folder, Caffe's own tools, which freshpot has,
and the scripts that fetch what freshpot has or stands in for. Called by :mod:`shell`.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from freshpot.legacy import caffe_folder, weights
from freshpot.legacy.notes import Notes
from freshpot.legacy.overlay import Overlay

__all__ = ["Commands"]

_SPECIAL = re.compile(r"[|&;<>`$*?(){}\n]")
_CHANGE = re.compile(r"^cd\s+([^\s&;|<>`$]+)\s*(?:&&|;)\s*(\S.*)$", re.DOTALL)
_SETTINGS = re.compile(r"^(?:[A-Za-z_]+=[^\s;&|`$]* +)+")
#: Caffe's programs where its build and its folder have them
_TOOL = re.compile(
    r"^(?:python[23]? +)?(?:(?:\S*/)?(?:\.?build\w*|Release|bin)/(?:\S*/)?|\S*python/|\S*tools/extra/)?"
    r"(?P<name>[a-z_]+)(?:\.bin|\.py)?(?= |$)"
)


class Commands:
    """What is done without a shell.

    Args:
        notes: where it is said what stands in.
        overlay: where stand-ins are put, and found.
    """

    def __init__(self, notes: Notes, overlay: Overlay) -> None:
        self._notes = notes
        self._overlay = overlay

    def run(self, command: str) -> str | None:
        """What a command prints; None for one that is not done here."""
        command = _SETTINGS.sub("", command.strip())
        if (hit := _CHANGE.match(command)) and self._knows(hit[2]):
            before = os.getcwd()
            os.chdir(os.path.expanduser(hit[1]))
            try:
                return self.run(hit[2])
            finally:
                os.chdir(before)
        for pattern, script in _SCRIPTS:
            if found := re.search(pattern, command):
                return script(self, command, found)
        words = _words(command)
        if not words:
            return None
        if (tool := _tool(command)) is not None:
            return _in_process(tool)
        plain = _PLAIN.get(words[0])
        return plain(self, words[1:]) if plain is not None else None

    def _knows(self, command: str) -> bool:
        words = _words(command)
        scripts = any(re.search(pattern, command) for pattern, _ in _SCRIPTS)
        return scripts or bool(words and (words[0] in _PLAIN or _tool(command) is not None))

    # ---- Caffe's scripts -----------------------------------------------------------------------------------
    def _found_where_asked(self, command: str, hit: re.Match[str]) -> str:
        self._notes.add(f"{command}: done by freshpot; its files are there where they are asked for")
        return ""

    def _create_mnist(self, command: str, hit: re.Match[str]) -> str:
        """Databases as Caffe's script makes them, below the current folder."""
        folder = Path("examples/mnist")
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for split in ("train", "test"):
            path = folder / f"mnist_{split}_lmdb"
            lines.append(f"{path}: {caffe_folder.write_mnist_database(path, split)}")
        self._notes.add(f"{command}: done by freshpot, from {lines[-1].partition(', ')[2]}")
        return "\n".join(lines) + "\n"

    def _download_model(self, command: str, hit: re.Match[str]) -> str:
        return weights.download(hit["folder"], self._overlay, self._notes)

    def _caffe2_model(self, command: str, hit: re.Match[str]) -> str:
        self._notes.add(f"{command}: models are stand-ins, found where they are asked for")
        return ""

    # ---- commands that look ----------------------------------------------------------------------------------
    def _list(self, words: Sequence[str]) -> str | None:
        if any(word.startswith("-") for word in words):
            return None
        lines: list[str] = []
        for name in words or ["."]:
            found = os.path.expanduser(name)
            names = sorted(os.listdir(found)) if os.path.isdir(found) else [name]
            lines += [line for line in names if not line.startswith(".")]
        return "".join(f"{line}\n" for line in lines)

    def _folder(self, words: Sequence[str]) -> str | None:
        names = [word for word in words if word != "-p"]
        if not names or any(name.startswith("-") for name in names):
            return None
        said = ""
        for name in map(os.path.expanduser, names):
            if os.path.isdir(name) and "-p" not in words:
                said += f"mkdir: cannot create directory '{name}': File exists\n"
            else:
                os.makedirs(name, exist_ok=True)
        return said

    def _where(self, words: Sequence[str]) -> str | None:
        return None if words else f"{os.getcwd()}\n"

    def _echo(self, words: Sequence[str]) -> str | None:
        return None if words[:1] in (["-e"], ["-n"]) else " ".join(words) + "\n"

    def _diff(self, words: Sequence[str]) -> str | None:
        """The lines that differ, as ``diff`` marks them."""
        if len(words) != 2 or any(word.startswith("-") for word in words):
            return None
        old, new = (self._lines(name) for name in words)
        shown = ""
        for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if kind == "equal":
                continue
            at = _span(a, b) if kind != "insert" else str(a)
            shown += f"{at}{kind[0] if kind != 'replace' else 'c'}".replace("i", "a")
            shown += (_span(c, d) if kind != "delete" else str(c)) + "\n"
            shown += "".join(f"< {line}\n" for line in old[a:b])
            shown += "---\n" if kind == "replace" else ""
            shown += "".join(f"> {line}\n" for line in new[c:d])
        return shown

    def _head(self, words: Sequence[str], last: bool = False) -> str | None:
        count = 10
        rest = list(words)
        if rest and (hit := re.fullmatch(r"-n?(\d+)", rest[0])):
            count, rest = int(hit[1]), rest[1:]
        elif len(rest) > 1 and rest[0] == "-n" and rest[1].isdigit():
            count, rest = int(rest[1]), rest[2:]
        if len(rest) != 1 or rest[0].startswith("-"):
            return None
        lines = self._lines(rest[0])
        chosen = lines[max(0, len(lines) - count) :] if last else lines[:count]
        return "".join(f"{line}\n" for line in chosen)

    def _tail(self, words: Sequence[str]) -> str | None:
        return self._head(words, last=True)

    def _lines(self, name: str) -> list[str]:
        with open(os.path.expanduser(name), encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()


def _span(start: int, end: int) -> str:
    """Lines as ``diff`` names them, counted from 1."""
    return f"{start + 1},{end}" if end - start > 1 else f"{end}"


def _words(command: str) -> list[str]:
    """The words of a command; none if it needs a shell to be understood."""
    if _SPECIAL.search(command):
        return []
    try:
        return shlex.split(command)
    except ValueError:  # quotes that do not close
        return []


def _tool(command: str) -> list[str] | None:
    """The arguments of `caffe` for a command line of one of its programs."""
    from caffe._cli import TOOLS

    hit = _TOOL.match(command)
    words = _words(command[hit.end() :]) if hit is not None and not _SPECIAL.search(command) else None
    if hit is None or words is None or (hit["name"] != "caffe" and hit["name"] not in TOOLS):
        return None
    return words if hit["name"] == "caffe" else [hit["name"], *words]


def _in_process(arguments: Sequence[str]) -> str:
    """Run `caffe` with its arguments; what it logs goes to standard error as it comes."""
    from caffe._cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = main(arguments)
    return printed.getvalue() + (f"[exit status {status}]\n" if status else "")


_Script = Callable[[Commands, str, "re.Match[str]"], str]
_RUN = r"^(?:sudo )?(?:sh |bash |python[23]? )?(?:\S*/)?"
_SCRIPTS: tuple[tuple[str, _Script], ...] = (
    (_RUN + r"data/mnist/get_mnist\.sh$", Commands._found_where_asked),
    (_RUN + r"data/ilsvrc12/get_ilsvrc_aux\.sh$", Commands._found_where_asked),
    (
        _RUN + r"examples/finetune_flickr_style/assemble_data\.py( +-[^\s|&;<>`$]+)*$",
        Commands._found_where_asked,
    ),
    (_RUN + r"examples/mnist/create_mnist\.sh$", Commands._create_mnist),
    (
        _RUN + r"scripts/download_model_binary\.py +(?P<folder>[^\s|&;<>`$-][^\s|&;<>`$]*)$",
        Commands._download_model,
    ),
    (r"^(sudo )?python[23]? -m caffe2\.python\.models\.download( -\w)* squeezenet$", Commands._caffe2_model),
)
_PLAIN: dict[str, Callable[[Commands, Sequence[str]], str | None]] = {
    "diff": Commands._diff,
    "echo": Commands._echo,
    "head": Commands._head,
    "ls": Commands._list,
    "mkdir": Commands._folder,
    "pwd": Commands._where,
    "tail": Commands._tail,
}
