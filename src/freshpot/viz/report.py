"""One HTML page about one training: curves, digits, filters, mistakes, the net, the numbers.

The page carries everything in itself (style, pictures, charts), so it opens without a network and can be mailed.
It is made from plain numpy data; every part that is not given is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freshpot.errors import DataError
from freshpot.formats.atomic import write_bytes
from freshpot.viz.blobs import Pixels, colourise, data_uri, feature_grid, filter_grid
from freshpot.viz.charts import Curve, bar_chart, confusion_chart, curve_chart
from freshpot.viz.dot import Dot
from freshpot.viz.render import render_own
from freshpot.viz.report_style import STYLE

__all__ = ["ReportData", "confusion", "format_report", "worst_mistakes", "write_report"]

Array = NDArray[Any]
MOST_SAMPLES = 60
MOST_MISTAKES = 20
MOST_ANSWERS = 20
FILTER_SCALE = 6  # pixels a weight, so that the gaps between filters stay narrow
PICTURE_WIDTH = 680


@dataclass
class ReportData:
    """What a report is made of. Only ``title`` is needed.

    Attributes:
        title: of the page.
        subtitle: one line below it.
        synthetic: the data are synthetic digits; the page says so at the top.
        headline: (what, value) for the large tiles, values as they shall be read ("98.9 %").
        loss: (T,), one training loss an iteration.
        accuracy: (T,), one training accuracy an iteration, 0 to 1.
        test_accuracy: (iteration, accuracy) pairs, any number.
        samples: (N, H, W), some training images; with ``sample_labels`` (N,).
        filters: (name, weights (K, C, h, w)).
        features: (name, (C, H, W)) of one image, one for each layer to show.
        digit: (H, W), the image that ``features`` and ``softmax`` belong to.
        softmax: (classes,), the net's answer for ``digit``; ``digit_label`` is the truth.
        test_images: (N, H, W), with ``test_labels`` (N,) and ``test_softmax`` (N, classes): for the confusion
            matrix and the worst mistakes.
        graph: of the net.
        numbers: (what, value) for the table at the end.
        footer: last line.
    """

    title: str
    subtitle: str = ""
    synthetic: bool = False
    headline: Sequence[tuple[str, str]] = ()
    loss: Array | None = None
    accuracy: Array | None = None
    test_accuracy: Sequence[tuple[float, float]] = ()
    samples: Array | None = None
    sample_labels: Array | None = None
    filters: tuple[str, Array] | None = None
    features: Sequence[tuple[str, Array]] = ()
    digit: Array | None = None
    digit_label: int | None = None
    softmax: Array | None = None
    test_images: Array | None = None
    test_labels: Array | None = None
    test_softmax: Array | None = None
    graph: Dot | None = None
    numbers: Sequence[tuple[str, str]] = ()
    footer: str = ""
    class_names: Sequence[str] = field(default_factory=lambda: [str(i) for i in range(10)])


class Mistake(NamedTuple):
    """A test image answered wrongly: its place in the set, its label, the answer, and how sure it was (0 to 1)."""

    place: int
    label: int
    answer: int
    probability: float


def write_report(path: str | os.PathLike[str], data: ReportData) -> None:
    """Write the page, atomically.

    Raises:
        DataError: arrays that do not fit together.
    """
    write_bytes(path, format_report(data).encode())


def format_report(data: ReportData) -> str:
    """The page as text."""
    sections = []
    links = []
    for name, title, make in _SECTIONS:
        body = make(data)
        if body:
            links.append(f'<a href="#{name}">{title}</a>')
            sections.append(f'<section id="{name}"><h2>{title}</h2>{body}</section>')
    tiles = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(what)}</span></div>" for what, value in data.headline
    )
    warning = "Drawn from SYNTHETIC digits made by freshpot, not from MNIST."
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(data.title)}</title><style>{STYLE}</style></head><body><main>",
        f"<header><h1>{escape(data.title)}</h1><p>{escape(data.subtitle)}</p>",
        f'<nav aria-label="sections of this page">{"".join(links)}</nav></header>',
        f'<div class="warn">{warning}</div>' if data.synthetic else "",
        f'<div class="tiles">{tiles}</div>' if tiles else "",
        *sections,
        f"<footer>{escape(data.footer)}</footer>" if data.footer else "",
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def confusion(labels: Array, answers: Array, classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): row the label, column the answer."""
    flat = np.asarray(labels, dtype=np.int64) * classes + np.asarray(answers, dtype=np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def worst_mistakes(labels: Array, softmax: Array, count: int) -> list[Mistake]:
    """The wrong answers that the net was surest of, surest first."""
    labels, softmax = np.asarray(labels), np.asarray(softmax)
    answers = softmax.argmax(1)
    sure = softmax[np.arange(len(softmax)), answers]
    wrong = np.flatnonzero(answers != labels)
    order = wrong[np.argsort(-sure[wrong], kind="stable")][:count]
    return [Mistake(int(i), int(labels[i]), int(answers[i]), float(sure[i])) for i in order]


def _curves(data: ReportData) -> str:
    charts = []
    if data.loss is not None and len(data.loss):
        # A loss that went down far is best seen on a logarithmic axis.
        loss = np.asarray(data.loss, dtype=np.float64)
        good = loss[np.isfinite(loss) & (loss > 0)]
        log = bool(len(good) and good.max() > 30 * good.min())
        charts.append(f"<div><h3>Loss</h3>{curve_chart([Curve('training loss', loss)], log=log)}</div>")
    lines = []
    if data.accuracy is not None and len(data.accuracy):
        lines.append(Curve("training accuracy", data.accuracy))
    if len(data.test_accuracy):
        where, values = np.asarray(data.test_accuracy, dtype=np.float64).T
        lines.append(Curve("test accuracy", values, where, points=True))
    if lines:
        charts.append(f"<div><h3>Accuracy</h3>{curve_chart(lines, percent=True)}</div>")
    if not charts:
        return ""
    note = "Faint: each iteration on its own batch. Bold: the running mean."
    return f'<p class="note">{note}</p><div class="pair">{"".join(charts)}</div>'


def _samples(data: ReportData) -> str:
    if data.samples is None or not len(data.samples):
        return ""
    labels = data.sample_labels
    if labels is not None and len(labels) < len(data.samples):
        raise DataError(f"{len(data.samples)} samples with {len(labels)} labels")
    shown = data.samples[:MOST_SAMPLES]
    captions = ["" if labels is None else data.class_names[int(labels[i])] for i in range(len(shown))]
    figures = [
        _figure(image, f"a training image: {caption}", escape(caption))
        for image, caption in zip(shown, captions, strict=True)
    ]
    what = "synthetic digits" if data.synthetic else "training images"
    return f'<p class="note">The first {what}, with their labels.</p><div class="digits">{"".join(figures)}</div>'


def _filters(data: ReportData) -> str:
    parts = []
    if data.filters is not None:
        name, weights = data.filters
        large = weights.repeat(FILTER_SCALE, -2).repeat(FILTER_SCALE, -1)
        grid = filter_grid(large, columns=10, gap=FILTER_SCALE // 2)
        parts.append(_picture(f"Filters {name}", f"{_sizes(weights)} weights", grid))
    for name, maps in data.features:
        grid = feature_grid(maps, columns=10)
        parts.append(_picture(f"Feature maps {name}", f"{_sizes(maps)} values for one digit", grid))
    if not parts:
        return ""
    note = (
        "Filters: red adds, blue takes away, white does nothing. Feature maps: what each channel makes of one "
        "digit, from dark (little) to yellow (much)."
    )
    return f'<p class="note">{note}</p><div class="pair">{"".join(parts)}</div>'


def _answer(data: ReportData) -> str:
    if data.softmax is None:
        return ""
    softmax = np.asarray(data.softmax, dtype=np.float64).ravel()
    answer = int(softmax.argmax())
    words = f"The net says {data.class_names[answer]}, {softmax[answer] * 100:.1f}% sure"
    words += (
        f"; the label says {data.class_names[data.digit_label]}." if data.digit_label is not None else "."
    )
    image = "" if data.digit is None else _image(data.digit, "the digit that the net was shown")
    chart = bar_chart(softmax.tolist(), data.class_names[: len(softmax)], highlight=answer)
    return (
        f'<p class="note">{escape(words)}</p><div class="one">{image}<div>{chart}</div></div>{_answers(data)}'
    )


def _answers(data: ReportData) -> str:
    """The first test images with what the net says of them; where it is wrong, the label, too."""
    if data.test_images is None or data.test_softmax is None or data.test_labels is None:
        return ""
    answers = np.asarray(data.test_softmax).argmax(1)
    figures = []
    for image, label, answer in zip(data.test_images[:MOST_ANSWERS], data.test_labels, answers, strict=False):
        said, truth = data.class_names[int(answer)], data.class_names[int(label)]
        words = f"a {truth}; the net says {said}"
        right = f"<b>{escape(said)}</b>"
        wrong = f'<b class="no">{escape(said)}</b>, is {escape(truth)}'
        figures.append(_figure(image, words, right if answer == label else wrong))
    head = f"<h3>The first {len(figures)} test images, and what the net says of them</h3>"
    return f'<div class="more">{head}<div class="digits large">{"".join(figures)}</div></div>'


def _mistakes(data: ReportData) -> str:
    if data.test_labels is None or data.test_softmax is None:
        return ""
    labels, softmax = np.asarray(data.test_labels), np.asarray(data.test_softmax)
    if len(labels) != len(softmax):
        raise DataError(f"{len(labels)} test labels with {len(softmax)} answers")
    counts = confusion(labels, softmax.argmax(1), softmax.shape[1])
    wrong = int(counts.sum() - np.trace(counts))
    note = f"{wrong} of {len(labels)} test images were answered wrongly ({wrong / max(len(labels), 1) * 100:.2f}%)."
    matrix = f"<div>{confusion_chart(counts, data.class_names[: len(counts)])}</div>"
    return f'<p class="note">{note}</p><div class="pair">{matrix}{_worst(data, labels, softmax)}</div>'


def _worst(data: ReportData, labels: Array, softmax: Array) -> str:
    if data.test_images is None:
        return ""
    if len(data.test_images) != len(labels):
        raise DataError(f"{len(data.test_images)} test images with {len(labels)} labels")
    figures = []
    for mistake in worst_mistakes(labels, softmax, MOST_MISTAKES):
        truth, answer = data.class_names[mistake.label], data.class_names[mistake.answer]
        caption = (
            f'<b>{escape(truth)}</b> → <b class="no">{escape(answer)}</b> {mistake.probability * 100:.0f}%'
        )
        words = f"a {truth} that the net takes for a {answer}"
        figures.append(_figure(data.test_images[mistake.place], words, caption))
    if not figures:
        return "<div><h3>Worst mistakes</h3><p>None.</p></div>"
    head = "<h3>Worst mistakes: the label → the net's answer, and how sure it was</h3>"
    return f'<div>{head}<div class="digits large">{"".join(figures)}</div></div>'


def _graph(data: ReportData) -> str:
    if data.graph is None:
        return ""
    note = "Boxes (green) are operators, the other shapes are blobs. Scroll to see all of it."
    picture = render_own(data.graph, "svg").decode()
    region = '<div class="scroll" tabindex="0" role="region" aria-label="graph of the net">'  # scrolls by keys, too
    return f'<p class="note">{note}</p>{region}{picture}</div>'


def _numbers(data: ReportData) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(what)}</th><td>{escape(value)}</td></tr>'
        for what, value in data.numbers
    )
    return f"<table>{rows}</table>" if rows else ""


_SECTIONS: tuple[tuple[str, str, Callable[[ReportData], str]], ...] = (
    ("curves", "Learning", _curves),
    ("samples", "Digits", _samples),
    ("answer", "One digit, one answer", _answer),
    ("filters", "Inside the net", _filters),
    ("mistakes", "Mistakes", _mistakes),
    ("net", "The net", _graph),
    ("numbers", "Numbers", _numbers),
)


def _image(pixels: Array, words: str) -> str:
    picture = colourise(np.asarray(pixels)[None])[0]
    return f'<img class="pixels" alt="{escape(words)}" src="{data_uri(picture)}">'


def _figure(pixels: Array, words: str, caption: str) -> str:
    """A picture with a caption (HTML); ``words`` (text) for who cannot see it."""
    return f"<figure>{_image(pixels, words)}<figcaption>{caption}</figcaption></figure>"


def _sizes(values: Array) -> str:
    return " × ".join(map(str, np.shape(values)))


def _picture(title: str, words: str, pixels: Pixels) -> str:
    alt = escape(f"{title}: {words}")
    image = f'<img class="pixels" style="width:{PICTURE_WIDTH}px" alt="{alt}" src="{data_uri(pixels)}">'
    return f"<div><h3>{escape(title)}</h3>{image}</div>"
