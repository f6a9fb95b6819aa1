"""The ``freshpot`` command. One subcommand a module, with ``add_parser(subparsers)`` and ``run(args) -> int``.

Only the module of the subcommand that is asked for gets imported, so ``freshpot --help`` is quick.

Exit status: 0 done, 1 the work was done and its answer is no (a check failed), 2 wrong use or an error that
was said in one line, 130 interrupted. ``FRESHPOT_TRACEBACK=1`` shows where an error came from.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from freshpot.errors import FreshpotError, near_matches

__all__ = ["main"]

# Shown by --help without importing the modules.
COMMANDS = {
    "mnist": "train LeNet on MNIST, watch it learn, look inside, save, load, predict",
    "data": "make data sets: MNIST as IDX files, LMDB or minidb",
    "run": "run a legacy program as it stands: .py, .ipynb, Markdown or reStructuredText",
    "bench": "measure freshpot beside PyTorch and the originals, write a table and a plot",
    "convert": "convert a net between Caffe, Caffe2, Paddle and ONNX, or to a PyTorch state_dict",
    "ops": "the catalogue of operators",
    "conformance": "compare operators and programs with what the originals computed",
}

#: words of the command `caffe` that are sought here
CAFFES = ("train", "test", "time", "device_query", "classify", "detect", "draw_net", "parse_log")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status.

    Args:
        argv: the arguments; default those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _take_any_letter(sys.stdout)
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except FreshpotError as error:
        return _complain(error)
    except BrokenPipeError:  # the reader of our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit
        return 0
    except OSError as error:
        return _complain(error)
    except KeyboardInterrupt:
        print("\nfreshpot: interrupted", file=sys.stderr)
        return 130


def _take_any_letter(stream: Any) -> None:
    """A terminal or a file that lacks a letter (cp1252, ASCII) gets its code, as standard error does, not an error."""
    if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    parser, args = parse(arguments)
    if args.command is None:
        parser.print_help()
        return 2
    return int(importlib.import_module(f"{__name__}.{args.command}").run(args))


def parse(arguments: list[str]) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The command's parser and what it makes of a command line; nothing is run.

    Raises:
        SystemExit: help was asked for, or the words are wrong; that was said.
    """
    parser = _Parser(
        prog="freshpot", description="Run Caffe and Caffe2 programs, nets and models on today's Python."
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, help_line in _available().items():
        if name == asked:
            importlib.import_module(f"{__name__}.{name}").add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=help_line)
    rest: list[str] = []
    if asked == "run" and "--" in arguments:  # what stands behind it is the program's
        cut = arguments.index("--")
        arguments, rest = arguments[:cut], arguments[cut + 1 :]
    return parser, parser.parse_args(arguments, argparse.Namespace(program_arguments=rest))


def _available() -> dict[str, str]:
    """The commands whose modules are installed."""
    return {name: text for name, text in COMMANDS.items() if importlib.util.find_spec(f"{__name__}.{name}")}


class _Parser(argparse.ArgumentParser):
    """Complains of an unknown word where it stands, in the command's own usage, with what may have been meant."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flags = re.findall(r"(?<!\w)--\w[\w-]*", self.format_help())
            near = near_matches(unknown[0].partition("=")[0], flags, 1) if unknown[0].startswith("-") else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}.{near}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        if wrong := re.match(r"argument COMMAND: invalid choice: '(\w*)'", message):
            near = near_matches(wrong[1], COMMANDS, 1)
            if wrong[1] in CAFFES:
                near = f" Did you mean caffe {wrong[1]}?"
            message = f"there is no command '{wrong[1]}'.{near} See freshpot --help."
        super().error(message)


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that takes longer than the rest of ``--help``."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"freshpot {_version()}")
        parser.exit()


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("freshpot")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _complain(error: Exception) -> int:
    """One line on stderr."""
    if os.environ.get("FRESHPOT_TRACEBACK", "") not in ("", "0"):
        raise error
    said = str(error)
    if isinstance(error, OSError) and error.filename is not None and not isinstance(error, FreshpotError):
        said = f"{error.filename}: {error.strerror or error}"  # without the number and the quotes
        if isinstance(error, FileNotFoundError) and isinstance(error.filename, str | bytes):
            from freshpot.formats.nearby import looked_in

            said += looked_in(os.fsdecode(error.filename))
    print(f"freshpot: {_in_one_line(said) or type(error).__name__}", file=sys.stderr)
    return 2


def _in_one_line(text: str) -> str:
    """A message of several lines in one; what stood on lines of its own is parted by semicolons."""
    made = ""
    for line in filter(None, (" ".join(line.split()) for line in text.splitlines())):
        made += ("" if not made else " " if made.endswith((":", ";", ",", ".")) else "; ") + line
    return made
