"""Command-line flags as gflags reads them: ``-name value``, ``--name=value``, ``-name``, ``-noname``.

Owned here: declaring, reading and listing flags. Who calls it: the `caffe` command and its tools.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from freshpot.errors import ArgumentError, near_matches


class CommandError(ArgumentError):
    """A command that cannot do what was asked; ``place`` is where the original logs that."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place


class UsageError(CommandError):
    """A command line that cannot be read."""

    def __init__(self, message: str) -> None:
        super().__init__("gflags.cc:1", message)


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its name, its default (whose type it has), and a line of help."""

    name: str
    default: Any
    doc: str

    @property
    def type_name(self) -> str:
        """The type in gflags' words."""
        return {bool: "bool", int: "int32", str: "string", float: "double"}[type(self.default)]

    def read(self, text: str) -> Any:
        """The value that a word on the command line means.

        Raises:
            UsageError: it is no value of the flag's type.
        """
        try:
            if isinstance(self.default, bool):
                return _BOOLS[text.lower()]
            return type(self.default)(text)
        except (KeyError, ValueError):
            raise UsageError(f"illegal value '{text}' for {self.type_name} flag '{self.name}'") from None


_BOOLS = {
    **dict.fromkeys(("1", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "f", "false", "n", "no"), False),
}

#: what every command takes
LOGGING = (
    Flag(
        "minloglevel", 0, "lowest level that is logged: 0 information, 1 warnings, 2 errors, 3 fatal errors"
    ),
    Flag("log_dir", "", "folder for a copy of the log, in a file named after the program and the time"),
    Flag("logtostderr", True, "log to standard error; it always does, the flag is taken for scripts' sake"),
    Flag("alsologtostderr", True, "as logtostderr"),
    Flag("stderrthreshold", 0, "taken for scripts' sake: all that is logged goes to standard error"),
    Flag("v", 0, "taken for scripts' sake: there are no verbose lines"),
)


def parse(words: Sequence[str], flags: Iterable[Flag]) -> tuple[dict[str, Any], list[str]]:
    """Values of all flags, and the words that are none.

    Raises:
        UsageError: an unknown flag, or a value that is missing or of the wrong type.
    """
    known = {flag.name: flag for flag in flags}
    values = {name: flag.default for name, flag in known.items()}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--":
            return values, rest + queue
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        name, equals, text = word.lstrip("-").partition("=")
        flag, implied = _find(name, known)
        if not equals:
            if isinstance(flag.default, bool):
                text = implied
            elif not queue:
                raise UsageError(f"flag '{name}' is missing its value")
            else:
                text = queue.pop(0)
        values[flag.name] = flag.read(text)
    return values, rest


def _find(name: str, known: dict[str, Flag]) -> tuple[Flag, str]:
    """The flag of that name, and what its bare name means if it is a switch."""
    for spelled in (name, name.replace("-", "_")):
        if spelled in known:
            return known[spelled], "true"
        if spelled.startswith("no") and isinstance(getattr(known.get(spelled[2:]), "default", None), bool):
            return known[spelled[2:]], "false"
    raise UsageError(f"unknown command line flag '{name}'.{near_matches(name, known)}")


def describe(flags: Iterable[Flag]) -> str:
    """The flags as a help text lists them."""
    lines = []
    for flag in sorted(flags, key=lambda f: f.name):
        default = f'"{flag.default}"' if isinstance(flag.default, str) else str(flag.default).lower()
        text = f"-{flag.name} ({flag.doc}) type: {flag.type_name} default: {default}"
        lines += textwrap.wrap(text, 80, initial_indent="    ", subsequent_indent="      ")
    return "\n".join(lines)
