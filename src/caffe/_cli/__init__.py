"""The ``caffe`` command: the original's actions, and its tools as subcommands (``caffe extract_features …``).

One module a command, with ``USAGE``, ``FLAGS`` and ``run(flags, words) -> int``; it is imported when asked for.

Exit status: as the original's where it ends by itself; 134, which a shell shows for its aborts, where it aborted.
``FRESHPOT_TRACEBACK=1`` shows where an error came from.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from caffe import _log
from caffe._cli import flags as flags_
from caffe._cli.brew import FLAGS as BREW_FLAGS
from caffe._cli.flags import CommandError, UsageError
from freshpot.errors import FreshpotError

__all__ = ["main"]

ABORTED = 134

#: the original's `caffe` actions: they share their flags, which may stand before them
ACTIONS = {
    "train": ("train", "train a model, from the start, from weights or from a snapshot"),
    "test": ("score", "score a model on its test data"),
    "device_query": ("devices", "say what GPUs there are"),
    "time": ("timing", "time a model, layer by layer"),
}
#: the original's tools
TOOLS = {
    "upgrade_net_proto_text": ("upgrade", "bring a net prototxt to the present form"),
    "upgrade_net_proto_binary": ("upgrade", "bring a caffemodel to the present form"),
    "upgrade_solver_proto_text": ("upgrade", "bring a solver prototxt to the present form"),
    "compute_image_mean": ("mean", "the mean image of a database"),
    "convert_mnist_data": ("mnist", "MNIST's files to a database"),
    "convert_imageset": ("imageset", "image files to a database"),
    "extract_features": ("features", "a net's blobs, for many inputs, to databases"),
    "draw_net": ("drawing", "a picture of a net"),
    "parse_log": ("logs", "a training log to two CSV files"),
    "classify": ("classify", "classify images"),
    "detect": ("detect", "classify windows of images"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status.

    Args:
        argv: the arguments; default those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    level = _log.level
    try:
        return _run(words)
    except UsageError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except FreshpotError as error:
        return _abort(error)
    except BrokenPipeError:  # the reader of our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, RuntimeError) as error:
        return _abort(error)
    except KeyboardInterrupt:
        return 130
    finally:
        _log.set_level(level)


def _run(words: list[str]) -> int:
    name = words[0] if words and words[0] in _available(TOOLS) else None
    module = _module(TOOLS[name][0]) if name else None
    flags = (*(module.FLAGS if module else BREW_FLAGS), *flags_.LOGGING)
    if any(word.lstrip("-") in ("help", "helpfull", "h") for word in words if word.startswith("-")):
        print(_tool_help(name, module) if module else _help(flags))
        return 1
    if words in (["-version"], ["--version"]):
        print("caffe version 1.0.0")
        return 0
    values, rest = flags_.parse(words[1:] if module else words, flags)
    if module is None and len(rest) != 1:
        print(_help(BREW_FLAGS))
        return 0 if not rest else 1
    _log.set_level(max(values["minloglevel"], getattr(module, "LEVEL", _log.INFO)))
    with _log.copied_to(values["log_dir"], name or "caffe"):
        if module is not None:
            return module.run(values, [name, *rest])
        return _action(rest[0]).run(values, rest)


def _action(name: str) -> Any:
    if name in ACTIONS:
        return _module(ACTIONS[name][0])
    _log.error("caffe.cpp:78", "Available caffe actions:")
    for known in sorted({**ACTIONS, **_available(TOOLS)}):
        _log.error("caffe.cpp:81", f"\t{known}")
    raise CommandError("caffe.cpp:83", f"Unknown action: {name}")


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


def _available(table: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The commands whose modules are installed."""
    return {k: v for k, v in table.items() if importlib.util.find_spec(f"{__name__}.{v[0]}")}


def _help(flags: Sequence[flags_.Flag]) -> str:
    lines = ["caffe: command line brew", "usage: caffe <command> <args>", "", "commands:"]
    lines += [f"  {name:<15} {text}" for name, (_, text) in ACTIONS.items()]
    lines += ["", "tools (caffe <tool> -help says more):"]
    lines += [f"  {name:<25} {text}" for name, (_, text) in _available(TOOLS).items()]
    return "\n".join([*lines, "", "  Flags:", flags_.describe(flags)])


def _tool_help(name: str | None, module: Any) -> str:
    usage = module.USAGE if isinstance(module.USAGE, str) else module.USAGE[name]
    return f"{name}: {TOOLS[str(name)][1]}\n\n{usage}\n\n  Flags:\n{flags_.describe((*module.FLAGS, *flags_.LOGGING))}"


def _abort(error: Exception) -> int:
    """What ends the original's process: one FATAL record."""
    if os.environ.get("FRESHPOT_TRACEBACK", "") not in ("", "0"):
        raise error
    place = getattr(error, "place", None)
    if place is None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    _log.log(_log.FATAL, place, str(error))
    return ABORTED
