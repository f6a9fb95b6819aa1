"""The operators of Paddle's programs, by the functions of the door: one entry of a table each.

Called by :mod:`freshpot.paddle.jit._program`.
"""

from __future__ import annotations

from typing import Any

from freshpot.paddle.jit._operators import arithmetic, choices, shapes, windows
from freshpot.paddle.jit._operators._call import Arguments, Call, Entry

__all__ = ["OPERATORS", "Call", "run_call"]

#: kind -> what it does
OPERATORS: dict[str, Entry] = {
    **windows.OPERATORS,
    **arithmetic.OPERATORS,
    **shapes.OPERATORS,
    **choices.OPERATORS,
}

#: the slots whose variable is the result, in order of likelihood
_RESULTS = ("Out", "Output", "Y")


def run_call(call: Call, values: dict[str, Any], training: bool) -> None:
    """Read a call's inputs from ``values`` and put its outputs there."""
    made = OPERATORS[call.kind](Arguments(call, values, training))
    if not isinstance(made, dict):
        slot = next((s for s in _RESULTS if call.outputs.get(s)), None) or next(iter(call.outputs))
        made = {slot: made}
    for slot, value in made.items():
        parts = value if isinstance(value, (list, tuple)) else [value]
        values.update(zip(call.outputs.get(slot, []), parts, strict=False))
