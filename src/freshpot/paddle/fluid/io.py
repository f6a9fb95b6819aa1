"""``fluid.io``: networks for use in files, and readers in batches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from freshpot.errors import ArgumentError, FormatError
from freshpot.formats.atomic import write_bytes
from freshpot.paddle._stream import read_tensor, write_tensors
from freshpot.paddle.io import DataLoader as DataLoader
from freshpot.paddle.io.reader import batch as batch
from freshpot.paddle.io.reader import shuffle as shuffle
from freshpot.paddle.static import default_main_program
from freshpot.paddle.static import files as _files

__all__ = [
    "DataLoader", "batch", "load_inference_model", "load_params", "load_persistables", "save_inference_model",
    "save_params", "save_persistables", "shuffle",
]  # fmt: skip


def save_inference_model(
    dirname: str,
    feeded_var_names: list[str],
    target_vars: Any,
    executor: Any,
    main_program: Any = None,
    model_filename: str | None = None,
    params_filename: str | None = None,
    **more: Any,
) -> list[str]:
    """What leads from inputs, by name, to variables, as in use, to a folder; the names of the outputs."""
    program = main_program or default_main_program()
    targets = list(target_vars) if isinstance(target_vars, (list, tuple)) else [target_vars]
    feeds = [program.global_block().var(name) for name in feeded_var_names]
    stem = str(Path(dirname) / "model")
    _files.save_inference_model(stem, feeds, targets, executor, program=program)
    names = (model_filename or "__model__", params_filename or "__params__")
    for ending, name in zip((".pdmodel", ".pdiparams"), names, strict=True):
        Path(stem + ending).replace(Path(dirname) / name)
    return [target.name for target in targets]


def load_inference_model(
    dirname: str,
    executor: Any,
    model_filename: str | None = None,
    params_filename: str | None = None,
    **more: Any,
) -> list[Any]:
    """What an Executor runs, names to feed, variables to fetch.

    Raises:
        FormatError: corrupt, or files that do not belong together. OSError: one is missing.
    """
    if params_filename is None and (Path(dirname) / "__params__").is_file():
        params_filename = "__params__"
    return _files.load_inference_model(
        dirname, executor, model_filename=model_filename, params_filename=params_filename
    )


def save_params(
    executor: Any, dirname: str, main_program: Any = None, vars: Any = None, filename: str | None = None
) -> None:
    """A program's parameters to a folder: a file for each, by its name, or all in one, in the order of their names.

    Raises:
        ArgumentError: a name that is no file's.
    """
    chosen = vars if vars is not None else (main_program or default_main_program()).all_parameters()
    arrays = {one.name: one.numpy() for one in chosen}
    wrong = [name for name in arrays if name in ("", ".", "..") or os.sep in name]
    if wrong:
        raise ArgumentError(f"save_params: '{wrong[0]}' is no name of a file")
    folder = Path(dirname)
    folder.mkdir(parents=True, exist_ok=True)
    if filename is not None:
        write_bytes(folder / filename, write_tensors(arrays[name] for name in sorted(arrays)))
        return
    for name, array in arrays.items():
        write_bytes(folder / name, write_tensors([array]))


def load_params(
    executor: Any, dirname: str, main_program: Any = None, vars: Any = None, filename: str | None = None
) -> None:
    """Take up what :func:`save_params` (or the original's) wrote.

    Raises:
        FormatError: corrupt, or of other parameters. OSError: a file is missing.
    """
    chosen = vars if vars is not None else (main_program or default_main_program()).all_parameters()
    folder, data, at, found = Path(dirname), b"", 0, {}
    for one in sorted(chosen, key=lambda one: one.name):
        path = folder / (filename or one.name)
        if filename is None or not at:
            data, at = path.read_bytes(), 0
        found[one.name], at = read_tensor(data, at, path)
        if list(found[one.name].shape) != one.shape:
            raise FormatError(
                f"'{one.name}' is {list(found[one.name].shape)}, the program says {one.shape}", path=path
            )
        if filename is None and at != len(data):
            raise FormatError(f"{len(data) - at} bytes are left after '{one.name}'", path=path)
    for one in chosen:
        one.set_value(found[one.name])


save_persistables, load_persistables = save_params, load_params
