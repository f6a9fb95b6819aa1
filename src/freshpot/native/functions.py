"""Functions of vectors of float32: exponential, logarithm, and what goes across a vector's lanes.

Owned here: their arithmetic (reduction of the argument and polynomials as in S. Moshier's Cephes library; errors of an
ulp or two). Who calls it: modules of kernels beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from freshpot.native.build import Kernel, Value

_I32 = ir.IntType(32)

#: added to a number, this leaves its nearest whole number, and 127, in the lowest bits
_ROUND = 12582912.0 + 127.0
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
#: below it e^x is taken as 0
_LOWEST = -87.3365
_EXP = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_SQRT_HALF = 0.707106781186547524


def number(k: Kernel, value: float) -> Value:
    """A vector of one number."""
    return ir.Constant(k.vector, [value] * k.lanes)


def divide(k: Kernel, a: Value, b: Value) -> Value:
    """a / b."""
    return k._builder.fdiv(a, b)


def root(k: Kernel, x: Value) -> Value:
    """The square root."""
    name = f"llvm.sqrt.v{k.lanes}f32"
    found = k.module.globals.get(name)
    return k._builder.call(found or ir.Function(k.module, ir.FunctionType(k.vector, [k.vector]), name), [x])


def less(k: Kernel, a: Value, b: Value) -> Value:
    """Lane by lane, whether a < b; not where either is NaN."""
    return k._builder.fcmp_ordered("<", a, b)


def _whole(k: Kernel, value: int) -> Value:
    return ir.Constant(ir.VectorType(_I32, k.lanes), [value] * k.lanes)


def _bits(k: Kernel, x: Value) -> Value:
    return k._builder.bitcast(x, ir.VectorType(_I32, k.lanes))


def _polynomial(k: Kernel, x: Value, factors: Sequence[float]) -> Value:
    y = number(k, factors[0])
    for factor in factors[1:]:
        y = k.fma(y, x, number(k, factor))
    return y


def exponential(k: Kernel, x: Value) -> Value:
    """e^x for x that are not positive, 0 for such as are far from 0."""
    floored = k.maximum(x, number(k, _LOWEST))
    rounded = k.fma(floored, number(k, _LOG2_E), number(k, _ROUND))
    n = k.fsub(rounded, number(k, _ROUND))
    r = k.fma(n, number(k, -_LN2_LOW), k.fma(n, number(k, -_LN2_HIGH), floored))
    y = k.fma(_polynomial(k, r, _EXP), k.fmul(r, r), k.fadd(r, number(k, 1.0)))
    power = k._builder.bitcast(k._builder.shl(_bits(k, rounded), _whole(k, 23)), k.vector)
    return k.where(less(k, x, number(k, _LOWEST)), k.zeros(), k.fmul(y, power))


def logarithm(k: Kernel, x: Value) -> Value:
    """The natural logarithm of positive numbers that are not tiny; infinity and NaN stay what they are."""
    b = k._builder
    bits = _bits(k, x)
    exponent = b.sub(b.lshr(bits, _whole(k, 23)), _whole(k, 126))
    part = b.bitcast(b.or_(b.and_(bits, _whole(k, 0x7FFFFF)), _whole(k, 0x3F000000)), k.vector)
    small = less(k, part, number(k, _SQRT_HALF))
    e = b.sitofp(b.sub(exponent, b.zext(small, ir.VectorType(_I32, k.lanes))), k.vector)
    m = k.fsub(k.where(small, k.fadd(part, part), part), number(k, 1.0))
    z = k.fmul(m, m)
    y = k.fmul(k.fmul(_polynomial(k, m, _LOG), m), z)
    y = k.fma(e, number(k, _LN2_LOW), y)
    y = k.fma(z, number(k, -0.5), y)
    y = k.fma(e, number(k, _LN2_HIGH), k.fadd(m, y))
    return k.where(less(k, x, number(k, float("inf"))), y, x)


def across(k: Kernel, x: Value, join: Callable[[Value, Value], Value]) -> Value:
    """All lanes joined, in every lane."""
    kind, distance = ir.VectorType(_I32, k.lanes), k.lanes // 2
    while distance:
        turned = [i ^ distance for i in range(k.lanes)]
        x = join(x, k._builder.shuffle_vector(x, x, ir.Constant(kind, turned)))
        distance //= 2
    return x


def sums(k: Kernel, vectors: Sequence[Value]) -> Value:
    """As many vectors as a vector has lanes: the sum of each, in its place."""
    whole = list(vectors)
    while len(whole) > 1:
        whole = [k._halved(*pair) for pair in zip(whole[::2], whole[1::2], strict=True)]
    return whole[0]
