"""Programs of the original's inference files (``.pdmodel``, ``__model__``; Paddle 1.0 to 2.6), read and run.

A program is a list of operator calls over named variables; those that are kept between runs are its parameters.
Files come from anywhere: everything is checked before it runs, nothing in them is code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from freshpot.errors import ArgumentError, FormatError, FreshpotError, NotSupportedError
from freshpot.formats.protobuf import load, parse_message
from freshpot.paddle._stream import ELEMENTS
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.jit._operators import OPERATORS, Call, run_call

__all__ = ["Program", "read_program"]

#: AttrType -> the field of an attribute that holds its value
_FIELDS = {
    0: "i", 1: "f", 2: "s", 3: "ints", 4: "floats", 5: "strings", 6: "b", 7: "bools", 8: "block_idx", 9: "l",
    10: "blocks_idx", 11: "longs", 12: "float64s", 13: "var_name", 14: "vars_name", 15: "float64",
}  # fmt: skip
_NEWEST = 3_000_000


@dataclass
class Program:
    """What a file says.

    Attributes:
        calls: the operators, without ``feed`` and ``fetch``.
        inputs, outputs: variables that are given and returned, in order.
        shapes: sizes (-1: any) and element type of each input.
        parameters: the variables kept between runs, with their sizes.
    """

    calls: list[Call]
    inputs: list[str]
    outputs: list[str]
    shapes: dict[str, tuple[list[int], Any]]
    parameters: dict[str, list[int]]
    path: object = None
    _last: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, call in enumerate(self.calls):
            for names in call.inputs.values():
                self._last.update(dict.fromkeys(names, place))

    def run(
        self, given: Mapping[str, Tensor], parameters: Mapping[str, Tensor], training: bool = False
    ) -> list[Tensor]:
        """The outputs.

        Raises:
            ArgumentError: an input is missing, or an operator refused its own; names operator and variables.
        """
        missing = [name for name in self.inputs if name not in given]
        if missing:
            raise ArgumentError(f"the program needs {', '.join(self.inputs)}; missing: {', '.join(missing)}")
        values: dict[str, Any] = {**parameters, **given}
        keep = {*self.outputs, *parameters}
        for place, call in enumerate(self.calls):
            try:
                run_call(call, values, training)
            except FreshpotError as error:
                raise ArgumentError(f"operator {place} ({call}): {error}") from error
            except (
                RuntimeError,
                ValueError,
                TypeError,
                LookupError,
                AttributeError,
                ArithmeticError,
            ) as error:
                raise ArgumentError(
                    f"operator {place} ({call}): {type(error).__name__}: {str(error).splitlines()[0]}"
                ) from error
            for names in call.inputs.values():
                for name in names:
                    if self._last[name] == place and name not in keep:
                        values.pop(name, None)
        return [values[name] for name in self.outputs]


def read_program(data: bytes, path: object) -> Program:
    """A program from the bytes of its file.

    Raises:
        FormatError: no program, cut off, or calls that cannot be.
        NotSupportedError: operators that are not done here, all of them named; control flow; a program of Paddle 3.
    """
    desc = parse_message(load("paddle").ProgramDesc, data, path=path)
    if not desc.blocks or not desc.blocks[0].ops:
        raise FormatError("no program: it has no operators", path=path)
    if desc.version.version >= _NEWEST:
        raise NotSupportedError(
            f"{path}: a program of Paddle {desc.version.version // 1_000_000}; 1.0 to 2.6 are read"
        )
    block = desc.blocks[0]
    variables = {var.name: var for var in block.vars}
    calls: list[Call] = []
    inputs: dict[int, str] = {}
    outputs: dict[int, str] = {}
    unknown: dict[str, None] = {}
    for place, op in enumerate(block.ops):
        where = f"operator {place} ({op.type})"
        call = Call(op.type, _names(op.inputs), _names(op.outputs), _attributes(op, path, where))
        if op.type in ("feed", "fetch"):
            number = call.attrs.get("col", 0)
            side, ends = (call.outputs, inputs) if op.type == "feed" else (call.inputs, outputs)
            names = [name for part in side.values() for name in part]
            if len(names) != 1 or number in ends:
                raise FormatError("it must name one variable, and a place of its own", path=path, where=where)
            ends[number] = names[0]
        elif op.type in OPERATORS:
            calls.append(call)
        else:
            unknown[op.type] = None
    if unknown:
        raise NotSupportedError(f"{path}: operators that are not done here: {', '.join(sorted(unknown))}")
    kept = {n: v for n, v in variables.items() if v.persistable and v.type.type == 7}
    made = Program(
        calls,
        [inputs[number] for number in sorted(inputs)],
        [outputs[number] for number in sorted(outputs)],
        {name: _shape(variables.get(name), path) for name in inputs.values()},
        {name: list(var.type.lod_tensor.tensor.dims) for name, var in kept.items()},
        path,
    )
    _check_order(made)
    return made


def _check_order(program: Program) -> None:
    known = {*program.inputs, *program.parameters}
    for place, call in enumerate(program.calls):
        for names in call.inputs.values():
            for name in names:
                if name not in known:
                    raise FormatError(
                        f"it reads '{name}', which nothing before it makes",
                        path=program.path,
                        where=f"operator {place} ({call.kind})",
                    )
        known.update(name for names in call.outputs.values() for name in names)
    lost = [name for name in program.outputs if name not in known]
    if lost or not program.outputs:
        raise FormatError(f"no operator makes its outputs {lost or '(there are none)'}", path=program.path)


def _names(parts: Any) -> dict[str, list[str]]:
    return {part.parameter: list(part.arguments) for part in parts}


def _attributes(op: Any, path: object, where: str) -> dict[str, Any]:
    made = {}
    for attr in op.attrs:
        if attr.type == 16:
            made[attr.name] = _scalar(attr.scalar)
        elif attr.type == 17:
            made[attr.name] = [_scalar(part) for part in attr.scalars]
        elif attr.type in _FIELDS:
            value = getattr(attr, _FIELDS[attr.type])
            made[attr.name] = value if isinstance(value, (str, int, float, bool)) else list(value)
        else:
            raise FormatError(f"attribute '{attr.name}' of unknown kind {attr.type}", path=path, where=where)
    return made


def _scalar(part: Any) -> Any:
    return {1: part.b, 2: part.i, 3: part.r}.get(part.type, complex(part.c.r, part.c.i))


def _shape(variable: Any, path: object) -> tuple[list[int], Any]:
    if variable is None:
        raise FormatError("an input is fed that the program does not declare", path=path)
    tensor = variable.type.lod_tensor.tensor
    return list(tensor.dims), np.dtype(ELEMENTS.get(tensor.data_type, np.float32))
