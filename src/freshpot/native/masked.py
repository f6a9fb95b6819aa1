"""Vectors of which only some lanes lie in memory: reading and writing rows whose length no vector divides.

Owned here: conditions on lanes, and reading, writing, picking and spreading lanes under them. Who calls it: modules
of kernels beside this one. What a condition leaves out is neither read nor written, so it may lie anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from freshpot.native.build import Kernel, Value

_I1, _I32, _I64, _F32 = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.FloatType()
_POINTER = ir.PointerType()


def _intrinsic(k: Kernel, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
    found = k.module.globals.get(name)
    return found or ir.Function(k.module, ir.FunctionType(result, list(arguments)), name)


def _conditions(k: Kernel) -> ir.VectorType:
    return ir.VectorType(_I1, k.lanes)


def lanes_of(k: Kernel, wanted: Sequence[bool]) -> Value:
    """A condition that holds in these lanes."""
    return ir.Constant(_conditions(k), list(wanted))


def lanes_below(k: Kernel, count: int | Value) -> Value:
    """A condition that holds in the first ``count`` lanes; ``count`` may be negative, or more than there are."""
    numbers = ir.Constant(k.numbers, list(range(k.lanes)))
    return k._builder.icmp_signed("<", numbers, k.spread_number(k.integer(count)))


def load(k: Kernel, address: Value, condition: Value, otherwise: Value | None = None) -> Value:
    """The vector there where the condition holds, ``otherwise`` (zeros) elsewhere."""
    name = f"llvm.masked.load.v{k.lanes}f32.p0"
    function = _intrinsic(k, name, k.vector, [_POINTER, _I32, _conditions(k), k.vector])
    rest = k.zeros() if otherwise is None else otherwise
    return k._builder.call(function, [address, ir.Constant(_I32, 4), condition, rest])


def store(k: Kernel, vector: Value, address: Value, condition: Value) -> None:
    """Write the lanes where the condition holds."""
    name = f"llvm.masked.store.v{k.lanes}f32.p0"
    function = _intrinsic(k, name, ir.VoidType(), [k.vector, _POINTER, _I32, _conditions(k)])
    k._builder.call(function, [vector, address, ir.Constant(_I32, 4), condition])


def load_numbers(k: Kernel, address: Value, offset: Value, condition: Value) -> Value:
    """A vector of int64 from an array of them, ``offset`` numbers further, zeros where the condition does not hold."""
    name = f"llvm.masked.load.v{k.lanes}i64.p0"
    function = _intrinsic(k, name, k.numbers, [_POINTER, _I32, _conditions(k), k.numbers])
    place = k._builder.gep(address, [offset], source_etype=_I64)
    zeros = ir.Constant(k.numbers, [0] * k.lanes)
    return k._builder.call(function, [place, ir.Constant(_I32, 8), condition, zeros])


def store_numbers(k: Kernel, vector: Value, address: Value, offset: Value, condition: Value) -> None:
    """Write such a vector where the condition holds."""
    name = f"llvm.masked.store.v{k.lanes}i64.p0"
    function = _intrinsic(k, name, ir.VoidType(), [k.numbers, _POINTER, _I32, _conditions(k)])
    place = k._builder.gep(address, [offset], source_etype=_I64)
    k._builder.call(function, [vector, place, ir.Constant(_I32, 8), condition])


def load_short_numbers(k: Kernel, address: Value, offset: Value, condition: Value) -> Value:
    """The same from an array of int32; as int64."""
    kind = ir.VectorType(_I32, k.lanes)
    function = _intrinsic(
        k, f"llvm.masked.load.v{k.lanes}i32.p0", kind, [_POINTER, _I32, _conditions(k), kind]
    )
    place = k._builder.gep(address, [offset], source_etype=_I32)
    zeros = ir.Constant(kind, [0] * k.lanes)
    return k._builder.sext(
        k._builder.call(function, [place, ir.Constant(_I32, 4), condition, zeros]), k.numbers
    )


def gather(k: Kernel, address: Value, offsets: Value, condition: Value) -> Value:
    """The numbers that lie so many floats further, one a lane; zeros where the condition does not hold."""
    name = f"llvm.masked.gather.v{k.lanes}f32.v{k.lanes}p0"
    function = _intrinsic(k, name, k.vector, [_many(k), _I32, _conditions(k), k.vector])
    return k._builder.call(
        function, [_places(k, address, offsets), ir.Constant(_I32, 4), condition, k.zeros()]
    )


def scatter(k: Kernel, vector: Value, address: Value, offsets: Value, condition: Value) -> None:
    """Write lanes to where they belong, so many floats further, where the condition holds."""
    name = f"llvm.masked.scatter.v{k.lanes}f32.v{k.lanes}p0"
    function = _intrinsic(k, name, ir.VoidType(), [k.vector, _many(k), _I32, _conditions(k)])
    k._builder.call(function, [vector, _places(k, address, offsets), ir.Constant(_I32, 4), condition])


def load_apart(k: Kernel, address: Value, offsets: Sequence[int]) -> Value:
    """The numbers that lie so many floats further, one a lane; lanes beyond ``offsets`` get zeros."""
    whole = ir.Constant(k.numbers, [*offsets, *[0] * (k.lanes - len(offsets))])
    return gather(k, address, whole, k.first_lanes(len(offsets)))


def _many(k: Kernel) -> ir.VectorType:
    return ir.VectorType(_POINTER, k.lanes)


def _places(k: Kernel, address: Value, offsets: Value) -> Value:
    made = k._builder.gep(address, [offsets], source_etype=_F32)
    made.type = _many(k)
    return made


def load_every(k: Kernel, address: Value, step: int, count: Value) -> Value:
    """The first ``count`` of every ``step``-th number from there, ``step`` 1 or 2."""
    if step == 1:
        return load(k, address, lanes_below(k, count))
    last = k.sub(k.mul(count, 2), 1)
    low = load(k, address, lanes_below(k, last))
    high = load(k, k.at(address, k.lanes), lanes_below(k, k.sub(last, k.lanes)))
    picked = ir.Constant(ir.VectorType(_I32, k.lanes), [2 * i for i in range(k.lanes)])
    return k._builder.shuffle_vector(low, high, picked)


def store_pairs(k: Kernel, even: Value, odd: Value, address: Value, count: Value) -> None:
    """Write the first ``count`` pairs of lanes, one of ``even`` and one of ``odd`` in turn."""
    n = k.lanes
    kind = ir.VectorType(_I32, n)
    for half in (0, 1):
        order = [(i // 2 + half * n // 2) + n * (i % 2) for i in range(n)]
        mixed = k._builder.shuffle_vector(even, odd, ir.Constant(kind, order))
        condition = lanes_below(k, k.sub(k.mul(count, 2), half * n))
        store(k, mixed, k.at(address, half * n), condition)


def lane_numbers(k: Kernel, start: Value, step: int) -> Value:
    """int64: ``start``, ``start + step`` … a lane."""
    steps = ir.Constant(k.numbers, [i * step for i in range(k.lanes)])
    return k._builder.add(k.spread_number(start), steps)
