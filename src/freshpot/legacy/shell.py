"""Magics and shell lines of a notebook, at run time.

``cat`` is done here, and so are the few commands of the tables below, which fetch what freshpot has. Every other
shell line needs the user's word: ``--allow-shell``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from freshpot.errors import NotSupportedError
from freshpot.legacy.notes import Notes
from freshpot.legacy.overlay import Overlay

__all__ = ["Shell"]

#: magics that set a notebook up and mean nothing here
_SET_UP = {
    "matplotlib",
    "config",
    "load_ext",
    "reload_ext",
    "autoreload",
    "autosave",
    "precision",
    "reset_selective",
}
_SHELL_CELLS = {"bash", "sh", "script"}
_NO_SCREEN = {"html", "HTML", "javascript", "js", "latex", "markdown", "svg"}
_SPECIAL = re.compile(r"[|&;<>`$*?(){}\n]")


class Shell:
    """What ``freshpot_magic`` and ``freshpot_shell`` do.

    Args:
        names: the namespace of the program, for ``{name}`` and ``$name`` in commands.
        allowed: may commands run in a shell.
    """

    def __init__(self, names: dict[str, Any], notes: Notes, overlay: Overlay, *, allowed: bool) -> None:
        self._names = names
        self._notes = notes
        self._overlay = overlay
        self._allowed = allowed
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
            file.write((body or "") + "\n")
        print(f"Writing {name}")

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
        for pattern, done in _COMMANDS:
            if re.search(pattern, command) and not os.path.exists(command.split()[0]):
                return done(self, command)
        if _SPECIAL.search(command):
            return None
        words = shlex.split(command)
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
            raise NotSupportedError(
                f"'{command.splitlines()[0]}' is a shell command; add --allow-shell if you trust this file with one."
            )
        done = subprocess.run(
            command, shell=True, stdout=subprocess.PIPE, text=True, errors="replace", check=False
        )
        failed = f"[exit status {done.returncode}]\n" if done.returncode and not capture else ""
        return done.stdout + failed

    def _get_mnist(self, command: str) -> str:
        self._notes.add(f"{command}: done by freshpot, which has MNIST or fetches it")
        return ""

    def _create_mnist(self, command: str) -> str:
        """Databases as Caffe's script makes them, below the current folder."""
        import shutil

        from freshpot.data.image_db import write_image_db
        from freshpot.data.mnist import load_mnist

        lines = []
        folder = Path("examples/mnist")
        folder.mkdir(parents=True, exist_ok=True)
        for split in ("train", "test"):
            digits = load_mnist(None, split)
            path = folder / f"mnist_{split}_lmdb"
            shutil.rmtree(path, ignore_errors=True)
            write_image_db("lmdb", path, digits.images, digits.labels, record="datum")
            lines.append(f"{path}: {len(digits)} records, {digits.title}")
        self._notes.add(f"{command}: done by freshpot, from {digits.title}")
        return "\n".join(lines) + "\n"

    def _model(self, command: str) -> str:
        self._notes.add(f"{command}: models are stand-ins, found where they are asked for")
        return ""


_COMMANDS: tuple[tuple[str, Callable[[Shell, str], str]], ...] = (
    (r"^(sh |bash )?(\./)?data/mnist/get_mnist\.sh$", Shell._get_mnist),
    (r"^(sh |bash )?(\./)?examples/mnist/create_mnist\.sh$", Shell._create_mnist),
    (r"^(sudo )?python[23]? -m caffe2\.python\.models\.download( -\w)* squeezenet$", Shell._model),
)

_MAGICS: dict[str, Callable[[Shell, str, str | None], Any]] = {
    "cat": Shell._cat_magic,
    "cd": Shell._cd,
    "env": Shell._env,
    "file": Shell._write_file,
    "pwd": Shell._pwd,
    "pylab": Shell._pylab,
    "set_env": Shell._env,
    "writefile": Shell._write_file,
}
