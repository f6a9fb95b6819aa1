"""`freshpot mnist`: train on MNIST, test, look inside, save, reload, predict.

Owned here: the command, its progress and its closing words. Who calls it: `freshpot.cli`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from freshpot.cli._folders import check_out
from freshpot.errors import ArgumentError, DataError, DeviceError

if TYPE_CHECKING:
    from freshpot.cli._mnist.job import Job

PLAIN_EVERY = 100  # steps between progress lines where there is no terminal
MOST_SEED = 2**31 - 1  # what every door takes


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "mnist",
        help="train LeNet on MNIST, test it, show what it learned",
        description="Train a net on MNIST, test it on the 10,000 test images, write pictures and a report, "
        "save the model, load it again by itself and predict with it.",
    )
    parser.add_argument(
        "--dialect",
        choices=("caffe2", "caffe", "paddle", "torch", "all"),
        default="caffe2",
        help="whose way of doing it (default caffe2); all: each, and a table of them",
    )
    parser.add_argument("--model", choices=("lenet", "mlp"), default="lenet")
    parser.add_argument("--iters", type=int, metavar="N", help="training steps (instead of --epochs)")
    parser.add_argument(
        "--epochs", type=float, default=2.0, metavar="N", help="passes over the data (default 2)"
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images a step (default 64)")
    parser.add_argument("--data", metavar="DIR", help="folder with the IDX files, or 'synthetic'")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where results go (freshpot-mnist, or below it)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--resume", action="store_true", help="go on from the snapshot in --out")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do the job; 0 if all of it went well, 130 if it was interrupted (a snapshot is kept)."""
    from freshpot.cli._mnist import DIALECTS, job_class
    from freshpot.data.mnist import load_mnist

    _check(args)
    every = args.dialect == "all"
    kinds = [job_class(name) for name in (DIALECTS if every else [args.dialect])]
    for kind in kinds:
        kind.check(args.model)
    base = args.out or Path("freshpot-mnist") / ("" if every or args.dialect == "caffe2" else args.dialect)
    folders = [(base / kind.dialect if every else base).resolve() for kind in kinds]
    known = [kind.description(folder).exists() for kind, folder in zip(kinds, folders, strict=True)]
    check_out(base)
    if args.resume and not any(known):
        raise DataError(f"no snapshot to resume from in {base.resolve()}: leave --resume out to start anew.")
    train, test = load_mnist(args.data, "train"), load_mnist(args.data, "test")
    origin = "" if train.synthetic else f" ({train.source})"
    print(f"Data: {train.title}, {len(train)} training and {len(test)} test images{origin}", flush=True)
    if args.batch_size > len(train):
        raise ArgumentError(f"--batch-size {args.batch_size}: there are {len(train)} training images.")
    rows: list[_Row] = []
    for kind, folder, there in zip(kinds, folders, known, strict=True):
        if every:
            print(f"\n--- {kind.title}: {folder}", flush=True)
        if args.resume and not there:
            print(f"No snapshot in {folder}: starting anew")
        row = _one(kind, folder, args, train, test, args.resume and there)
        if row is None:
            break
        rows.append(row)
    if every and rows:
        print("\n" + _table(rows))
    return 0 if len(rows) == len(kinds) else 130


class _Row(NamedTuple):
    """What one dialect reached."""

    dialect: str
    accuracy: float
    seconds: float
    images: int  # trained in this run
    saved: Path


def _one(
    kind: type[Job], folder: Path, args: argparse.Namespace, train: Any, test: Any, resume: bool
) -> _Row | None:
    """The job through one door; None if it was interrupted."""
    from freshpot.cli._mnist.job import Settings

    folder.mkdir(parents=True, exist_ok=True)
    job = kind(Settings(args.model, args.batch_size, args.seed, args.device, folder), train, test)
    if resume:
        print(f"Resumed after {job.resume()} steps from the snapshot in {folder}")
    steps = args.iters or max(1, round(args.epochs * len(train) / args.batch_size))
    first = job.history.steps
    seconds = _train(job, steps, args)
    if seconds is None:
        return None
    try:
        return _finish(job, args, train, test, job.history.steps - first, seconds)
    except KeyboardInterrupt:
        print(
            "\nInterrupted after the training, whose snapshot is kept: --resume goes on there.",
            file=sys.stderr,
        )
        return None


def _finish(job: Job, args: argparse.Namespace, train: Any, test: Any, trained: int, seconds: float) -> _Row:
    """Test, save, reload, predict, report; ``trained``: steps that took ``seconds``."""
    import numpy as np

    from freshpot.cli._mnist import report

    result = job.test()
    print(f"Test accuracy: {result.accuracy:.4f} on {len(result.labels)} images")
    saved = job.save()
    again = job.predict(saved, test.images[:100])
    if not np.allclose(again, result.softmax[: len(again)], atol=1e-5):
        raise DataError(
            f"the model reloaded from {saved} does not predict what it predicted before it was saved."
        )
    digits, truth = (" ".join(map(str, row[:10])) for row in (again.argmax(1), result.labels))
    print(
        f"Saved {saved.name}, reloaded by itself: it reads the first test digits as {digits} (they are {truth})"
    )
    page = report.write(job, result, train, test, seconds, trained)
    _write_numbers(job, args, result.accuracy, seconds, train.source)
    print(f"Report: {page}")
    return _Row(job.dialect, result.accuracy, seconds, trained * args.batch_size, saved)


def _table(rows: list[_Row]) -> str:
    """Side by side."""
    lines = [f"{'dialect':<8} {'accuracy':>8} {'seconds':>8} {'images/s':>9}  saved model"]
    for row in rows:
        pace = f"{row.images / row.seconds:.0f}" if row.images else "-"
        lines.append(f"{row.dialect:<8} {row.accuracy:>8.4f} {row.seconds:>8.1f} {pace:>9}  {row.saved}")
    return "\n".join(lines)


def _check(args: argparse.Namespace) -> None:
    for name in ("iters", "batch_size"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ArgumentError(f"--{name.replace('_', '-')} must be at least 1, got {value}.")
    if not (args.epochs > 0 and math.isfinite(args.epochs)):
        raise ArgumentError(f"--epochs must be more than 0, got {args.epochs:g}.")
    if not 0 <= args.seed <= MOST_SEED:
        raise ArgumentError(f"--seed must be from 0 to {MOST_SEED}, got {args.seed}.")
    kind, _, number = args.device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise ArgumentError(f"--device must be cpu, cuda or cuda:N, got '{args.device}'.")
    if kind == "cuda":
        _check_gpu(int(number or 0))


def _check_gpu(number: int) -> None:
    """Who asks for a GPU here does not want the CPU's figures under its name."""
    import torch

    count = torch.cuda.device_count()
    if number >= count:
        there = f"it finds {count}, numbered from 0" if count else "it finds none here"
        raise DeviceError(
            f"GPU {number} was asked for, and PyTorch has no such GPU: {there}. Take --device cpu."
        )


def _train(job: Job, steps: int, args: argparse.Namespace) -> float | None:
    """Train with progress; seconds it took, or None if it was interrupted."""
    start = time.perf_counter()
    first = job.history.steps
    try:
        with _progress(steps, first, args.batch_size) as show:
            job.train(steps, show)
    except KeyboardInterrupt:
        path = job.snapshot()
        print(
            f"\nInterrupted after {job.history.steps} of {steps} steps. Snapshot: {path}\n"
            "Go on with the same command and --resume.",
            file=sys.stderr,
        )
        return None
    seconds = time.perf_counter() - start
    done = job.history.steps - first
    job.snapshot()
    if done:
        print(f"Trained {done} steps in {seconds:.1f} s ({done * args.batch_size / seconds:.0f} images/s)")
    return seconds


@contextmanager
def _progress(steps: int, first: int, batch_size: int) -> Iterator[Any]:
    """A bar on a terminal, plain lines elsewhere."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=steps, initial=first, unit="step", desc="training", dynamic_ncols=True) as bar:

            def tick(loss: float, accuracy: float) -> None:
                bar.set_postfix(loss=f"{loss:.4f}", accuracy=f"{accuracy:.3f}", refresh=False)
                bar.update()

            yield tick
        return
    done, started = first, time.perf_counter()

    def line(loss: float, accuracy: float) -> None:
        nonlocal done
        done += 1
        if done % PLAIN_EVERY == 0 or done == steps:
            rate = (done - first) * batch_size / (time.perf_counter() - started)
            print(
                f"step {done}/{steps}  loss {loss:.4f}  accuracy {accuracy:.3f}  {rate:.0f} images/s",
                flush=True,
            )

    yield line


def _write_numbers(job: Job, args: argparse.Namespace, accuracy: float, seconds: float, source: str) -> None:
    from freshpot.formats.atomic import write_bytes

    numbers = {
        "dialect": job.dialect,
        "model": args.model,
        "steps": job.history.steps,
        "batch_size": args.batch_size,
        "seed": args.seed,
        "device": args.device,
        "test_accuracy": accuracy,
        "seconds": round(seconds, 2),
        "data": source,
    }
    write_bytes(job.settings.out / "result.json", (json.dumps(numbers, indent=1) + "\n").encode())
