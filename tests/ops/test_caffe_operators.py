"""Operators made for Caffe's layers: gradients against slopes, what every kernel promises, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from freshpot.engine.workspace import Workspace
from freshpot.errors import ArgumentError, FreshpotError, GradientError, ShapeError
from freshpot.native.machine import lanes
from freshpot.net import Net, Op, registry
from freshpot.net.gradient import gradient_of
from freshpot.ops._window import batch_last

Shapes = dict[str, tuple[int, ...]]

WINDOW: dict[str, Any] = {"kernels": [2, 3], "strides": [2, 1], "pads": [1, 0, 1, 0], "dilations": [1, 2]}
IMAGES: Shapes = {"X": (2, 3, 7, 8)}
LSTM: Shapes = {"X": (4, 2, 3), "cont": (4, 2), "h0": (1, 2, 5), "c0": (1, 2, 5)}
LSTM_WEIGHTS: Shapes = {"W_x": (20, 3), "b": (20,), "W_h": (20, 5)}
RNN: Shapes = {"X": (4, 2, 3), "cont": (4, 2), "h0": (1, 2, 5), "W_x": (5, 3), "b_h": (5,)}
RNN_WEIGHTS: Shapes = {"W_h": (5, 5), "W_o": (5, 5), "b_o": (5,)}
BATCH_NORM: Shapes = {"means": (3,), "variances": (3,), "weight": (1,)}

#: type, shapes of inputs, number of outputs, arguments; inputs in FIXED are not differentiated
CASES: list[tuple[str, Shapes, int, dict[str, Any]]] = [
    ("Deconvolution", {"X": (2, 4, 3, 5), "W": (4, 3, 2, 3), "b": (6,)}, 1, {**WINDOW, "group": 2}),
    ("Deconvolution", {"X": (2, 4, 3, 5), "W": (4, 3, 2, 3)}, 1, WINDOW),
    ("CaffeIm2col", {"X": (2, 3, 5, 8)}, 1, WINDOW),
    (
        "CaffeIm2col",
        {"X": (2, 3, 7)},
        1,
        {"kernels": [3], "strides": [2], "pads": [1, 1], "dilations": [2]},
    ),
    ("Crop", {"X": (2, 4, 5, 6)}, 1, {"offsets": [0, 1, 2, 0], "sizes": [2, 3, 3, 6]}),
    ("InnerProduct", {"X": (2, 3, 4), "W": (12, 5), "b": (5,)}, 1, {"transpose": 1}),
    ("InnerProduct", {"X": (2, 3, 4), "W": (5, 4)}, 1, {"axis": 2}),
    ("CaffeMaxPool", IMAGES, 2, {"kernels": [3, 2], "strides": [2, 2]}),
    ("CaffeMaxPool", IMAGES, 3, {"kernels": [4, 4], "strides": [3, 3], "pads": [3, 3]}),
    ("CaffeMaxPool", IMAGES, 2, {"kernels": [1, 1], "strides": [3, 4]}),
    ("CaffeMaxPool", IMAGES, 2, {"global_pooling": 1}),
    ("CaffeAveragePool", IMAGES, 1, {"kernels": [3, 2], "strides": [2, 2], "pads": [1, 1]}),
    ("CaffeAveragePool", IMAGES, 1, {"kernels": [4, 4], "strides": [3, 3], "pads": [3, 3], "round_up": 0}),
    ("CaffeAveragePool", IMAGES, 1, {"kernels": [1, 1], "strides": [3, 4]}),
    ("CaffeAveragePool", IMAGES, 1, {"global_pooling": 1}),
    ("CaffeScale", {"X": (2, 3, 4), "scale": (3,), "bias": (3,)}, 1, {"axis": 1}),
    ("CaffeScale", {"X": (2, 3, 4), "scale": (2, 3)}, 1, {"axis": 0}),
    ("CaffeScale", {"X": (2, 3, 4), "scale": (), "bias": ()}, 1, {"axis": 0}),
    ("CaffeScale", {"X": (2, 3), "scale": (2, 3)}, 1, {"axis": 0}),
    ("Bias", {"X": (2, 3, 4), "bias": (3, 4)}, 1, {"axis": 1}),
    ("Bias", {"X": (2, 3, 4), "bias": ()}, 1, {"axis": 0}),
    ("BatchNorm", {"X": (4, 3, 2), **BATCH_NORM}, 6, {}),
    ("BatchNorm", {"X": (9, 3, 4, 5), **BATCH_NORM}, 6, {"moving_average_fraction": 0.5}),
    ("BatchNorm", {"X": (4, 3), **BATCH_NORM}, 6, {"use_global_stats": 1}),
    ("MVN", {"X": (2, 3, 4, 5)}, 2, {}),
    ("MVN", {"X": (2, 3, 4)}, 2, {"across_channels": 1}),
    ("MVN", {"X": (2, 3, 4)}, 2, {"normalize_variance": 0}),
    ("LSTM", {**LSTM, **LSTM_WEIGHTS}, 6, {}),
    ("LSTM", {**LSTM, **LSTM_WEIGHTS, "x_static": (2, 2, 3), "W_static": (20, 6)}, 6, {"static": 1}),
    ("RNN", {**RNN, **RNN_WEIGHTS}, 3, {}),
    ("RNN", {**RNN, **RNN_WEIGHTS, "x_static": (2, 6), "W_static": (5, 6)}, 3, {"static": 1}),
    ("CaffeLSTMUnit", {"C_prev": (1, 3, 2), "X": (1, 3, 8), "cont": (1, 3)}, 2, {}),
]
FIXED = {"cont", "h0", "c0", *BATCH_NORM}
#: outputs that take a gradient; the others are states and notes
SEEDED = {"CaffeLSTMUnit": 2}


def _op(name: str, shapes: Shapes, outputs: int, args: dict[str, Any]) -> Op:
    own = [f"Y{i}" for i in range(outputs)]
    for i, j in registry.get(name).must_inplace:
        own[j] = list(shapes)[i]
    return Op(name, list(shapes), own, dict(args))


def _values(shapes: Shapes) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    made = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    if "cont" in made:
        made["cont"] = (made["cont"] < 0.3).float()
    if "variances" in made:
        made["variances"] = made["variances"].abs() + 0.5
        made["weight"] = torch.tensor([1.5])
    return made


def _case_id(case: Any) -> str | None:
    return case if isinstance(case, str) else None


def _outputs(made: Any) -> tuple[Any, ...]:
    return tuple(made) if isinstance(made, (tuple, list)) else (made,)


@pytest.mark.parametrize(("name", "shapes", "outputs", "args"), CASES, ids=_case_id)
def test_gradient_equals_difference_quotient(
    name: str, shapes: Shapes, outputs: int, args: dict[str, Any]
) -> None:
    op, values = _op(name, shapes, outputs, args), _values(shapes)
    seeded = range(SEEDED.get(name, 1))
    ws = Workspace()
    for blob, value in values.items():
        ws.feed(blob, value.numpy())
    ws.run_once(Net("forward", [op]))
    generator = torch.Generator().manual_seed(6)
    seeds = [torch.randn(ws.get(f"Y{i}").shape, generator=generator) for i in seeded]
    for i in seeded:
        ws.feed(f"Y{i}_grad", seeds[i].numpy())
    result = gradient_of(op, [f"Y{i}_grad" if i in seeded else None for i in range(outputs)])
    ws.run_once(Net("backward", result.ops))
    for blob in shapes.keys() - FIXED:
        step = 1e-3 * torch.randn(shapes[blob], generator=generator)
        up, down = (_moved(op, values, blob, sign * step) for sign in (1, -1))
        wanted = sum(((up[i] - down[i]) / 2 * seeds[i]).sum() for i in seeded)
        found = (ws.get(f"{blob}_grad").double() * step).sum()
        torch.testing.assert_close(found, wanted, rtol=2e-3, atol=5e-7, msg=lambda m, b=blob: f"d{b}: {m}")


def _moved(op: Op, values: dict[str, Tensor], blob: str, step: Tensor) -> tuple[Any, ...]:
    """What the operator makes, in double precision, with one input moved."""
    inputs = {n: v.double() + (step.double() if n == blob else 0) for n, v in values.items()}
    return _outputs(registry.get(op.type)(op).kernel(*inputs.values()))


@pytest.mark.parametrize(("name", "shapes", "outputs", "args"), CASES, ids=_case_id)
def test_inputs_stay_outputs_are_fresh_and_inferred(
    name: str, shapes: Shapes, outputs: int, args: dict[str, Any]
) -> None:
    op, values = _op(name, shapes, outputs, args), _values(shapes)
    given = [v.clone() for v in values.values()]
    made = _outputs(registry.get(name)(op).kernel(*given))[:outputs]
    assert all(torch.equal(a, b) for a, b in zip(given, values.values(), strict=True))
    memory = [t.untyped_storage().data_ptr() for t in (*given, *made)]
    assert len(set(memory)) == len(memory)
    meta = registry.get(name)(op, torch.device("meta")).infer(*(v.to("meta") for v in given))
    assert meta is not None
    assert [(tuple(m.shape), m.dtype) for m in meta][:outputs] == [(tuple(t.shape), t.dtype) for t in made]


def kernel(name: str, inputs: int, outputs: int = 1, **args: Any) -> Callable[..., Any]:
    """A bound operator's kernel."""
    op = Op(name, [f"I{i}" for i in range(inputs)], [f"O{i}" for i in range(outputs)], args)
    return registry.get(name)(op).kernel


def test_lstm_is_the_textbook_one() -> None:
    """Against torch's, whose gates are in the order i, f, g, o."""
    torch.manual_seed(3)
    other = torch.nn.LSTM(3, 5)
    order = [0, 1, 3, 2]
    W_x, W_h, b, zero = (torch.cat([p.chunk(4)[k] for k in order]).detach() for p in other.parameters())
    X, h0, c0 = torch.randn(6, 2, 3), torch.randn(1, 2, 5), torch.randn(1, 2, 5)
    made = kernel("LSTM", 7, 6)(X, torch.ones(6, 2), h0, c0, W_x, b + zero, W_h)
    Y, (h, c) = other(X, (h0, c0))
    for ours, theirs in zip(made, (Y, h, c), strict=False):
        torch.testing.assert_close(ours, theirs.detach())


def test_a_sequence_that_begins_anew_forgets() -> None:
    weights = [torch.randn(s) for s in ((20, 3), (20,), (20, 5))]
    X, cont = torch.randn(5, 2, 3), torch.ones(5, 2)
    cont[2] = 0
    run = kernel("LSTM", 7, 6)
    whole = run(X, cont, torch.randn(1, 2, 5), torch.randn(1, 2, 5), *weights)[0]
    zero = torch.zeros(1, 2, 5)
    torch.testing.assert_close(whole[2:], run(X[2:], torch.ones(3, 2), zero, zero, *weights)[0])


def test_max_pool_gives_ties_to_the_first() -> None:
    X = torch.ones(1, 1, 2, 4)
    Y, index, mask = kernel("CaffeMaxPool", 1, 3, kernels=[2, 2], strides=[2, 2])(X)
    assert mask.flatten().tolist() == [0.0, 2.0]
    back = kernel("CaffeMaxPoolGradient", 3, kernels=[2, 2], strides=[2, 2])
    assert back(X, index, Y).tolist() == [[[[1, 0, 1, 0], [0, 0, 0, 0]]]]


@pytest.mark.parametrize(
    ("kernels", "strides"),
    [([2, 2], [2, 2]), ([3, 3], [2, 2]), ([2, 3], [3, 3]), ([2, 2], [1, 1])],
    ids=["side by side", "overlapping", "apart", "at every pixel"],
)
def test_a_narrow_index_names_the_same_pixels(kernels: list[int], strides: list[int]) -> None:
    """Also where the image lies otherwise in the backward pass, as when a program has looked at it meanwhile."""
    args = {"kernels": kernels, "strides": strides, "round_up": 0}
    torch.manual_seed(3)
    X = batch_last(torch.randn(20, 3, 9, 11).mul(2).round())
    with torch.no_grad():
        Y, index = kernel("CaffeMaxPool", 1, 2, **args)(X)
        Y1, narrow = kernel("CaffeMaxPool", 1, 2, narrow=1, **args)(X)
        assert narrow.dtype is (torch.uint8 if lanes() else torch.int64)
        assert Y.equal(Y1)
        dY = torch.randn(Y.shape)
        wanted = kernel("CaffeMaxPoolGradient", 3, **args)(X, index, dY)
        for image in (X, X.contiguous()):
            found = kernel("CaffeMaxPoolGradient", 3, narrow=1, **args)(image, narrow, dY)
            torch.testing.assert_close(found, wanted)


def test_mask_counts_in_the_image_not_in_its_padding() -> None:
    X = torch.arange(30.0).view(1, 1, 5, 6)
    *_, mask = kernel("CaffeMaxPool", 1, 3, kernels=[4, 4], strides=[3, 3], pads=[3, 3])(X)
    assert mask.flatten().tolist() == X.flatten()[mask.long().flatten()].tolist()


def test_windows_without_pixels_count_nothing() -> None:
    """A kernel of 1 with a stride of 3 over 8 pixels: the last window starts behind the image."""
    args = {"kernels": [1, 1], "strides": [1, 3]}
    X = torch.ones(1, 1, 1, 8)
    assert kernel("CaffeAveragePool", 1, **args)(X).flatten().tolist() == [1, 1, 1, 0]
    Y, index = kernel("CaffeMaxPool", 1, 2, **args)(X)
    dX = kernel("CaffeMaxPoolGradient", 3, **args)(X, index, torch.ones_like(Y))
    assert dX.flatten().tolist() == [1, 0, 0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize(
    "args", [{"kernels": [2, 2], "strides": [2, 2]}, {"kernels": [3, 2], "strides": [2, 3]}]
)
def test_stochastic_pool_draws_pixels_and_sends_gradients_back_to_them(args: dict[str, Any]) -> None:
    torch.manual_seed(11)
    X = torch.rand(2, 3, 7, 7).add_(0.1)
    Y, index = kernel("StochasticPool", 1, 2, **args)(X)
    dX = kernel("StochasticPoolGradient", 3, **args)(X, index, torch.ones_like(Y))
    assert dX.sum() == Y.numel()
    assert torch.allclose((dX * X).sum(), Y.sum())


def test_stochastic_pool_draws_in_proportion() -> None:
    torch.manual_seed(12)
    X = torch.tensor([1.0, 3.0]).repeat(20000).view(1, 1, 1, -1)
    args = {"kernels": [1, 2], "strides": [1, 2]}
    drawn = kernel("StochasticPool", 1, 2, **args)(X)[0]
    assert abs(float((drawn == 3).float().mean()) - 0.75) < 0.02
    expected = kernel("StochasticPool", 1, 1, is_test=1, **args)(X)[0]
    assert torch.equal(expected, torch.full_like(expected, 2.5))


def test_no_gradient_of_stochastic_pool_under_test() -> None:
    op = Op("StochasticPool", ["X"], ["Y"], {"kernels": [2, 2], "is_test": 1})
    with pytest.raises(GradientError, match="in training only"):
        gradient_of(op, ["Y_grad"])


def test_batch_norm_keeps_decaying_sums() -> None:
    X = torch.randn(6, 3, 4) * 2 + 1
    run = kernel_of_batch_norm(moving_average_fraction=0.5)
    _, means, variances, weight, *_ = run(X, torch.ones(3), torch.ones(3), torch.ones(1))
    rows = X.transpose(0, 1).flatten(1)
    torch.testing.assert_close(means, 0.5 + rows.mean(1))
    torch.testing.assert_close(variances, 0.5 + rows.var(1))
    assert weight.tolist() == [1.5]
    Y = kernel_of_batch_norm(use_global_stats=1)(X, means, variances, weight)[0]
    mean, variance = (t.view(1, 3, 1) / 1.5 for t in (means, variances))
    torch.testing.assert_close(Y, (X - mean) / (variance + 1e-5).sqrt())


def kernel_of_batch_norm(**args: Any) -> Callable[..., Any]:
    """BatchNorm with its sums in place."""
    sums = ["means", "variances", "weight"]
    return registry.get("BatchNorm")(Op("BatchNorm", ["X", *sums], ["Y", *sums, "m", "s"], args)).kernel


def test_global_statistics_before_any_batch() -> None:
    """A weight of 0 stands for no statistics: mean and variance are 0, as in the original."""
    zero = torch.zeros(3)
    Y = kernel_of_batch_norm(use_global_stats=1, eps=0.25)(torch.ones(2, 3), zero, zero, torch.zeros(1))[0]
    assert torch.equal(Y, torch.full((2, 3), 2.0))


REFUSED: list[tuple[str, Shapes, dict[str, Any], type[Exception], str]] = [
    ("Deconvolution", {"X": (1, 4, 3), "W": (3, 2, 2)}, {"n": 1}, ShapeError, "the 4 channels of X"),
    (
        "Deconvolution",
        {"X": (1, 4, 1), "W": (4, 2, 2)},
        {"n": 1, "pads": [1, 1]},
        ShapeError,
        "leaves nothing",
    ),
    ("Deconvolution", {"X": (1, 4, 1), "W": (4, 2, 2)}, {"n": 1, "pads": [1, 0]}, ArgumentError, "both ends"),
    ("CaffeIm2col", {"X": (1, 2, 1)}, {"n": 1}, ShapeError, r"windows of \[2\] do not fit X \(1, 2, 1\)"),
    ("Crop", {"X": (2, 3)}, {"offsets": [0, 2], "sizes": [2, 2]}, ShapeError, "reaches beyond X"),
    ("InnerProduct", {"X": (2, 3), "W": (4, 5)}, {}, ShapeError, "3 features from axis 1 on, .* wants 5"),
    ("InnerProduct", {"X": (2, 3), "W": (4, 3), "b": (3,)}, {}, ShapeError, r"bias b must have shape \(4,\)"),
    ("Embed", {"X": (2,), "W": (4, 3)}, {"fill": 4.0}, ArgumentError, "from 0 to 3 .* found 4 to 4"),
    ("Embed", {"X": (2,), "W": (4, 3)}, {"fill": -1.0}, ArgumentError, "found -1 to -1"),
    ("CaffeMaxPool", {"X": (1, 1, 2, 2)}, {"kernels": [5, 5]}, ShapeError, "does not fit an image of"),
    ("CaffeMaxPool", {"X": (1, 1, 2, 2)}, {"kernels": [0, 2]}, ArgumentError, "at least 1"),
    (
        "CaffeAveragePool",
        {"X": (1, 1, 4, 4)},
        {"kernels": [2, 2], "pads": [2, 0]},
        ArgumentError,
        "less than",
    ),
    ("CaffeScale", {"X": (2, 3), "scale": (2,)}, {"axis": 1}, ShapeError, r"scale \(2,\) .* \(3,\)"),
    ("Bias", {"X": (2, 3), "bias": (2,)}, {"axis": 1}, ShapeError, r"bias \(2,\) .* \(3,\)"),
    ("MVN", {"X": (1, 1, 1, 1, 1)}, {}, ShapeError, "1 to 4 dimensions"),
    ("LSTM", {**LSTM, **LSTM_WEIGHTS, "cont": (3, 2)}, {}, ShapeError, "cont"),
    ("LSTM", {**LSTM, **LSTM_WEIGHTS, "h0": (1, 2, 4)}, {}, ShapeError, r"states must be \(1, 2, 5\)"),
    ("RNN", {**RNN, **RNN_WEIGHTS, "W_x": (5, 4)}, {}, ShapeError, "weights must be"),
    (
        "CaffeLSTMUnit",
        {"C": (1, 3, 2), "X": (1, 3, 6), "cont": (1, 3)},
        {},
        ShapeError,
        "4 times the 2 units",
    ),
]


@pytest.mark.parametrize(("name", "shapes", "args", "error", "words"), REFUSED)
def test_refusals(
    name: str, shapes: Shapes, args: dict[str, Any], error: type[Exception], words: str
) -> None:
    args = dict(args)
    fill = args.pop("fill", 1.0)
    if n := args.pop("n", None):
        args = {"kernels": [2] * n, "strides": [1] * n, "pads": [0] * 2 * n, "dilations": [1] * n, **args}
    ws = Workspace()
    for blob, shape in shapes.items():
        ws.feed(blob, np.full(shape, fill, np.float32))
    op = Op(name, list(shapes), [f"Y{i}" for i in range(len(registry.get(name).outputs))], args)
    with pytest.raises(error, match=words):
        ws.run_once(Net("refused", [op]))


def test_batch_norm_refuses_other_channels() -> None:
    ws = Workspace()
    for blob, shape in {"X": (2, 4), **BATCH_NORM}.items():
        ws.feed(blob, np.ones(shape, np.float32))
    op = _op("BatchNorm", {"X": (2, 4), **BATCH_NORM}, 6, {})
    with pytest.raises(ShapeError, match="3 channels"):
        ws.run_once(Net("refused", [op]))


@pytest.mark.parametrize("label", [4.0, -1.0, float("nan"), float("inf"), -1e30])
def test_a_label_that_is_no_class_is_refused(label: float) -> None:
    ws = Workspace()
    ws.feed("x", torch.randn(3, 4))
    ws.feed("label", torch.tensor([0.0, label, 3.0]))
    with pytest.raises(FreshpotError, match=r"out of bounds.*A label or number -?\d+ is outside 0 … 3\."):
        ws.run_once(Net("n", [Op("CaffeSoftmaxWithLoss", ["x", "label"], ["loss", "P"], {"axis": 1})]))


def test_a_label_counts_without_its_fraction() -> None:
    """As in the original, which makes an int of it."""
    run = kernel("CaffeSoftmaxWithLoss", 2, 2, axis=1)
    X = torch.randn(3, 4)
    with torch.no_grad():
        found, wanted = (run(X, torch.tensor(labels)) for labels in ([-0.5, 3.9, 1.2], [0.0, 3.0, 1.0]))
    assert found[0] == wanted[0] > 0
