"""Programs of the static mode in files: parameters, and networks for use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.formats.atomic import write_bytes
from freshpot.paddle._files import load as _load
from freshpot.paddle._files import save as _save
from freshpot.paddle._module import AsModule
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.static.executor import CompiledProgram
from freshpot.paddle.static.program import Program, Variable, default_main_program
from freshpot.paddle.static.running import needed, run, tensors

__all__ = [
    "load",
    "load_from_file",
    "load_inference_model",
    "load_program_state",
    "save",
    "save_inference_model",
    "save_to_file",
    "set_program_state",
]


def save_to_file(path: str, content: bytes) -> None:
    """Write bytes to a file, atomically; missing folders are made.

    Raises:
        ArgumentError: no bytes.
    """
    if not isinstance(content, bytes):
        raise ArgumentError(f"save_to_file: content must be bytes, got {type(content).__name__}")
    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)


def load_from_file(path: str) -> bytes:
    """A file's bytes."""
    return Path(path).read_bytes()


def save(program: Program, model_path: str, protocol: int = 4, **configs: Any) -> None:
    """``<model_path>.pdparams``, and ``<model_path>.pdopt`` with what optimizers keep."""
    program = program.program if isinstance(program, CompiledProgram) else program
    for mode, ending in (("param", "pdparams"), ("opt", "pdopt")):
        arrays = {name: value.numpy() for name, value in program.state_dict(mode).items()}
        _save(arrays, f"{model_path}.{ending}", protocol)


def load(program: Program, model_path: str, executor: Any = None, var_list: Any = None) -> None:
    """Take up what :func:`save` (or the original's) wrote.

    Raises:
        FormatError: a file is corrupt. ArgumentError: a parameter of another shape, or one that is not in the file.
    """
    state = load_program_state(model_path, var_list)
    lost = [p.name for p in program.all_parameters() if p.name not in state]
    if lost and var_list is None:
        raise ArgumentError(f"static.load: {model_path}.pdparams has no {', '.join(lost)}")
    program.set_state_dict(state)


def load_program_state(model_path: str, var_list: Any = None) -> dict[str, Any]:
    """Arrays by name from ``<model_path>.pdparams`` and, where there is one, ``<model_path>.pdopt``."""
    base = str(model_path).removesuffix(".pdparams")
    state = dict(_load(f"{base}.pdparams", return_numpy=True))
    if Path(f"{base}.pdopt").exists():
        state.update(_load(f"{base}.pdopt", return_numpy=True))
    wanted = None if var_list is None else {var.name for var in var_list}
    return {name: value for name, value in state.items() if wanted is None or name in wanted}


def set_program_state(program: Program, state_dict: dict[str, Any]) -> None:
    """Overwrite a program's parameters by name."""
    program.set_state_dict(state_dict)


def save_inference_model(
    path_prefix: str,
    feed_vars: Any,
    fetch_vars: Any,
    executor: Any = None,
    program: Any = None,
    **kwargs: Any,
) -> None:
    """What leads from ``feed_vars`` to ``fetch_vars``, as in use, to ``.pdmodel`` and ``.pdiparams``.

    Raises:
        ArgumentError: a variable of another program.
        NotSupportedError: a size other than the first is open, or operations have no counterpart in nets.
    """
    from freshpot.paddle.jit._captured import example
    from freshpot.paddle.jit._files import write_network
    from freshpot.torch import capture

    feeds = list(feed_vars) if isinstance(feed_vars, (list, tuple)) else [feed_vars]
    fetches = list(fetch_vars) if isinstance(fetch_vars, (list, tuple)) else [fetch_vars]
    if not all(isinstance(v, Variable) for v in (*feeds, *fetches)):
        raise ArgumentError("save_inference_model: feed_vars and fetch_vars must be variables of the program")
    whole = program or fetches[0].program or default_main_program()
    test = whole.clone(for_test=True)
    names = [v.name for v in fetches]
    test.block.ops = needed(test, set(names))

    def forward(*inputs: Tensor) -> list[Any]:
        values = run(test, dict(zip([v.name for v in feeds], inputs, strict=True)), set(names), captured=True)
        return [values[name] for name in names]

    found = [t for step in test.block.ops for t in tensors([step.args, list(step.keywords.values())])]
    read = {t.name: t for t in found if not isinstance(t, Variable)}
    module = AsModule(forward, {name.replace(".", "__"): tensor for name, tensor in read.items()}).eval()
    made = capture(module, [example(v, "save_inference_model") for v in feeds], "program")
    made.rename(dict(zip([*made.inputs, *made.outputs], [*(v.name for v in feeds), *names], strict=True)))
    write_network(str(path_prefix), made, {name.replace(".", "__"): name for name in read})


def load_inference_model(path_prefix: Any, executor: Any = None, **kwargs: Any) -> list[Any]:
    """A network from files: what an Executor runs, names to feed, variables to fetch.

    Args:
        kwargs: ``model_filename`` and ``params_filename``, names of files in the folder ``path_prefix``.

    Raises:
        FormatError: corrupt, or files that do not belong together. OSError: one is missing.
        NotSupportedError: operators that are not done here; no path (a program in memory).
    """
    from freshpot.paddle import jit

    if path_prefix is None:
        raise NotSupportedError(
            "load_inference_model: programs in memory are not done here; give the path of files"
        )
    names = ("model_filename", "params_filename")
    layer = jit.load(path_prefix, **{key: kwargs[key] for key in names if kwargs.get(key)})
    fetches = [Variable([-1], torch.float32, name, Program()) for name in layer.output_names]
    return [layer, list(layer.input_names), fetches]
