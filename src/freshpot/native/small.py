"""What nets of a few numbers are made of, as machine code: fully connected layers, softmax, losses, updates.

Owned here: the kernels. Who calls it: ops/_small. Sizes are entries of the table, so each is compiled once. All work
on contiguous float32 in the order of its indices; labels are int32 or int64, of Caffe float32. They run on one thread
(`chain`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from llvmlite import ir

from freshpot.native import functions as f
from freshpot.native import masked
from freshpot.native.build import Emitter, Kernel, Value
from freshpot.native.machine import Code, lanes

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_POINTER = ir.PointerType()
#: rows of a product that are made at a time
_ROWS = 4
#: probabilities are kept at or above this, so that the logarithm is finite: by Caffe2, and by Caffe
SMALLEST, CAFFE_SMALLEST = 1e-20, 1.17549435e-38


def _vectors(k: Kernel, count: Value, body: Callable[[Value, Value], None]) -> None:
    """``body(offset, condition)`` for each vector of so many numbers."""
    whole, _ = k.divmod(count, lanes())
    stop = k.mul(whole, lanes())
    with k.loop(0, stop, lanes()) as at:
        body(at, k.first_lanes(lanes()))
    with k.when(k.less(stop, count)):
        body(stop, masked.lanes_below(k, k.sub(count, stop)))


def _fc(k: Kernel) -> None:
    """X (M, K), W (N, K), b (N), Y (M, N); M, N, K."""
    X, W, b, Y = (k.array(i) for i in range(4))
    M, N, K = (k.number(4 + i) for i in range(3))
    acc = k.variables(lanes())
    with k.loop(0, N, lanes()) as n:
        rows = [k.at(W, k.mul(k.smaller(k.add(n, i), k.sub(N, 1)), K)) for i in range(lanes())]
        inside = masked.lanes_below(k, k.sub(N, n))
        bias = masked.load(k, k.at(b, n), inside)
        with k.loop(0, M) as m:
            acc.fill(k.zeros())
            start = k.mul(m, K)

            def products(at: Value, condition: Value, row: Value = start) -> None:
                x = masked.load(k, k.at(X, k.add(row, at)), condition)
                for i in range(lanes()):
                    acc[i] = k.fma(x, masked.load(k, k.at(rows[i], at), condition), acc[i])

            _vectors(k, K, products)
            y = k.fadd(f.sums(k, [acc[i] for i in range(lanes())]), bias)
            masked.store(k, y, k.at(Y, k.add(k.mul(m, N), n)), inside)


def _product(k: Kernel) -> None:
    """C (I, K) = A B: A (I, J) with distances a_i, a_j; B (J, K); then I, J, K, a_i, a_j."""
    A, B, C = (k.array(i) for i in range(3))
    I, J, K, a_i, a_j = (k.number(3 + i) for i in range(5))  # noqa: E741
    acc = k.variables(_ROWS)
    with k.loop(0, I, _ROWS) as first:
        rows = [k.smaller(k.add(first, r), k.sub(I, 1)) for r in range(_ROWS)]

        def columns(at: Value, condition: Value) -> None:
            acc.fill(k.zeros())
            with k.loop(0, J) as j:
                b = masked.load(k, k.at(B, k.add(k.mul(j, K), at)), condition)
                for r in range(_ROWS):
                    a = k.spread(A, k.add(k.mul(rows[r], a_i), k.mul(j, a_j)))
                    acc[r] = k.fma(a, b, acc[r])
            for r in range(_ROWS):
                masked.store(k, acc[r], k.at(C, k.add(k.mul(rows[r], K), at)), condition)

        _vectors(k, K, columns)


def _column_sums(k: Kernel) -> None:
    """X (M, N), Y (N) = the sums over M; M, N."""
    X, Y = k.array(0), k.array(1)
    M, N = k.number(2), k.number(3)
    acc = k.variables(1)

    def columns(at: Value, condition: Value) -> None:
        acc.fill(k.zeros())
        with k.loop(0, M) as m:
            acc[0] = k.fadd(acc[0], masked.load(k, k.at(X, k.add(k.mul(m, N), at)), condition))
        masked.store(k, acc[0], k.at(Y, at), condition)

    _vectors(k, N, columns)


def _relu(k: Kernel) -> None:
    """X, Y; how many."""
    X, Y = k.array(0), k.array(1)

    def each(at: Value, condition: Value) -> None:
        masked.store(k, k.maximum(masked.load(k, k.at(X, at), condition), k.zeros()), k.at(Y, at), condition)

    _vectors(k, k.number(2), each)


def _relu_gradient(k: Kernel) -> None:
    """Y, dY, dX; how many."""
    Y, dY, dX = (k.array(i) for i in range(3))

    def each(at: Value, condition: Value) -> None:
        y = masked.load(k, k.at(Y, at), condition)
        grad = masked.load(k, k.at(dY, at), condition)
        masked.store(k, k.where(f.less(k, k.zeros(), y), grad, k.zeros()), k.at(dX, at), condition)

    _vectors(k, k.number(3), each)


def _softmax(k: Kernel) -> None:
    """X, Y (M, D); M, D."""
    X, Y = k.array(0), k.array(1)
    M, D = k.number(2), k.number(3)
    most, total = k.variables(1), k.variables(1)
    lowest = f.number(k, float("-inf"))
    with k.loop(0, M) as m:
        x, y = k.at(X, k.mul(m, D)), k.at(Y, k.mul(m, D))
        most[0], total[0] = lowest, k.zeros()

        def largest(at: Value, condition: Value, x: Value = x) -> None:
            most[0] = k.maximum(most[0], masked.load(k, k.at(x, at), condition, lowest))

        _vectors(k, D, largest)
        top = f.across(k, most[0], k.maximum)

        def powers(at: Value, condition: Value, x: Value = x, y: Value = y) -> None:
            power = f.exponential(k, k.fsub(masked.load(k, k.at(x, at), condition), top))
            masked.store(k, power, k.at(y, at), condition)
            total[0] = k.fadd(total[0], k.where(condition, power, k.zeros()))

        _vectors(k, D, powers)
        whole = f.across(k, total[0], k.fadd)

        def shares(at: Value, condition: Value, y: Value = y) -> None:
            share = f.divide(k, masked.load(k, k.at(y, at), condition), whole)
            masked.store(k, share, k.at(y, at), condition)

        _vectors(k, D, shares)


def _softmax_gradient(k: Kernel) -> None:
    """Y, dY, dX (M, D); M, D."""
    Y, dY, dX = (k.array(i) for i in range(3))
    M, D = k.number(3), k.number(4)
    total = k.variables(1)
    with k.loop(0, M) as m:
        y, dy, dx = (k.at(a, k.mul(m, D)) for a in (Y, dY, dX))
        total[0] = k.zeros()

        def add_up(at: Value, condition: Value, y: Value = y, dy: Value = dy) -> None:
            a, b = (masked.load(k, k.at(z, at), condition) for z in (y, dy))
            total[0] = k.fma(a, b, total[0])

        _vectors(k, D, add_up)
        whole = f.across(k, total[0], k.fadd)

        def slopes(at: Value, condition: Value, y: Value = y, dy: Value = dy, dx: Value = dx) -> None:
            a, b = (masked.load(k, k.at(z, at), condition) for z in (y, dy))
            masked.store(k, k.fmul(k.fsub(b, whole), a), k.at(dx, at), condition)

        _vectors(k, D, slopes)


def _labels(kind: str, k: Kernel, label: Value, at: Value, condition: Value, D: Value) -> tuple[Value, Value]:
    """Labels as int64, and where they are no class. Those of Caffe are floats, which count without their fraction."""
    b = k._builder
    if kind == "float":
        given = masked.load(k, k.at(label, at), condition)
        classes = k._copies(b.sitofp(D, ir.FloatType()), k.vector)
        right = b.and_(f.less(k, f.number(k, -1.0), given), f.less(k, given, classes))
        return b.fptosi(k.where(right, given, k.zeros()), k.numbers), b.not_(right)
    load = masked.load_numbers if kind == "64" else masked.load_short_numbers
    found = load(k, label, at, condition)
    return found, b.icmp_unsigned(">=", found, k.spread_number(D))


def _picked(
    kind: str,
    k: Kernel,
    places: tuple[int, int, int],
    body: Callable[[Value, Value, Value, Value], None],
    smallest: float = SMALLEST,
) -> None:
    """``body(at, condition, offsets, p)`` for each vector of rows: where in X (M, D) the numbers at the labels lie,
    and these numbers, at least ``smallest``. ``places`` in the table: X, label, the first number (M, D, the mark)."""
    X, label = k.array(places[0]), k.array(places[1])
    M, D, mark = k.number(places[2]), k.number(places[2] + 1), k.array(places[2] + 2)

    def rows(at: Value, condition: Value) -> None:
        b = k._builder
        found, outside = _labels(kind, k, label, at, condition, D)
        wrong = b.bitcast(b.and_(outside, condition), ir.IntType(k.lanes))
        with k.when(b.icmp_unsigned("!=", wrong, ir.Constant(ir.IntType(k.lanes), 0))):
            k.store_whole(1, mark)
        right = b.and_(condition, b.not_(outside))
        row = masked.lane_numbers(k, at, 1)
        offsets = b.add(b.mul(row, k.spread_number(D)), found)
        p = masked.gather(k, X, offsets, right)
        body(at, right, offsets, k.maximum(p, f.number(k, smallest)))

    _vectors(k, M, rows)


def _caffe_loss(k: Kernel) -> None:
    """P (M, D), label (M), loss (one number), what the sum is divided by; M, D, mark."""
    loss, divisor = k.array(2), k.array(3)
    total = k.variables(1)
    total[0] = k.zeros()

    def each(at: Value, condition: Value, offsets: Value, p: Value) -> None:
        total[0] = k.fsub(total[0], k.where(condition, f.logarithm(k, p), k.zeros()))

    _picked("float", k, (0, 1, 4), each, CAFFE_SMALLEST)
    mean = f.divide(k, f.across(k, total[0], k.fadd), k.spread(divisor))
    masked.store(k, mean, loss, k.first_lanes(1))


def _caffe_loss_gradient(k: Kernel) -> None:
    """P (M, D), label (M), the loss's gradient, what the sum was divided by, dX (M, D); M, D, mark."""
    P, dX = k.array(0), k.array(4)
    share = f.divide(k, k.spread(k.array(2)), k.spread(k.array(3)))

    def all_of_them(at: Value, condition: Value) -> None:
        masked.store(k, k.fmul(masked.load(k, k.at(P, at), condition), share), k.at(dX, at), condition)

    _vectors(k, k.mul(k.number(5), k.number(6)), all_of_them)

    def each(at: Value, condition: Value, offsets: Value, p: Value) -> None:
        masked.scatter(k, k.fmul(k.fsub(p, f.number(k, 1.0)), share), dX, offsets, condition)

    _picked("float", k, (0, 1, 5), each, CAFFE_SMALLEST)


def _cross_entropy(kind: str, k: Kernel) -> None:
    """X (M, D), label (M), Y (M); M, D, mark."""
    Y = k.array(2)

    def each(at: Value, condition: Value, offsets: Value, p: Value) -> None:
        masked.store(k, k._builder.fneg(f.logarithm(k, p)), k.at(Y, at), condition)

    _picked(kind, k, (0, 1, 3), each)


def _cross_entropy_gradient(kind: str, k: Kernel) -> None:
    """X (M, D), label (M), dY (M), dX (M, D); M, D, mark."""
    dY, dX = k.array(2), k.array(3)

    def clear(at: Value, condition: Value) -> None:
        masked.store(k, k.zeros(), k.at(dX, at), condition)

    _vectors(k, k.mul(k.number(4), k.number(5)), clear)

    def each(at: Value, condition: Value, offsets: Value, p: Value) -> None:
        slope = f.divide(k, masked.load(k, k.at(dY, at), condition), p)
        masked.scatter(k, k._builder.fneg(slope), dX, offsets, condition)

    _picked(kind, k, (0, 1, 4), each)


def _mean(k: Kernel) -> None:
    """X, Y (one number), one number 1 / how many; how many."""
    X, Y, share = (k.array(i) for i in range(3))
    total = k.variables(1)
    total[0] = k.zeros()

    def each(at: Value, condition: Value) -> None:
        total[0] = k.fadd(total[0], masked.load(k, k.at(X, at), condition))

    _vectors(k, k.number(3), each)
    whole = k.fmul(f.across(k, total[0], k.fadd), k.spread(share))
    masked.store(k, whole, Y, k.first_lanes(1))


def _mean_gradient(k: Kernel) -> None:
    """dY (one number), dX, one number, how many there are; how many."""
    dY, dX, count = (k.array(i) for i in range(3))
    share = f.divide(k, k.spread(dY), k.spread(count))
    _vectors(k, k.number(3), lambda at, condition: masked.store(k, share, k.at(dX, at), condition))


def _weighted_step(k: Kernel) -> None:
    """X = w X + rate G: X, G, w and rate (one number each); how many."""
    X, G, w, rate = (k.array(i) for i in range(4))
    w, rate = k.spread(w), k.spread(rate)

    def each(at: Value, condition: Value) -> None:
        x = k.fmul(masked.load(k, k.at(X, at), condition), w)
        x = k.fma(masked.load(k, k.at(G, at), condition), rate, x)
        masked.store(k, x, k.at(X, at), condition)

    _vectors(k, k.number(4), each)


def _steps(count: int, numbers: int, body: Callable[..., list[Value]]) -> Emitter:
    """Work on so many arrays at once, place by place, where they are; then so many numbers, then how many places.

    ``body``: of the vectors there, and of vectors of the numbers, what is written back.
    """

    def emit(k: Kernel) -> None:
        arrays = [k.array(i) for i in range(count)]
        given = [k.spread(k.array(count + i)) for i in range(numbers)]

        def each(at: Value, condition: Value) -> None:
            before = [masked.load(k, k.at(a, at), condition) for a in arrays]
            for a, value in zip(arrays, body(k, *before, *given), strict=True):
                masked.store(k, value, k.at(a, at), condition)

        _vectors(k, k.number(count + numbers), each)

    return emit


def _plain_step(k: Kernel, g: Value, h: Value, x: Value, rate: Value) -> list[Value]:
    """G = rate G; H = G; X = X - G."""
    g = k.fmul(g, rate)
    return [g, g, k.fsub(x, g)]


def _momentum_step(k: Kernel, g: Value, h: Value, x: Value, rate: Value, momentum: Value) -> list[Value]:
    """H = rate G + momentum H; G = H; X = X - G."""
    g = k.fadd(k.fmul(g, rate), k.fmul(h, momentum))
    return [g, g, k.fsub(x, g)]


def _nesterov_step(
    k: Kernel, g: Value, h: Value, x: Value, rate: Value, momentum: Value, ahead: Value
) -> list[Value]:
    """L = momentum H; H = L + rate G; G = ahead H - L, with ahead = 1 + momentum; X = X - G."""
    last = k.fmul(h, momentum)
    h = k.fadd(last, k.fmul(g, rate))
    g = k.fsub(k.fmul(h, ahead), last)
    return [g, h, k.fsub(x, g)]


def _rms_step(k: Kernel, g: Value, s: Value, m: Value, o: Value, *numbers: Value) -> list[Value]:
    """S = S + share (G G - S); M = momentum M + rate G / sqrt(S + epsilon); O = M, which may lie where G does."""
    rate, share, epsilon, momentum = numbers
    s = k.fadd(s, k.fmul(k.fsub(k.fmul(g, g), s), share))
    step = f.divide(k, k.fmul(g, rate), f.root(k, k.fadd(s, epsilon)))
    m = k.fadd(k.fmul(m, momentum), step)
    return [g, s, m, m]


_KERNELS: dict[str, Emitter] = {
    "fc": _fc,
    "product": _product,
    "column_sums": _column_sums,
    "relu": _relu,
    "relu_gradient": _relu_gradient,
    "softmax": _softmax,
    "softmax_gradient": _softmax_gradient,
    "cross_entropy_32": functools.partial(_cross_entropy, "32"),
    "cross_entropy_64": functools.partial(_cross_entropy, "64"),
    "cross_entropy_gradient_32": functools.partial(_cross_entropy_gradient, "32"),
    "cross_entropy_gradient_64": functools.partial(_cross_entropy_gradient, "64"),
    "caffe_loss": _caffe_loss,
    "caffe_loss_gradient": _caffe_loss_gradient,
    "mean": _mean,
    "mean_gradient": _mean_gradient,
    "weighted_step": _weighted_step,
    "plain_step": _steps(3, 1, _plain_step),
    "momentum_step": _steps(3, 2, _momentum_step),
    "nesterov_step": _steps(3, 3, _nesterov_step),
    "rms_step": _steps(4, 4, _rms_step),
}


@functools.cache
def code(name: str) -> Code:
    """The compiled kernel of that name; its function here says what stands in its table."""
    kernel = Kernel(f"small_{name}", lanes())
    _KERNELS[name](kernel)
    return Code(kernel.name, kernel.finish())
