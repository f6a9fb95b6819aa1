"""`freshpot mnist`: train on MNIST, test, look inside, save, reload, predict.

Owned here: the command, its progress and its closing words. Who calls it: `freshpot.cli`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from freshpot.errors import ArgumentError, DataError

PLAIN_EVERY = 100  # steps between progress lines where there is no terminal


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "mnist",
        help="train LeNet on MNIST, test it, show what it learned",
        description="Train a net on MNIST, test it on the 10,000 test images, write pictures and a report, "
        "save the model, load it into a fresh workspace and predict with it.",
    )
    parser.add_argument("--model", choices=("lenet", "mlp"), default="lenet")
    parser.add_argument("--iters", type=int, metavar="N", help="training steps (instead of --epochs)")
    parser.add_argument(
        "--epochs", type=float, default=2.0, metavar="N", help="passes over the data (default 2)"
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images a step (default 64)")
    parser.add_argument("--data", metavar="DIR", help="folder with the IDX files, or 'synthetic'")
    parser.add_argument(
        "--out", type=Path, default=Path("freshpot-mnist"), metavar="DIR", help="where results go"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--resume", action="store_true", help="go on from the snapshot in --out")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do the job; 0 if all of it went well, 130 if it was interrupted (a snapshot is kept)."""
    from freshpot.cli import mnist_job, mnist_report
    from freshpot.data.mnist import load_mnist

    _check(args)
    args.out.mkdir(parents=True, exist_ok=True)
    train, test = load_mnist(args.data, "train"), load_mnist(args.data, "test")
    print(f"Data: {train.title}, {len(train)} training and {len(test)} test images ({train.source})")
    settings = mnist_job.Settings(args.model, args.batch_size, args.seed, args.device, args.out.resolve())
    job = mnist_job.MnistJob(settings, *(_database(split) for split in (train, test)))
    if args.resume:
        print(f"Resumed after {job.resume()} steps from {args.out / 'snapshot.minidb'}")
    steps = args.iters if args.iters is not None else round(args.epochs * len(train) / args.batch_size)
    seconds = _train(job, steps, args)
    if seconds is None:
        return 130
    result = job.test()
    print(f"Test accuracy: {result.accuracy:.4f} on {len(result.labels)} images")
    saved = job.save_predictor()
    again = mnist_job.predict(saved, np.float32(test.images[:100, None]) * np.float32(1 / 256))
    if not np.allclose(again, result.softmax[: len(again)], atol=1e-5):
        raise DataError(
            f"the model reloaded from {saved} does not predict what it predicted before it was saved."
        )
    digits = " ".join(map(str, again[:10].argmax(1)))
    print(f"Saved {saved.name}, reloaded in a fresh workspace: it reads the first test digits as {digits}")
    report = mnist_report.write(job, result, train, test, seconds)
    _write_numbers(args.out / "result.json", args, steps, result.accuracy, seconds, train.source)
    print(f"Report: {report}")
    return 0


def _check(args: argparse.Namespace) -> None:
    for name in ("iters", "batch_size"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ArgumentError(f"--{name.replace('_', '-')} must be at least 1, got {value}.")
    if args.epochs <= 0:
        raise ArgumentError(f"--epochs must be more than 0, got {args.epochs:g}.")
    kind, _, number = args.device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise ArgumentError(f"--device must be cpu, cuda or cuda:N, got '{args.device}'.")


def _database(split: Any) -> tuple[Path, int]:
    """An LMDB of the split in the cache, written the first time; its path and number of records."""
    import shutil

    from freshpot.data.cache import cache_folder
    from freshpot.data.image_db import write_image_db

    kind = "synthetic" if split.synthetic else "mnist"
    path = cache_folder("lmdb") / f"{kind}-{split.split}-{len(split)}-{split_digest(split)}-nchw-lmdb"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            write_image_db("lmdb", part, split.images[:, None], split.labels)
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return path, len(split)


def split_digest(split: Any) -> str:
    """A few hex digits that tell one data set from another."""
    import zlib

    return f"{zlib.crc32(split.labels.tobytes(), zlib.crc32(split.images.tobytes())):08x}"


def _train(job: Any, steps: int, args: argparse.Namespace) -> float | None:
    """Train with progress; seconds it took, or None if it was interrupted."""
    start = time.perf_counter()
    first = job.history.steps
    try:
        with _progress(steps, first, args.batch_size) as show:
            for loss, accuracy in job.train(steps):
                show(loss, accuracy)
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


def _write_numbers(
    path: Path, args: argparse.Namespace, steps: int, accuracy: float, seconds: float, source: str
) -> None:
    from freshpot.formats.atomic import write_bytes

    numbers = {
        "model": args.model,
        "steps": steps,
        "batch_size": args.batch_size,
        "seed": args.seed,
        "device": args.device,
        "test_accuracy": accuracy,
        "seconds": round(seconds, 2),
        "data": source,
    }
    write_bytes(path, (json.dumps(numbers, indent=1) + "\n").encode())
