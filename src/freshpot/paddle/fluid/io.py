"""``fluid.io``: networks for use in files, and readers in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freshpot.paddle.io import DataLoader as DataLoader
from freshpot.paddle.io.reader import batch as batch
from freshpot.paddle.io.reader import shuffle as shuffle
from freshpot.paddle.static import files as _files

__all__ = ["DataLoader", "batch", "load_inference_model", "save_inference_model", "shuffle"]


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
    from freshpot.paddle.static import default_main_program

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
