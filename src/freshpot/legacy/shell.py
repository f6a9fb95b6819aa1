"""Magics and shell lines of a notebook, at run time.

``cat``, ``wget`` of what freshpot answers and the commands of :mod:`commands` are done here. Every other shell line
needs the user's word: ``--allow-shell``.
"""

from __future__ import annotations

import codecs
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from freshpot.errors import DataError, NotSupportedError
from freshpot.legacy import python2
from freshpot.legacy.commands import Commands
from freshpot.legacy.notes import Notes
from freshpot.legacy.overlay import Overlay
from freshpot.legacy.routes import Routes

__all__ = ["Shell"]

#: magics that set a notebook up and mean nothing here
_SET_UP = {
    "matplotlib",
    "config",
    "load_ext",
    "reload_ext",
    "autoreload",
    "autosave",
    "colors",
    "gui",
    "pdb",
    "precision",
    "reset_selective",
    "xmode",
}
MOST_CAPTURED = 64 << 20  # bytes of a command's output as a value
_SHELL_CELLS = {"bash", "sh", "script"}
_NO_SCREEN = {"html", "HTML", "javascript", "js", "latex", "markdown", "svg"}
_SPECIAL = re.compile(r"[|&;<>`$*?(){}\n]")


class Shell:
    """What ``freshpot_magic`` and ``freshpot_shell`` do.

    Args:
        names: the namespace of the program, for ``{name}`` and ``$name`` in commands.
        routes: answers addresses that are gone.
        allowed: may commands run in a shell.
    """

    def __init__(
        self, names: dict[str, Any], notes: Notes, overlay: Overlay, routes: Routes, *, allowed: bool
    ) -> None:
        self._names = names
        self._notes = notes
        self._overlay = overlay
        self._routes = routes
        self._allowed = allowed
        self._commands = Commands(notes, overlay)
        self.shown = ""  # what the file shows below the cell that runs

    def bind(self, names: dict[str, Any]) -> None:
        """Take another namespace for that of the program."""
        self._names = names

    # ---- magics ----------------------------------------------------------------------------------------
    def magic(self, name: str, rest: str = "", body: str | None = None) -> Any:
        """Do a magic; ``body``: the cell below a ``%%magic``.

        Raises:
            NotSupportedError: one that has no meaning here, or needs a shell.
        """
        if name in _SET_UP or (body is not None and name in _NO_SCREEN):
            return None
        if name in _SHELL_CELLS and body is not None:
            return self.run(body)
        done = _MAGICS.get(name)
        if done is None:
            raise NotSupportedError(f"the magic %{name} is not supported. Write what it does in Python.")
        return done(self, rest, body)

    def _pylab(self, rest: str, body: str | None) -> None:
        exec("from pylab import *", self._names)

    def _cd(self, rest: str, body: str | None) -> None:
        os.chdir(os.path.expanduser(rest.strip("'\"")) or os.path.expanduser("~"))

    def _pwd(self, rest: str, body: str | None) -> str:
        return os.getcwd()

    def _env(self, rest: str, body: str | None) -> None:
        name, _, value = rest.partition("=" if "=" in rest else " ")
        os.environ[name.strip()] = value.strip()

    def _write_file(self, rest: str, body: str | None) -> None:
        name = rest.removeprefix("-a ").strip("'\" ")
        with open(name, "a" if rest.startswith("-a ") else "w", encoding="utf-8") as file:
            file.write((body or "").removesuffix("\n") + "\n")
        print(f"Writing {name}")

    def _run_file(self, rest: str, body: str | None) -> None:
        """``%run file.py words``: in the namespace of the program, which keeps what the file leaves."""
        words = [word for word in shlex.split(rest) if word not in ("-i", "-t", "-n")]
        if not words or not words[0].endswith(".py"):
            raise NotSupportedError(
                f"%run {rest}: freshpot runs Python files here. Run the notebook by itself."
            )
        before, sys.argv = sys.argv, words
        try:
            python2.execfile(words[0], self._names)
        finally:
            sys.argv = before

    def _list(self, rest: str, body: str | None) -> None:
        print("\n".join(sorted(os.listdir(rest.strip("'\"") or "."))))

    def _cat_magic(self, rest: str, body: str | None) -> None:
        self.run(f"cat {rest}")

    # ---- commands --------------------------------------------------------------------------------------
    def run(self, command: str, capture: bool = False) -> list[str] | None:
        """Do a command; its output is printed, or returned as lines.

        Raises:
            NotSupportedError: the command would need a shell, which was not allowed.
        """
        command = self._filled_in(command)
        text = self._own(command)
        if text is None:
            text = self._in_shell(command, capture)
        if capture:
            return text.splitlines()
        print(text, end="" if text.endswith("\n") or not text else "\n")
        return None

    def _filled_in(self, command: str) -> str:
        """The command with ``{name}`` and ``$name`` replaced by values of the program."""

        def value(hit: re.Match[str]) -> str:
            name = hit[1] or hit[2]
            return str(self._names[name]) if name in self._names else hit[0]

        return re.sub(r"\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)", value, command)

    def _own(self, command: str) -> str | None:
        """What a command prints that is done without a shell; None for others."""
        if not command.strip():
            return ""
        done = self._commands.run(command)
        if done is not None:
            return done
        if _SPECIAL.search(command):
            return None
        try:
            words = shlex.split(command)
        except ValueError:  # quotes that do not close
            return None
        if words and words[0] in ("wget", "curl"):
            return self._fetched(command)
        if len(words) > 1 and words[0] == "cat" and not words[1].startswith("-"):
            return "".join(map(self._cat, words[1:]))
        return None

    def _cat(self, name: str) -> str:
        """The text of a file. One that is missing is made of what the document shows as its text."""
        place = Path(self._overlay.find(os.path.expanduser(name)))
        if not place.exists() and self.shown:
            place = self._overlay.place(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(self.shown, encoding="utf-8")
            self._overlay.made(place)
            self._notes.add(f"{name}: made of what the document shows as its text")
        return place.read_text(encoding="utf-8", errors="replace")

    def _in_shell(self, command: str, capture: bool) -> str:
        if not self._allowed:
            first = (command.strip() or "(nothing)").splitlines()[0]
            raise NotSupportedError(
                f"'{first}' is a shell command; add --allow-shell if you trust this file with one."
            )
        kept: list[str] = []
        size = 0
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        with subprocess.Popen(command, shell=True, stdout=subprocess.PIPE) as process:
            try:
                while data := os.read(process.stdout.fileno(), 1 << 16):  # type: ignore[union-attr]
                    if not capture:
                        print(decode(data), end="", flush=True)
                        continue
                    kept.append(decode(data))
                    size += len(data)
                    if size > MOST_CAPTURED:
                        raise DataError(f"'{command}' printed more than {MOST_CAPTURED >> 20} MiB")
            except BaseException:
                process.kill()
                raise
        failed = f"[exit status {process.returncode}]\n" if process.returncode and not capture else ""
        return "".join(kept) + failed

    def _fetched(self, command: str) -> str | None:
        """``wget`` and ``curl`` of an address that is gone and that freshpot answers; None for any other."""
        words = shlex.split(command)[1:]
        address = next((word for word in words if "://" in word), None)
        data = self._routes.answer(address) if address is not None else None
        if address is None or data is None:
            return None
        named = [name for option, name in itertools.pairwise(words) if option in ("-o", "-O", "--output")]
        folders = [name for option, name in itertools.pairwise(words) if option == "-P"]
        name = named[0] if named and named[0] != address else address.rpartition("/")[2]
        path = os.path.join(*folders[:1], name)
        with open(path, "wb") as file:
            file.write(data)
        return f"{path} saved, {len(data)} bytes\n"


_MAGICS: dict[str, Callable[[Shell, str, str | None], Any]] = {
    "cat": Shell._cat_magic,
    "cd": Shell._cd,
    "env": Shell._env,
    "file": Shell._write_file,
    "ls": Shell._list,
    "pwd": Shell._pwd,
    "pylab": Shell._pylab,
    "run": Shell._run_file,
    "set_env": Shell._env,
    "writefile": Shell._write_file,
}
