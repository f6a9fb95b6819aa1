"""Charts and the HTML report."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from freshpot.errors import DataError
from freshpot.viz.charts import Curve, bar_chart, confusion_chart, curve_chart, smooth
from freshpot.viz.graph import Operator, net_graph
from freshpot.viz.report import ReportData, confusion, format_report, worst_mistakes, write_report
from freshpot.viz.report_style import STYLE

RNG = np.random.default_rng(0)
LABELS = np.array([0, 1, 2, 2, 1])
SOFTMAX = np.eye(10)[[0, 1, 2, 3, 4]] * 0.6 + 0.04
SOFTMAX[4, 4] = 0.99


def full() -> ReportData:
    return ReportData(
        title="LeNet <on> digits",
        subtitle="a & b",
        headline=[("test accuracy", "98.9 %")],
        loss=np.exp(-np.arange(200) / 20) + RNG.random(200) * 1e-3,
        accuracy=np.linspace(0.1, 0.99, 200),
        test_accuracy=[(100, 0.9), (200, 0.95)],
        samples=RNG.integers(0, 255, (12, 28, 28)),
        sample_labels=np.arange(12) % 10,
        filters=("conv1_w", RNG.normal(size=(20, 1, 5, 5))),
        features=[("conv1", RNG.normal(size=(20, 24, 24)))],
        digit=RNG.random((28, 28)),
        digit_label=3,
        softmax=SOFTMAX[0],
        test_images=RNG.integers(0, 255, (5, 28, 28)),
        test_labels=LABELS,
        test_softmax=SOFTMAX,
        graph=net_graph([Operator("", "Conv", ["data"], ["conv1"])], "net"),
        numbers=[("device", "CPU <1 thread>")],
        footer="made by a test",
    )


class Outline(HTMLParser):
    """Headings, open tags left over, and every address that the page mentions."""

    VOID = {"meta", "img", "link", "br"}

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.headings: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "h2":
            self.headings.append(data)


ALL = ["Learning", "Digits", "One digit, one answer", "Inside the net", "Mistakes", "The net", "Numbers"]


def test_a_full_report_has_everything_and_needs_nothing(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", full())
    page = (tmp_path / "report.html").read_text()
    outline = Outline(page)
    assert outline.stack == []
    assert outline.headings == ALL
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in outline.addresses)
    assert "url(" not in page
    assert "<script" not in page
    for words in ("LeNet &lt;on&gt; digits", "a &amp; b", "98.9 %", "CPU &lt;1 thread&gt;", "made by a test"):
        assert words in page
    assert "The net says 0, 64.0% sure; the label says 3." in page
    assert "2 of 5 test images were answered wrongly (40.00%)." in page
    assert "prefers-color-scheme:dark" in page
    assert "SYNTHETIC" not in page


def test_who_cannot_see_the_pictures_hears_what_is_in_them() -> None:
    page = format_report(full())
    pictures = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert len(pictures) == page.count("<img ")
    assert "the digit that the net was shown" in pictures
    assert "a training image: 3" in pictures
    assert "Filters conv1_w: 20 × 1 × 5 × 5 weights" in pictures
    assert "Feature maps conv1: 20 × 24 × 24 values for one digit" in pictures
    assert pictures.count("a 1; the net says 4") == 1
    assert pictures.count("a 2 that the net takes for a 3") == 1
    titles = re.findall(r"<title>([^<]*)</title>", page)[1:]  # of the charts
    assert re.fullmatch(r"training loss: from 1(\.\d+)? to 0\.\d+", titles[0])
    assert titles[1] == "training accuracy: from 10.0% to 99.0%; test accuracy: from 90.0% to 95.0%"
    assert titles[2].startswith("probabilities: 0 64.0%, 1 4.0%")
    assert titles[3] == "confusion matrix: 3 of 5 right; most often 1 is taken for 4 (1 times)"
    assert 'tabindex="0" role="region" aria-label="graph of the net"' in page


def test_answers_are_shown_beside_the_first_test_images() -> None:
    page = format_report(full())
    assert "The first 5 test images, and what the net says of them" in page
    assert "<figcaption><b>2</b></figcaption>" in page
    assert '<figcaption><b class="no">4</b>, is 1</figcaption>' in page


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(
    ("ink", "paper"),
    [("ink", "card"), ("muted", "card"), ("muted", "page"), ("on-fill", "accent"), ("bad", "card"),
     ("accent2", "page"), ("warn-ink", "warn")],
)  # fmt: skip
def test_words_stand_out(theme: int, ink: str, paper: str) -> None:
    """A contrast of 4.5 to 1 or more, in the light theme and in the dark one."""
    rules = STYLE.split("prefers-color-scheme:dark")[theme]
    colours = {name: value if len(value) == 7 else "#" + "".join(c * 2 for c in value[1:])
               for name, value in re.findall(r"--([\w-]+):(#\w+)", rules)}  # fmt: skip
    light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_synthetic_data_are_called_so() -> None:
    page = format_report(replace(full(), synthetic=True))
    assert "SYNTHETIC digits made by freshpot, not from MNIST" in page
    assert "The first synthetic digits, with their labels." in page


@pytest.mark.parametrize(
    ("leave_out", "heading"),
    [
        (("loss", "accuracy", "test_accuracy"), "Learning"),
        (("samples",), "Digits"),
        (("softmax",), "One digit, one answer"),
        (("filters", "features"), "Inside the net"),
        (("test_labels",), "Mistakes"),
        (("graph",), "The net"),
        (("numbers",), "Numbers"),
    ],
)
def test_what_is_not_given_is_left_out(leave_out: tuple[str, ...], heading: str) -> None:
    empty = {
        f.name: () if f.name in ("test_accuracy", "features", "numbers") else None for f in fields(ReportData)
    }
    page = format_report(replace(full(), **{name: empty[name] for name in leave_out}))
    assert Outline(page).headings == [name for name in ALL if name != heading]


def test_only_a_title() -> None:
    assert Outline(format_report(ReportData("empty"))).headings == []


def test_no_mistakes_is_said() -> None:
    page = format_report(replace(full(), test_labels=SOFTMAX.argmax(1)))
    assert "<h3>Worst mistakes</h3><p>None.</p>" in page


def test_confusion_and_worst_mistakes() -> None:
    counts = confusion(LABELS, SOFTMAX.argmax(1), 10)
    assert counts.sum() == 5
    assert (counts[2, 2], counts[2, 3], counts[1, 4]) == (1, 1, 1)
    worst = worst_mistakes(LABELS, SOFTMAX, 5)
    assert [(m.place, m.label, m.answer) for m in worst] == [(4, 1, 4), (3, 2, 3)]
    assert worst[0].probability == pytest.approx(0.99)
    assert len(worst_mistakes(LABELS, SOFTMAX, 1)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_labels": np.zeros(3)}, "12 samples with 3 labels"),
        ({"test_labels": LABELS[:3]}, "3 test labels with 5 answers"),
        ({"test_images": np.zeros((2, 28, 28))}, "2 test images with 5 labels"),
    ],
)
def test_complaints_of_the_report(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        format_report(replace(full(), **change))


CHARTS = {
    "curve": lambda: curve_chart([Curve("loss", np.linspace(3, 0.1, 500))]),
    "log": lambda: curve_chart([Curve("loss", np.array([10.0, 0.0, 1e-3, np.nan]))], log=True),
    "one value": lambda: curve_chart([Curve("loss", np.array([2.0]))]),
    "constant": lambda: curve_chart([Curve("zero", np.zeros(5)), Curve("points", np.ones(2), points=True)]),
    "bars": lambda: bar_chart([0.2, 0.8, 0.0], ["a", "<b>", "c"], highlight=1),
    "confusion": lambda: confusion_chart(np.array([[5, 1], [0, 3]]), ["cat", "dog"]),
}


@pytest.mark.parametrize("make", CHARTS.values(), ids=CHARTS)
def test_charts_are_well_formed_and_finite(make: object) -> None:
    text = make()  # type: ignore[operator]
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert not re.search(r"\b(nan|inf)\b", text)
    wide, high = (float(size) for size in root.attrib["viewBox"].split()[2:])
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        points = re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.attrib["d"])
        assert all(0 <= float(x) <= wide and 0 <= float(y) <= high for x, y in points)


def test_chart_ticks_are_round() -> None:
    ET.fromstring(CHARTS["curve"]())
    texts = [t.text for t in ET.fromstring(CHARTS["curve"]()).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:4] == ["0", "1", "2", "3"]
    texts = [t.text for t in ET.fromstring(CHARTS["log"]()).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:5] == ["0.001", "0.01", "0.1", "1", "10"]
    few = curve_chart([Curve("loss", np.array([2.4, 0.11]))], log=True)
    texts = [t.text for t in ET.fromstring(few).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:6] == ["0.1", "0.2", "0.5", "1", "2", "5"]


def test_smooth() -> None:
    np.testing.assert_allclose(smooth(np.array([0.0, 3, 6, 9]), 3), [1.5, 3, 6, 7.5])
    np.testing.assert_allclose(smooth(np.array([1.0, 2]), 0), [1, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: curve_chart([Curve("x", np.array([np.nan]))]), "no finite value"),
        (lambda: curve_chart([Curve("x", np.zeros(2), np.zeros(3))]), "curve 'x' has 2 values at 3 places"),
        (lambda: confusion_chart(np.zeros((2, 3))), r"square, got shape \(2, 3\)"),
    ],
)
def test_complaints_of_charts(call: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()  # type: ignore[operator]
