"""``caffe parse_log``: a training log to two CSV files, one of training and one of tests.

The rows have the original's columns: NumIters, Seconds, LearningRate, then the net's outputs.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from caffe._cli.flags import Flag, UsageError
from freshpot.errors import DataError
from freshpot.formats.atomic import write_bytes

FLAGS = (
    Flag("delimiter", ",", "what separates columns"),
    Flag("verbose", False, "say which files were written"),
)
USAGE = "usage: caffe parse_log [FLAGS] LOG FOLDER      (writes FOLDER/LOG.train and FOLDER/LOG.test)"

Row = dict[str, float]
_RECORD = re.compile(r"[IWEF](?:\d{4})?(\d{4} \d\d:\d\d:\d\d\.\d+)\s+\d+ \S+\] ?(.*)")
_HEAD = re.compile(r"Log file created at: (\d{4})/")
_ITERATION = re.compile(r"Iteration (\d+)")
_OUTPUT = re.compile(r"(Train|Test) net output #\d+: (\S+) = (\S+)")
_RATE = re.compile(r"lr = (\S+)")


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Parse; 0 when done.

    Raises:
        UsageError: words that are too few or too many.
        DataError: the log cannot be read, or the files cannot be written.
    """
    if len(words) != 3:
        raise UsageError(USAGE)
    try:
        with open(words[1], encoding="utf-8", errors="replace") as file:
            tables = parse_log(file)
        for name, rows in tables.items():
            path = os.path.join(words[2], f"{os.path.basename(words[1])}.{name.lower()}")
            if rows:
                write_bytes(path, _as_csv(rows, flags["delimiter"]).encode())
            if flags["verbose"]:
                print(f"Wrote {path}" if rows else f"Not writing {path}; no lines to write")
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror or error}") from error
    return 0


def parse_log(lines: Iterable[str]) -> dict[str, list[Row]]:
    """Rows of training ("Train") and of tests ("Test") from the lines of a log."""
    tables: dict[str, list[Row]] = {"Train": [], "Test": []}
    iteration, rate = None, math.nan
    for seconds, text in _records(lines):
        if found := _ITERATION.search(text):
            iteration = float(found[1])
        if iteration is None:
            continue
        if (found := _RATE.search(text)) and (value := _number(found[1])) is not None:
            rate = value
        if (found := _OUTPUT.search(text)) and (value := _number(found[3])) is not None:
            rows = tables[found[1]]
            if not rows or rows[-1]["NumIters"] != iteration:
                rows.append({"NumIters": iteration, "Seconds": seconds, "LearningRate": rate})
            rows[-1][found[2]] = value
    for rows in tables.values():  # the first rate is printed after the first outputs
        if len(rows) > 1 and math.isnan(rows[0]["LearningRate"]):
            rows[0]["LearningRate"] = rows[1]["LearningRate"]
    return tables


def _records(lines: Iterable[str]) -> Iterator[tuple[float, str]]:
    """Each record's seconds since the first, and its text; other lines are passed over.

    Records lack the year: it is that of the log's head, if there is one, else this one, and goes up when
    months go down.
    """
    start = last = None
    year = datetime.now().year
    for line in lines:
        if head := _HEAD.match(line):
            year = int(head[1])
        if (found := _RECORD.match(line)) is None or (now := _time(year, found[1])) is None:
            continue
        if last is not None and now.month < last.month:
            year += 1
            now = _time(year, found[1]) or now
        start, last = start or now, now
        yield (now - start).total_seconds(), found[2]


def _time(year: int, text: str) -> datetime | None:
    """A record's time; None if it is none (29 February of another year among them)."""
    try:
        return datetime.strptime(f"{year:04d}{text}", "%Y%m%d %H:%M:%S.%f")
    except ValueError:
        return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _as_csv(rows: list[Row], delimiter: str) -> str:
    columns: dict[str, None] = {}
    for row in rows:
        columns |= dict.fromkeys(row)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
