"""``caffe detect``: class probabilities of windows of images, to a CSV or HDF5 file."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from caffe._cli import _pictures
from caffe._cli.flags import Flag, UsageError
from freshpot.errors import FormatError
from freshpot.formats.atomic import atomic_write, write_bytes

FLAGS = (
    *_pictures.FLAGS,
    Flag(
        "crop_mode", "list", "where windows come from: list (a CSV file), or selective_search (a text file)"
    ),
    Flag("context_pad", 16, "pixels of surroundings that a window takes in"),
)
USAGE = "usage: caffe detect -model_def NET -pretrained_model WEIGHTS [FLAGS] INPUT.csv|txt OUTPUT.csv|h5"
COLUMNS = ("ymin", "xmin", "ymax", "xmax")


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Classify the windows; 0 when done.

    Raises:
        FormatError: a CSV file without the columns filename, ymin, xmin, ymax, xmax.
        NotSupportedError: selective search without the program that does it.
    """
    if len(words) != 3 or flags["crop_mode"] not in ("list", "selective_search"):
        raise UsageError(USAGE)
    options = _pictures.net_options(flags, USAGE)
    if options["mean"] is not None and options["mean"].shape[1:] != (1, 1):
        options["mean"] = options["mean"].mean(1).mean(1)
    detector = caffe.Detector(
        flags["model_def"], flags["pretrained_model"], context_pad=flags["context_pad"], **options
    )
    start = time.time()
    print("Loading input...")
    if flags["crop_mode"] == "list":
        found = detector.detect_windows(_read_windows(words[1]).items())
    else:
        names = Path(words[1]).read_text(encoding="utf-8").split("\n")
        found = detector.detect_selective_search([name.strip() for name in names if name.strip()])
    print(f"Processed {len(found)} windows in {time.time() - start:.3f} s.")
    start = time.time()
    (_write_csv if words[2].lower().endswith("csv") else _write_hdf5)(words[2], found)
    print(f"Saved to {words[2]} in {time.time() - start:.3f} s.")
    return 0


def _read_windows(path: str) -> dict[str, np.ndarray]:
    """Windows (N, 4) by image file, in order of first appearance."""
    windows: dict[str, list[list[float]]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        if not {"filename", *COLUMNS} <= set(rows.fieldnames or ()):
            raise FormatError(
                f"expected the columns filename, {', '.join(COLUMNS)}; found {', '.join(rows.fieldnames or ())}",
                path=path,
            )
        for row in rows:
            try:
                windows.setdefault(row["filename"], []).append([float(row[c]) for c in COLUMNS])
            except (TypeError, ValueError):
                raise FormatError(
                    "a window is four numbers", path=path, where=f"line {rows.line_num}"
                ) from None
    return {name: np.array(boxes) for name, boxes in windows.items()}


def _table(found: list[dict[str, Any]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """File names, windows (N, 4) and probabilities (N, classes)."""
    windows = np.array([list(d["window"]) for d in found], dtype=np.float64).reshape(-1, 4)
    return [str(d["filename"]) for d in found], windows, np.array([np.ravel(d["prediction"]) for d in found])


def _write_csv(path: str, found: list[dict[str, Any]]) -> None:
    names, windows, scores = _table(found)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(
        ["filename", *COLUMNS, *(f"class{k}" for k in range(scores.shape[1] if len(scores) else 0))]
    )
    for name, window, score in zip(names, windows.tolist(), scores.tolist(), strict=True):
        rows.writerow([name, *window, *score])
    write_bytes(path, text.getvalue().encode())


def _write_hdf5(path: str, found: list[dict[str, Any]]) -> None:
    import h5py

    names, windows, scores = _table(found)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("filename", data=names, dtype=h5py.string_dtype())
        file.create_dataset("window", data=windows)
        file.create_dataset("prediction", data=scores)
    with atomic_write(path) as out:
        out.write(buffer.getbuffer())
