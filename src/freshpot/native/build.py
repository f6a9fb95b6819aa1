"""Writing machine code: loops over vectors of float32, in LLVM's intermediate language.

Owned here: `Kernel`, a function under construction, and nothing of what kernels compute. Who calls it: the
modules of kernels beside this one.

A kernel takes one pointer to a table of addresses: two functions that tell which thread of how many it runs in
(or zeros), then the addresses of its arrays. Sizes are constants of the code: one shape, one function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from llvmlite import ir

#: a value of the language under construction: an address, an integer, a vector
Value: TypeAlias = Any

_VOID, _F32 = ir.VoidType(), ir.FloatType()
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_POINTER = ir.PointerType()
_ASKS, _KERNEL = ir.FunctionType(_I32, []), ir.FunctionType(_VOID, [_POINTER])
#: entries of the table before the arrays' addresses
HEADER = 2
#: vectors of so many numbers are those of x86
_X86_LANES = 8


class Kernel:
    """A function under construction: ``name(table)``.

    Args:
        name: of the function in the object file.
        lanes: float32 numbers in a vector.
    """

    def __init__(self, name: str, lanes: int) -> None:
        self.name, self.lanes = name, lanes
        self.module = ir.Module(name)
        self.vector, self.numbers = ir.VectorType(_F32, lanes), ir.VectorType(_I64, lanes)
        self._fma = ir.Function(
            self.module, ir.FunctionType(self.vector, [self.vector] * 3), f"llvm.fma.v{lanes}f32"
        )
        self._maximum = ir.Function(
            self.module, ir.FunctionType(self.vector, [self.vector] * 2), f"llvm.maximum.v{lanes}f32"
        )
        self._function = ir.Function(self.module, ir.FunctionType(_VOID, [_POINTER]), name)
        self._entry = self._function.append_basic_block("entry")
        self._builder = ir.IRBuilder(self._function.append_basic_block("body"))

    def finish(self) -> str:
        """Close the function; the module's text."""
        self._builder.ret_void()
        first = self._function.blocks[1]
        ir.IRBuilder(self._entry).branch(first)
        return str(self.module)

    # ---- integers ------------------------------------------------------------------------------
    def integer(self, value: int | Value) -> Value:
        """An integer of the language."""
        return ir.Constant(_I64, value) if isinstance(value, int) else value

    def add(self, *terms: int | Value) -> Value:
        """The sum of integers."""
        total = self.integer(terms[0])
        for term in terms[1:]:
            total = self._builder.add(total, self.integer(term))
        return total

    def sub(self, a: int | Value, b: int | Value) -> Value:
        """a - b."""
        return self._builder.sub(self.integer(a), self.integer(b))

    def mul(self, a: int | Value, b: int | Value) -> Value:
        """a * b."""
        return self._builder.mul(self.integer(a), self.integer(b))

    def less(self, a: int | Value, b: int | Value) -> Value:
        """Whether a < b."""
        return self._builder.icmp_signed("<", self.integer(a), self.integer(b))

    def same(self, a: int | Value, b: int | Value) -> Value:
        """Whether a == b."""
        return self._builder.icmp_signed("==", self.integer(a), self.integer(b))

    def differs(self, a: int | Value, b: int | Value) -> Value:
        """Whether a != b."""
        return self._builder.icmp_signed("!=", self.integer(a), self.integer(b))

    def both(self, a: Value, b: int) -> Value:
        """The bits that both numbers have."""
        return self._builder.and_(a, self.integer(b))

    def divmod(self, a: Value, b: int | Value) -> tuple[Value, Value]:
        """Quotient and remainder of numbers that are not negative."""
        divisor = self.integer(b)
        return self._builder.udiv(a, divisor), self._builder.urem(a, divisor)

    def smaller(self, a: int | Value, b: int | Value) -> Value:
        """min(a, b)."""
        a, b = self.integer(a), self.integer(b)
        return self._builder.select(self._builder.icmp_signed("<", a, b), a, b)

    def larger(self, a: int | Value, b: int | Value) -> Value:
        """max(a, b)."""
        a, b = self.integer(a), self.integer(b)
        return self._builder.select(self._builder.icmp_signed(">", a, b), a, b)

    # ---- control -------------------------------------------------------------------------------
    @contextmanager
    def loop(self, start: int | Value, stop: int | Value, step: int = 1) -> Iterator[Value]:
        """``for i in range(start, stop, step)``: the body is what is written inside."""
        b = self._builder
        start, stop = self.integer(start), self.integer(stop)
        before = b.block
        head, body, after = (self._function.append_basic_block(w) for w in ("head", "loop", "after"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(_I64)
        index.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", index, stop), body, after)
        b.position_at_end(body)
        yield index
        index.add_incoming(b.add(index, self.integer(step)), b.block)
        b.branch(head)
        b.position_at_end(after)

    def parts(
        self, first: Value, last: Value, sizes: Sequence[int], body: Callable[[int, Value], None]
    ) -> None:
        """From first to last in steps of the sizes, in their order; ``body`` is given the size and where it starts."""
        for size in sizes:
            whole, _ = self.divmod(self.sub(last, first), size)
            stop = self.add(first, self.mul(whole, size))
            with self.loop(first, stop, size) as start:
                body(size, start)
            first = stop

    @contextmanager
    def when_equal(self, a: Value, b: int) -> Iterator[None]:
        """``if a == b``: what is written inside."""
        with self._builder.if_then(self._builder.icmp_signed("==", a, self.integer(b))):
            yield

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """``if condition``: what is written inside."""
        with self._builder.if_then(condition):
            yield

    def threads(self) -> tuple[Value, Value]:
        """Which thread this is, of how many."""
        b = self._builder
        table = self._function.args[0]
        thread, threads = b.alloca(_I64), b.alloca(_I64)
        b.store(self.integer(0), thread)
        b.store(self.integer(1), threads)
        for place, slot in ((0, thread), (1, threads)):
            address = self._entry_of_table(table, place)
            with b.if_then(b.icmp_signed("!=", b.ptrtoint(address, _I64), self.integer(0))):
                b.store(b.zext(b.call(_typed(address, _ASKS), []), _I64), slot)
        return b.load(thread, typ=_I64), b.load(threads, typ=_I64)

    def invoke(self, function: Value, table: Value) -> None:
        """Call another kernel, at an address that is known when the code runs."""
        self._builder.call(_typed(function, _KERNEL), [table])

    def load_address(self, address: Value, offset: int | Value) -> Value:
        """The address that stands ``offset`` addresses further."""
        place = self._builder.gep(address, [self.integer(offset)], source_etype=_POINTER)
        return self._builder.load(place, typ=_POINTER)

    def meet(self, counter: Value, wanted: Value, rest: Value, looks: Value) -> None:
        """Count one up in memory that threads share, and wait until it stands at ``wanted`` at least.

        ``rest``: a C function without arguments that lets other threads work, called after so many ``looks``.
        """
        b = self._builder
        b.atomic_rmw("add", counter, self.integer(1), "seq_cst")
        before = b.block
        head, more, idle, again, after = (
            self._function.append_basic_block(w) for w in ("meet", "more", "idle", "again", "met")
        )
        b.branch(head)
        b.position_at_end(head)
        turns = b.phi(_I64)
        turns.add_incoming(self.integer(0), before)
        arrived = b.load_atomic(counter, "acquire", 8, typ=_I64)
        b.cbranch(b.icmp_signed("<", arrived, wanted), more, after)
        b.position_at_end(more)
        if self.lanes >= _X86_LANES:
            pause = ir.Function(self.module, ir.FunctionType(_VOID, []), "llvm.x86.sse2.pause")
            b.call(pause, [])
        next_turn = b.add(turns, self.integer(1))
        b.cbranch(b.icmp_signed("==", b.urem(next_turn, looks), self.integer(0)), idle, again)
        b.position_at_end(idle)
        b.call(_typed(rest, _ASKS), [])
        b.branch(again)
        b.position_at_end(again)
        turns.add_incoming(next_turn, again)
        b.branch(head)
        b.position_at_end(after)

    @contextmanager
    def tasks(self, count: int | Value) -> Iterator[Value]:
        """The body is run for each number below ``count``; threads share them in equal, adjoining runs."""
        b = self._builder
        me, all_of_them = self.threads()
        start = b.udiv(b.mul(me, self.integer(count)), all_of_them)
        stop = b.udiv(b.mul(b.add(me, self.integer(1)), self.integer(count)), all_of_them)
        with self.loop(start, stop) as task:
            yield task

    # ---- memory --------------------------------------------------------------------------------
    def _entry_of_table(self, table: Value, place: int) -> Value:
        b = self._builder
        return b.load(b.gep(table, [self.integer(place)], source_etype=_POINTER), typ=_POINTER)

    def array(self, number: int) -> Value:
        """The address of array ``number``."""
        return self._entry_of_table(self._function.args[0], HEADER + number)

    def number(self, place: int) -> Value:
        """The integer that stands in the table in the place of array ``place``."""
        address = self._builder.gep(self._function.args[0], [self.integer(HEADER + place)], source_etype=_I64)
        return self._builder.load(address, typ=_I64)

    def load_number(self, address: Value, offset: int | Value) -> Value:
        """The integer ``offset`` int64 numbers further."""
        place = self._builder.gep(address, [self.integer(offset)], source_etype=_I64)
        return self._builder.load(place, typ=_I64)

    def at(self, address: Value, offset: int | Value) -> Value:
        """The address ``offset`` floats further."""
        return self._builder.gep(address, [self.integer(offset)], source_etype=_F32)

    def load(self, address: Value, offset: int | Value = 0) -> Value:
        """The vector there."""
        return self._builder.load(self.at(address, offset), typ=self.vector, align=4)

    def store(self, vector: Value, address: Value, offset: int | Value = 0) -> None:
        """Write a vector."""
        self._builder.store(vector, self.at(address, offset), align=4)

    def spread(self, address: Value, offset: int | Value = 0) -> Value:
        """A vector of copies of the number there."""
        number = self._builder.load(self.at(address, offset), typ=_F32, align=4)
        return self._copies(number, self.vector)

    def spread_number(self, number: Value) -> Value:
        """A vector of copies of an integer."""
        return self._copies(number, self.numbers)

    def _copies(self, number: Value, kind: ir.VectorType) -> Value:
        b = self._builder
        undefined = ir.Constant(kind, ir.Undefined)
        one = b.insert_element(undefined, number, ir.Constant(_I32, 0))
        everywhere = ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        return b.shuffle_vector(one, undefined, everywhere)

    def store_number(self, number: Value, address: Value, offset: int | Value = 0) -> None:
        """Write one float."""
        self._builder.store(number, self.at(address, offset), align=4)

    def store_whole(self, number: int, address: Value) -> None:
        """Write one int64."""
        self._builder.store(self.integer(number), address, align=8)

    def load_numbers(self, address: Value, offset: int | Value) -> Value:
        """A vector of int64 from an array of them, ``offset`` numbers further."""
        place = self._builder.gep(address, [self.integer(offset)], source_etype=_I64)
        return self._builder.load(place, typ=self.numbers, align=8)

    def store_numbers(self, vector: Value, address: Value, offset: int | Value) -> None:
        """Write a vector of int64."""
        place = self._builder.gep(address, [self.integer(offset)], source_etype=_I64)
        self._builder.store(vector, place, align=8)

    def load_bytes(self, address: Value, offset: int | Value) -> Value:
        """A vector of int32 from an array of bytes, ``offset`` bytes further."""
        place = self._builder.gep(address, [self.integer(offset)], source_etype=_I8)
        loaded = self._builder.load(place, typ=ir.VectorType(_I8, self.lanes), align=1)
        return self._builder.zext(loaded, ir.VectorType(_I32, self.lanes))

    def store_bytes(self, vector: Value, address: Value, offset: int | Value) -> None:
        """Write a vector of int32 as bytes."""
        place = self._builder.gep(address, [self.integer(offset)], source_etype=_I8)
        self._builder.store(self._builder.trunc(vector, ir.VectorType(_I8, self.lanes)), place, align=1)

    # ---- vectors -------------------------------------------------------------------------------
    def small_number(self, number: int) -> Value:
        """A vector of int32, all this number."""
        return ir.Constant(ir.VectorType(_I32, self.lanes), [number] * self.lanes)

    def zeros(self) -> Value:
        """A vector of zeros."""
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def variables(self, count: int) -> Variables:
        """Vectors that may change: registers, if there are enough."""
        b = self._builder
        with b.goto_block(self._entry):
            return Variables(self, [b.alloca(self.vector) for _ in range(count)])

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c."""
        return self._builder.call(self._fma, [a, b, c])

    def fmul(self, a: Value, b: Value) -> Value:
        """a * b."""
        return self._builder.fmul(a, b)

    def fsub(self, a: Value, b: Value) -> Value:
        """a - b."""
        return self._builder.fsub(a, b)

    def fadd(self, a: Value, b: Value) -> Value:
        """a + b."""
        return self._builder.fadd(a, b)

    def maximum(self, a: Value, b: Value) -> Value:
        """The larger, lane by lane; NaN if either is."""
        return self._builder.call(self._maximum, [a, b])

    def equal(self, a: Value, b: Value) -> Value:
        """Lane by lane, whether a == b; both float or both of whole numbers."""
        if a.type != self.vector:
            return self._builder.icmp_signed("==", a, b)
        return self._builder.fcmp_ordered("==", a, b)

    def greater_or_nan(self, a: Value, b: Value) -> Value:
        """Lane by lane, whether a > b or a is NaN."""
        b_ = self._builder
        return b_.or_(b_.fcmp_ordered(">", a, b), b_.fcmp_unordered("uno", a, a))

    def first_lanes(self, count: int) -> Value:
        """A condition that holds in the first ``count`` lanes."""
        return ir.Constant(ir.VectorType(ir.IntType(1), self.lanes), [i < count for i in range(self.lanes)])

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        """a in the lanes where the condition holds, b elsewhere."""
        return self._builder.select(condition, a, b)

    def first(self, vector: Value) -> Value:
        """The number in the first lane."""
        return self._builder.extract_element(vector, ir.Constant(_I32, 0))

    def totals(self, vectors: Sequence[Value]) -> list[Value]:
        """Of each vector the sum of its lanes, added pairwise; many at a time cost less than one by one."""
        found: list[Value] = []
        for start in range(0, len(vectors), self.lanes):
            group = list(vectors[start : start + self.lanes])
            whole = group + [self.zeros()] * (self.lanes - len(group))
            while len(whole) > 1:
                whole = [self._halved(*pair) for pair in zip(whole[::2], whole[1::2], strict=True)]
            for i in range(len(group)):
                found.append(self._builder.extract_element(whole[0], ir.Constant(_I32, i)))
        return found

    def turned(self, vectors: Sequence[Value]) -> list[Value]:
        """As many vectors as one has lanes, seen as a matrix, transposed."""
        rows, distance = list(vectors), 1
        while distance < self.lanes:
            for i in range(self.lanes):
                if i & distance == 0:
                    rows[i], rows[i + distance] = self._exchanged(rows[i], rows[i + distance], distance)
            distance *= 2
        return rows

    def _exchanged(self, a: Value, b: Value, distance: int) -> tuple[Value, Value]:
        """a with lanes of b where the number has this bit, moved up; b with those of a where it has not, moved down."""
        kind, lanes = ir.VectorType(_I32, self.lanes), range(self.lanes)
        low = ir.Constant(kind, [self.lanes + i - distance if i & distance else i for i in lanes])
        high = ir.Constant(kind, [self.lanes + i if i & distance else i + distance for i in lanes])
        return self._builder.shuffle_vector(a, b, low), self._builder.shuffle_vector(a, b, high)

    def _halved(self, a: Value, b: Value) -> Value:
        """Sums of neighbouring lanes: those of a, then those of b."""
        b_ = self._builder
        pairs = range(0, 2 * self.lanes, 2)
        kind = ir.VectorType(_I32, self.lanes)
        even, odd = (ir.Constant(kind, [i + side for i in pairs]) for side in (0, 1))
        return b_.fadd(b_.shuffle_vector(a, b, even), b_.shuffle_vector(a, b, odd))


class Variables:
    """Vectors that may change."""

    def __init__(self, kernel: Kernel, slots: Sequence[Value]) -> None:
        self._kernel, self._slots = kernel, slots

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, i: int) -> Value:
        return self._kernel._builder.load(self._slots[i], typ=self._kernel.vector)

    def __setitem__(self, i: int, vector: Value) -> None:
        self._kernel._builder.store(vector, self._slots[i])

    def fill(self, vector: Value) -> None:
        """Let all be this vector."""
        for i in range(len(self)):
            self[i] = vector


def _typed(address: Value, signature: ir.FunctionType) -> Value:
    """A function at an address that is known when the code runs."""
    made = _Callee(address, signature)
    return made


class _Callee:
    """What llvmlite wants of something to call: its type, and the name to write down."""

    def __init__(self, address: Value, signature: ir.FunctionType) -> None:
        self.function_type = signature
        self.type = _POINTER
        self._address = address

    def get_reference(self) -> str:
        return self._address.get_reference()


Emitter: TypeAlias = Callable[[Kernel], None]
