"""Layers of known forks of Caffe, against plain numpy written from their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fork_layers import check_refusal, numeric, run_layer

import caffe
from freshpot.errors import ArgumentError, FreshpotError, ShapeError

close = np.testing.assert_allclose


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# ---- losses --------------------------------------------------------------------------------------
def smooth_l1(a, b, inside, outside, sigma) -> float:
    d = inside * (a - b)
    square = sigma**2
    return float(
        (outside * np.where(np.abs(d) < 1 / square, square * d**2 / 2, np.abs(d) - 0.5 / square)).sum()
    )


@pytest.mark.parametrize(
    ("extra", "bottoms", "sigma", "divisor"),
    [
        ("", 2, 1.0, 4),
        ("smooth_l1_loss_param { sigma: 3 }", 4, 3.0, 4),
        ("", 3, 1.0, 4),
        ("loss_param { normalization: NONE }", 3, 1.0, 1),
        ("loss_param { normalization: VALID }", 2, 1.0, 8),
        ("loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 }", 3, 1.0, 128),
    ],
)
def test_smooth_l1(tmp_path: Path, extra: str, bottoms: int, sigma: float, divisor: float) -> None:
    shape = (4, 3, 2, 1)
    inputs = {name: 2 * normal(*shape, seed=i) for i, name in enumerate("abio"[:bottoms])}
    ran = run_layer(tmp_path, f'type: "SmoothL1Loss" {extra}', inputs, seeds={"y": np.float32(0.7)})
    weights = [inputs.get(name, np.ones(shape)) for name in "io"]
    a, b = inputs["a"].astype(np.float64), inputs["b"].astype(np.float64)
    close(ran.top(), smooth_l1(a, b, *weights, sigma) / divisor, rtol=1e-5)
    want = 0.7 / divisor * numeric(lambda v: smooth_l1(v, b, *weights, sigma), a)
    close(ran.diffs["a"], want, rtol=1e-4, atol=1e-6)
    close(ran.diffs["b"], -want, rtol=1e-4, atol=1e-6)


def test_rows_of_smooth_l1_for_hard_examples(tmp_path: Path) -> None:
    a, b, w = normal(5, 8), normal(5, 8, seed=1), np.abs(normal(5, 8, seed=2))
    text = 'type: "SmoothL1LossOHEM" loss_weight: 0 loss_weight: 0'
    ran = run_layer(tmp_path, text, {"a": a, "b": b, "w": w}, tops=("y", "rows"))
    one = np.ones(8)
    close(ran.top("rows")[:, 0], [smooth_l1(a[i], b[i], w[i], one, 1.0) for i in range(5)], rtol=1e-5)


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "SoftmaxWithLossOHEM"])
def test_softmax_loss_with_class_weights_and_terms(tmp_path: Path, kind: str) -> None:
    x, label = normal(2, 3, 2, 2), np.array([0, 2, 1, 5, 1, 1, 0, 2], np.float32).reshape(2, 1, 2, 2)
    weights = [0.5, 2.0, 3.0]
    text = (
        f'type: "{kind}" loss_weight: [2, 0, 0] loss_param {{ ignore_label: 5 weight_by_label_freqs: true '
        f"class_weighting: {weights} }} propagate_down: [true, false]"
    )
    ran = run_layer(tmp_path, text, {"x": x, "t": label}, tops=("y", "p", "terms"), seeds={})
    share = np.exp(x.astype(np.float64))
    share /= share.sum(1, keepdims=True)
    flat, numbers = share.transpose(0, 2, 3, 1).reshape(-1, 3), label.ravel().astype(int)
    terms, want = np.zeros(8), np.zeros((8, 3))
    for i, k in enumerate(numbers):
        if k != 5:
            terms[i] = -weights[k] * np.log(flat[i, k])
            want[i] = weights[k] * (flat[i] - np.eye(3)[k]) * 2 / 7
    close(ran.top(), terms.sum() / 7, rtol=1e-5)
    close(ran.top("p"), share, rtol=1e-5)
    close(ran.top("terms").ravel(), terms, rtol=1e-5, atol=1e-7)
    close(ran.diffs["x"], want.reshape(2, 2, 2, 3).transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-7)


def test_center_loss(tmp_path: Path) -> None:
    x, label, centers = normal(6, 4), np.array([0, 2, 2, 0, 0, 1], np.float32), normal(3, 4, seed=1)
    text = 'type: "CenterLoss" loss_weight: 0.5 center_loss_param { num_output: 3 center_filler { type: "xavier" } }'
    ran = run_layer(tmp_path, text, {"x": x, "t": label}, params=[centers], seeds={})
    apart = x - centers[label.astype(int)]
    close(ran.top(), (apart**2).sum() / 12, rtol=1e-5)
    close(ran.diffs["x"], 0.5 * apart / 6, rtol=1e-5)
    want = np.stack([-apart[label == k].sum(0) / (1 + (label == k).sum()) for k in range(3)])
    close(ran.param_diff(0), want, rtol=1e-5)
    ran.net.blobs["t"].data[0] = 3
    with pytest.raises(ShapeError, match=r"labels must be from 0 to 2, got \[0, 1, 2, 3\]"):
        ran.net.forward()


# ---- channels --------------------------------------------------------------------------------------
def test_axpy(tmp_path: Path) -> None:
    inputs = {"s": normal(2, 3, 1, 1), "x": normal(2, 3, 4, 5, seed=1), "z": normal(2, 3, 4, 5, seed=2)}
    seed = normal(2, 3, 4, 5, seed=3)
    ran = run_layer(tmp_path, 'type: "Axpy"', inputs, seeds={"y": seed})
    close(ran.top(), inputs["s"] * inputs["x"] + inputs["z"], rtol=1e-6, atol=1e-6)
    close(ran.diffs["s"], (seed * inputs["x"]).sum((2, 3), keepdims=True), rtol=1e-4, atol=1e-6)
    close(ran.diffs["x"], seed * inputs["s"], rtol=1e-6)
    close(ran.diffs["z"], seed)


def test_shuffle_channel(tmp_path: Path) -> None:
    x, seed = normal(2, 6, 3, 2), normal(2, 6, 3, 2, seed=1)
    ran = run_layer(
        tmp_path, 'type: "ShuffleChannel" shuffle_channel_param { group: 3 }', {"x": x}, seeds={"y": seed}
    )
    order = [0, 2, 4, 1, 3, 5]
    close(ran.top(), x[:, order])
    close(ran.diffs["x"][:, order], seed)


@pytest.mark.parametrize("kind", ["DepthwiseConvolution", "ConvolutionDepthwise"])
def test_depthwise_convolution(tmp_path: Path, kind: str) -> None:
    x, W, b = normal(2, 4, 6, 5), normal(4, 1, 3, 3, seed=1), normal(4, seed=2)
    numbers = "num_output: 4 group: 4" if kind.startswith("Depth") else ""
    text = f'type: "{kind}" convolution_param {{ {numbers} kernel_size: 3 stride: 2 pad: 1 }}'
    ran = run_layer(tmp_path, text, {"x": x}, params=[W, b], seeds={"y": np.ones((2, 4, 3, 3))})
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    want = np.zeros((2, 4, 3, 3))
    grad = np.zeros_like(W)
    for i in range(3):
        for j in range(3):
            window = padded[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            want[:, :, i, j] = (window * W[:, 0]).sum((2, 3)) + b
            grad[:, 0] += window.sum(0)
    close(ran.top(), want, rtol=1e-4, atol=1e-5)
    close(ran.param_diff(0), grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_dropout_that_scales_in_tests(tmp_path: Path, phase: int) -> None:
    x = np.ones((30, 40), np.float32)
    text = 'type: "Dropout" dropout_param { dropout_ratio: 0.25 scale_train: false }'
    ran = run_layer(tmp_path, text, {"x": x}, seeds={"y": x}, phase=phase)
    if phase == caffe.TEST:
        close(ran.top(), 0.75 * x)
    else:
        assert 0.7 < ran.top().mean() < 0.8
        assert set(np.unique(ran.top())) == {0, 1}
    close(ran.diffs["x"], ran.top())


def test_dropout_that_draws_in_tests(tmp_path: Path) -> None:
    text = 'type: "Dropout" dropout_param { sample_weights_test: true }'
    ran = run_layer(tmp_path, text, {"x": np.ones((30, 40))}, phase=caffe.TEST)
    assert set(np.unique(ran.top())) == {0, 2}


# ---- segmentation ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("param", "size"),
    [
        ("scale: 2", (4, 6)),
        ("scale_h: 2 scale_w: 2 pad_out_h: true", (3, 6)),
        ("scale: 2 upsample_h: 5 upsample_w: 7", (5, 7)),
    ],
)
def test_upsample_puts_maxima_back(tmp_path: Path, param: str, size: tuple[int, int]) -> None:
    x = normal(2, 3, 2, 3)
    generator = np.random.default_rng(4)
    mask = np.stack([generator.permutation(size[0] * size[1])[:6] for _ in range(6)]).reshape(2, 3, 2, 3)
    seed = normal(2, 3, *size, seed=2)
    ran = run_layer(
        tmp_path, f'type: "Upsample" upsample_param {{ {param} }}',
        {"x": x, "m": mask.astype(np.float32)}, seeds={"y": seed},
    )  # fmt: skip
    want, diff = np.zeros((2, 3, size[0] * size[1])), np.zeros((2, 3, 6))
    for n in range(2):
        for c in range(3):
            want[n, c, mask[n, c].ravel()] = x[n, c].ravel()
            diff[n, c] = seed[n, c].ravel()[mask[n, c].ravel()]
    close(ran.top(), want.reshape(2, 3, *size))
    close(ran.diffs["x"], diff.reshape(x.shape))


def test_upsample_without_a_mask_repeats(tmp_path: Path) -> None:
    x = normal(1, 2, 2, 3)
    ran = run_layer(
        tmp_path, 'type: "Upsample" upsample_param { scale: 2 }', {"x": x}, seeds={"y": np.ones((1, 2, 4, 6))}
    )
    close(ran.top(), x.repeat(2, 2).repeat(2, 3))
    close(ran.diffs["x"], np.full(x.shape, 4))


def test_a_mask_of_another_image_is_refused(tmp_path: Path) -> None:
    inputs = {"x": normal(1, 1, 2, 2), "m": np.full((1, 1, 2, 2), 16, np.float32)}
    with pytest.raises(ShapeError, match="the mask names place 16, and an image of 4 x 4 has 16"):
        run_layer(tmp_path, 'type: "Upsample" upsample_param { scale: 2 }', inputs)


def bilinear(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    made = np.zeros((*x.shape[:2], *size))
    for i in range(size[0]):
        for j in range(size[1]):
            at = [
                k * (n - 1) / (m - 1) if m > 1 else 0.0
                for k, n, m in zip((i, j), x.shape[2:], size, strict=True)
            ]
            low = [int(a) for a in at]
            high = [min(a + 1, n - 1) for a, n in zip(low, x.shape[2:], strict=True)]
            (p, q), (h, w) = [a - b for a, b in zip(at, low, strict=True)], (low, high)
            made[..., i, j] = (1 - p) * ((1 - q) * x[..., h[0], h[1]] + q * x[..., h[0], w[1]]) + p * (
                (1 - q) * x[..., w[0], h[1]] + q * x[..., w[0], w[1]]
            )
    return made


@pytest.mark.parametrize(
    ("param", "size", "crop"),
    [
        ("height: 7 width: 9", (7, 9), 0),
        ("zoom_factor: 3", (10, 13), 0),
        ("shrink_factor: 2", (2, 3), 0),
        ("shrink_factor: 3 zoom_factor: 2", (3, 3), 0),
        ("height: 6 width: 5 pad_beg: -1 pad_end: -1", (6, 5), 1),
        ("height: 1 width: 1", (1, 1), 0),
    ],
)
def test_interp(tmp_path: Path, param: str, size: tuple[int, int], crop: int) -> None:
    x, seed = normal(2, 3, 4, 5), normal(2, 3, *size, seed=1)
    ran = run_layer(tmp_path, f'type: "Interp" interp_param {{ {param} }}', {"x": x}, seeds={"y": seed})

    def of(value: np.ndarray) -> np.ndarray:
        return bilinear(value[..., crop : 4 - crop, crop : 5 - crop], size)

    close(ran.top(), of(x), rtol=1e-4, atol=1e-5)
    close(ran.diffs["x"], numeric(lambda v: (of(v) * seed).sum(), x, 1e-3), rtol=1e-3, atol=1e-4)


def batch_normal(x, mean, variance, slope, bias, eps) -> np.ndarray:
    shaped = [v.reshape(1, -1, 1, 1) for v in (mean, variance, slope, bias)]
    return (x - shaped[0]) / np.sqrt(shaped[1] + eps) * shaped[2] + shaped[3]


@pytest.mark.parametrize("size", [2, 12])  # small and large images take other kernels
def test_bn_of_segnet_learning(tmp_path: Path, size: int) -> None:
    x, slope, bias = normal(3, 2, size, size), normal(1, 2, 1, 1, seed=1), normal(1, 2, 1, 1, seed=2)
    seed = normal(*x.shape, seed=3)
    text = (
        'type: "BN" bn_param { scale_filler { type: "constant" value: 1 } shift_filler { type: "xavier" } }'
    )
    tops = ("y", "mean", "variance")
    ran = run_layer(
        tmp_path, text, {"x": x}, tops=tops, params=[slope, bias], seeds={"y": seed, "mean": 0, "variance": 0}
    )
    wide = x.astype(np.float64)
    mean, variance = wide.mean((0, 2, 3)), wide.var((0, 2, 3))
    close(ran.top(), batch_normal(wide, mean, variance, slope, bias, 1e-9), rtol=1e-4, atol=1e-5)
    close(ran.top("mean").ravel(), mean, rtol=1e-4, atol=1e-6)
    close(ran.top("variance").ravel(), variance, rtol=1e-4)

    def of(v: np.ndarray) -> float:
        return (batch_normal(v, v.mean((0, 2, 3)), v.var((0, 2, 3)), slope, bias, 1e-9) * seed).sum()

    if size == 2:
        close(ran.diffs["x"], numeric(of, wide), rtol=1e-3, atol=1e-4)
    close(ran.param_diff(1).ravel(), seed.sum((0, 2, 3)), rtol=1e-4, atol=1e-5)
    normalised = batch_normal(wide, mean, variance, np.ones(2), np.zeros(2), 1e-9)
    close(ran.param_diff(0).ravel(), (seed * normalised).sum((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_bn_of_segnet_merged(tmp_path: Path) -> None:
    x, slope, bias = normal(3, 2, 2, 2), normal(1, 2, 1, 1, seed=1), normal(1, 2, 1, 1, seed=2)
    seed = normal(*x.shape, seed=3)
    ran = run_layer(
        tmp_path, 'type: "BN" bn_param { bn_mode: INFERENCE }', {"x": x}, params=[slope, bias],
        seeds={"y": seed},
    )  # fmt: skip
    close(ran.top(), x * slope + bias, rtol=1e-5, atol=1e-6)
    close(ran.diffs["x"], seed * slope, rtol=1e-5)
    close(ran.param_diff(0), (seed * x).sum((0, 2, 3), keepdims=True), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("frozen", "phase"), [(0, caffe.TRAIN), (1, caffe.TRAIN), (0, caffe.TEST)])
@pytest.mark.parametrize("size", [2, 12])
def test_bn_of_pspnet(tmp_path: Path, frozen: int, phase: int, size: int) -> None:
    x, seed = normal(3, 2, size, size), normal(3, 2, size, size, seed=3)
    slope, bias, mean = (normal(1, 2, 1, 1, seed=i) for i in (1, 2, 4))
    variance = np.abs(normal(1, 2, 1, 1, seed=5)) + 0.5
    text = f'type: "BN" bn_param {{ momentum: 0.8 eps: 0.001 frozen: {str(bool(frozen)).lower()} }}'
    ran = run_layer(
        tmp_path, text, {"x": x}, params=[slope, bias, mean, variance], seeds={"y": seed}, phase=phase
    )
    averages = [ran.net.params["l"][k].data.ravel() for k in (2, 3)]
    wide = x.astype(np.float64)
    if frozen or phase == caffe.TEST:
        close(ran.top(), batch_normal(x, mean, variance, slope, bias, 1e-3), rtol=1e-4, atol=1e-5)
        close(averages, [mean.ravel(), variance.ravel()])
        close(ran.diffs["x"], seed * slope / np.sqrt(variance + 1e-3), rtol=1e-4, atol=1e-6)
        return
    batch = wide.mean((0, 2, 3)), wide.var((0, 2, 3))
    close(ran.top(), batch_normal(x, *batch, slope, bias, 1e-3), rtol=1e-4, atol=1e-5)
    close(
        averages, [0.8 * a.ravel() + 0.2 * b for a, b in zip((mean, variance), batch, strict=True)], rtol=1e-5
    )

    def of(v: np.ndarray) -> float:
        return (batch_normal(v, v.mean((0, 2, 3)), v.var((0, 2, 3)), slope, bias, 1e-3) * seed).sum()

    if size == 2:
        close(ran.diffs["x"], numeric(of, wide), rtol=1e-3, atol=1e-4)


def test_segmentation_accuracy(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, label = normal(2, 4, 5, 6), generator.choice([0, 1, 2, 255], size=(2, 1, 5, 6)).astype(np.float32)
    counts = np.zeros((4, 4))
    for t, g in zip(label.ravel().astype(int), x.argmax(1).ravel(), strict=True):
        if t != 255:
            counts[t, g] += 1
    right, given = counts.diagonal(), counts.sum(1)
    union = given + counts.sum(0) - right
    want = [
        right.sum() / given.sum(),
        (right[:3] / given[:3]).mean(),
        np.where(right == union, 1, right / np.maximum(union, 1)).mean(),
    ]
    for reset, runs in (("true", 1), ("false", 3)):
        text = f'type: "SegAccuracy" seg_accuracy_param {{ ignore_label: 255 reset: {reset} }}'
        ran = run_layer(tmp_path, text, {"x": x, "t": label})
        close(ran.top().ravel(), want, rtol=1e-6)
        assert ran.top().shape == (1, 1, 1, 3)
        for _ in range(runs):
            ran.net.blobs["x"].data[...] = -x
            ran.net.forward()
        other = ran.top().ravel()[0]
        alone = (np.argmin(x, 1) == label[:, 0])[label[:, 0] != 255].mean()
        close(other, alone if reset == "true" else (want[0] + 3 * alone) / 4, rtol=1e-5)


# ---- regions ---------------------------------------------------------------------------------------
ROIS = np.array([[0, 0, 0, 15, 15], [1, 4, 2, 20, 11], [0, 9, 9, 9.4, 8], [1, -6, 3, 40, 40]], np.float32)


def half_away(v: float) -> int:
    return int(np.sign(v) * np.floor(abs(v) + 0.5))


@pytest.mark.parametrize("axes", [2, 4])
def test_roi_pooling(tmp_path: Path, axes: int) -> None:
    x, scale, (ph, pw) = normal(2, 3, 8, 10), 0.5, (3, 2)
    rois = ROIS.reshape(4, 5, *(1,) * (axes - 2))
    text = f'type: "ROIPooling" roi_pooling_param {{ pooled_h: {ph} pooled_w: {pw} spatial_scale: {scale} }}'
    seed = normal(4, 3, ph, pw, seed=1)
    ran = run_layer(tmp_path, text, {"x": x, "rois": rois}, seeds={"y": seed})
    want, diff = np.zeros((4, 3, ph, pw)), np.zeros_like(x)
    for r, (n, *box) in enumerate(ROIS):
        x1, y1, x2, y2 = (half_away(v * scale) for v in box)
        bins = [max(b - a + 1, 1) / k for a, b, k in ((y1, y2, ph), (x1, x2, pw))]
        for c, i, j in np.ndindex(3, ph, pw):
            h = [min(max(int(f) + y1, 0), 8) for f in (np.floor(i * bins[0]), np.ceil((i + 1) * bins[0]))]
            w = [min(max(int(f) + x1, 0), 10) for f in (np.floor(j * bins[1]), np.ceil((j + 1) * bins[1]))]
            part = x[int(n), c, h[0] : h[1], w[0] : w[1]]
            if part.size:
                want[r, c, i, j] = part.max()
                a, b = np.unravel_index(part.argmax(), part.shape)
                diff[int(n), c, h[0] + a, w[0] + b] += seed[r, c, i, j]
    close(ran.top(), want)
    close(ran.diffs["x"], diff, rtol=1e-5, atol=1e-6)


def test_roi_pooling_of_equal_pixels_of_nan_and_of_bins_on_an_edge_in_float32(tmp_path: Path) -> None:
    """The first of equal pixels, as rows are read, gets the gradient; NaN is no maximum; edges are float32's."""
    x = np.ones((1, 2, 40, 40), np.float32)
    x[0, 1] = np.nan
    text = 'type: "ROIPooling" roi_pooling_param { pooled_h: 46 pooled_w: 1 spatial_scale: 1 }'
    rois = np.array([[0, 0, 0, 19, 13]], np.float32)
    ran = run_layer(tmp_path, text, {"x": x, "rois": rois}, seeds={"y": np.ones((1, 2, 46, 1), np.float32)})
    step = np.float32(14) / np.float32(46)
    first = [int(np.floor(np.float32(i) * step)) for i in range(46)]
    assert first != [int(i * (14 / 46)) for i in range(46)]
    want = np.zeros_like(x)
    for row in first:
        want[0, 0, row, 0] += 1
    close(ran.top()[0, 0], np.ones((46, 1)))
    close(ran.top()[0, 1], np.full((46, 1), np.finfo(np.float32).min))
    close(ran.diffs["x"], want)


def test_psroi_pooling(tmp_path: Path) -> None:
    x, scale, dim, group = normal(2, 18, 8, 10), 0.5, 2, 3
    numbers = f"spatial_scale: {scale} output_dim: {dim} group_size: {group}"
    text = f'type: "PSROIPooling" psroi_pooling_param {{ {numbers} }}'
    seed = normal(4, dim, group, group, seed=1)
    ran = run_layer(tmp_path, text, {"x": x, "rois": ROIS}, seeds={"y": seed})
    want, diff = np.zeros(seed.shape), np.zeros(x.shape)
    for r, (n, *box) in enumerate(ROIS):
        x1, y1 = (half_away(v) * scale for v in box[:2])
        x2, y2 = ((half_away(v) + 1) * scale for v in box[2:])
        steps = max(y2 - y1, 0.1) / group, max(x2 - x1, 0.1) / group
        for k, i, j in np.ndindex(dim, group, group):
            h = [
                int(np.clip(f, 0, 8)) for f in (np.floor(i * steps[0] + y1), np.ceil((i + 1) * steps[0] + y1))
            ]
            w = [
                int(np.clip(f, 0, 10))
                for f in (np.floor(j * steps[1] + x1), np.ceil((j + 1) * steps[1] + x1))
            ]
            area = (h[1] - h[0]) * (w[1] - w[0])
            if h[1] > h[0] and w[1] > w[0]:
                place = (int(n), (k * group + i) * group + j, slice(*h), slice(*w))
                want[r, k, i, j] = x[place].mean(dtype=np.float64)
                diff[place] += seed[r, k, i, j] / area
    close(ran.top(), want, rtol=1e-5, atol=1e-6)
    close(ran.diffs["x"], diff, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("axes", [2, 4])
def test_hard_regions_learn(tmp_path: Path, axes: int) -> None:
    ones = (1,) * (axes - 2)
    rois = np.zeros((6, 5), np.float32)
    rois[:, 0] = [0, 1, 0, 0, 1, 0]
    loss = np.array([0.1, 3, 0.5, 0.2, 1, 0.4], np.float32)
    labels, weights = np.arange(6, dtype=np.float32), normal(6, 8)
    inputs = {
        "r": rois.reshape(6, 5, *ones), "l": loss.reshape(6, *(1,) * (axes - 1)),
        "t": labels.reshape(6, *(1,) * (axes - 1)), "w": weights.reshape(6, 8, *ones),
    }  # fmt: skip
    text = 'type: "BoxAnnotatorOHEM" box_annotator_ohem_param { roi_per_img: 2 ignore_label: -1 }'
    ran = run_layer(tmp_path, text, inputs, tops=("kept", "heavy"))
    close(ran.top("kept").ravel(), [-1, 1, 2, -1, 4, 5])
    kept = np.isin(np.arange(6), [1, 2, 4, 5])
    close(ran.top("heavy").reshape(6, 8), weights * kept[:, None])
    assert ran.top("kept").shape == (6, 1, *ones)


LEARNING = """
input: "x" input_shape { dim: [2, 1, 8, 8] }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 2 kernel_size: 1
  weight_filler { type: "xavier" } } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" top: "mask" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "u" type: "Upsample" bottom: "p" bottom: "mask" top: "u" upsample_param { scale: 2 } }
layer { name: "r" type: "InnerProduct" bottom: "p" top: "r" inner_product_param { num_output: 5
  bias_filler { type: "constant" value: 1 } } }
layer { name: "b" type: "ROIPooling" bottom: "u" bottom: "r" top: "b" roi_pooling_param { pooled_h: 2 pooled_w: 2 } }
layer { name: "a" type: "Power" bottom: "b" top: "a" power_param { scale: 2 } }
layer { name: "l" type: "SmoothL1Loss" bottom: "b" bottom: "a" bottom: "a" bottom: "a" top: "l" }
"""


def test_masks_regions_and_weights_that_come_from_layers_that_learn(tmp_path: Path) -> None:
    """As in the nets that train: no gradient flows there, and nobody objects."""
    (tmp_path / "net.prototxt").write_text(LEARNING)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    net.blobs["x"].data[...] = normal(2, 1, 8, 8)
    net.params["r"][0].data[...] = 0
    net.params["r"][1].data[...] = [0, 0, 0, 5, 5]
    net.forward()
    net.backward()
    assert net.params["c"][0].diff.any()
    assert not net.params["r"][0].diff.any()


# ---- refusals --------------------------------------------------------------------------------------
REFUSED = [
    ("Interp", "interp_param { zoom_factor: 0 }", ((1, 2, 3, 4),), ArgumentError, "factors must be at least 1"),
    ("Interp", "", ((1, 2, 3, 4),), ArgumentError, "give height and width, zoom_factor or shrink_factor"),
    ("Interp", "interp_param { zoom_factor: 2 pad_beg: 1 }", ((1, 2, 3, 4),), ShapeError, "be at most 0"),
    ("ShuffleChannel", "shuffle_channel_param { group: 4 }", ((1, 6, 1, 1),), ArgumentError, "group 4 must divide"),
    ("ROIPooling", "", ((1, 2, 3, 4), (2, 5)), ArgumentError, "pooled_h and pooled_w must be at least 1"),
    ("ROIPooling", "roi_pooling_param { pooled_h: 1 pooled_w: 1 }", ((1, 2, 3, 4), (2, 4)), ShapeError,
     r"'b1' must be \(R, 5\)"),
    ("PSROIPooling", "psroi_pooling_param { spatial_scale: 1 output_dim: 2 group_size: 2 }",
     ((1, 7, 3, 4), (2, 5)), ShapeError, "must have output_dim \\* group \\* group = 8 channels"),
    ("Axpy", "", ((1, 2), (1, 2, 3, 3), (1, 2, 3, 4)), ShapeError, "must have one shape"),
    ("CenterLoss", "", ((2, 3), (2,)), ArgumentError, "num_output"),
    ("SoftmaxWithLoss", "loss_param { weight_by_label_freqs: true class_weighting: [1, 2] }", ((2, 3), (2,)),
     ShapeError, "there are 2 class weights for 3 classes"),
    ("SoftmaxWithLoss", "loss_param { class_weighting: [1, 2, 3] }", ((2, 3), (2,)),
     ArgumentError, "class_weighting counts only with weight_by_label_freqs"),
    ("Upsample", "upsample_param { scale: 3 pad_out_h: true }", ((1, 1, 2, 2), (1, 1, 2, 2)), ArgumentError,
     "go with a scale of 2"),
    ("BN", "", ((3,),), ShapeError, "at least 2 axes"),
    ("BoxAnnotatorOHEM", "box_annotator_ohem_param { roi_per_img: 0 }", ((2, 5), (2,), (2,), (2, 4)),
     ArgumentError, "roi_per_img must be at least 1"),
    ("SegAccuracy", "", ((2, 3), (2, 1)), ShapeError, "must have 4 axes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "param", "shapes", "error", "words"), REFUSED, ids=[f"{r[0]}-{i}" for i, r in enumerate(REFUSED)]
)
def test_refusals(
    tmp_path: Path,
    kind: str,
    param: str,
    shapes: tuple[tuple[int, ...], ...],
    error: type[FreshpotError],
    words: str,
) -> None:
    tops = ("y", "z") if kind == "BoxAnnotatorOHEM" else ("y",)
    check_refusal(tmp_path, kind, param, shapes, error, words, tops=tops)
