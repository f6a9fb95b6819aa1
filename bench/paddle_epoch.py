"""One epoch of the Paddle tutorial, its own loop and ``Model.fit``: freshpot's paddle beside the real one.

The same program (LeNet, Adam, batch 64, shuffled, its metrics and printed lines) runs in a process each, in turn.
Epochs may be parts of one (``--batches``, of 938). Without ``--paddle-python`` freshpot's side is timed alone.

    python bench/paddle_epoch.py --paddle-python EXE [--batches 100] [--threads N] [--rounds 5] [--data DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

import torch

from freshpot.bench.remote import Remote
from freshpot.bench.timing import medians
from freshpot.data.mnist import load_mnist


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--paddle-python", metavar="EXE", help="a Python with paddlepaddle")
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", help="folder with MNIST; default as freshpot finds it")
    args = parser.parse_args()
    train = load_mnist(args.data, "train")
    if train.synthetic and args.paddle_python:
        parser.error(
            "MNIST is not here, and the original does not read drawn digits: name its folder with --data"
        )
    folder = str(train.source)
    if not train.synthetic:
        os.environ.setdefault("FRESHPOT_DATA", folder)
    given = {"threads": args.threads, "batches": args.batches, "folder": folder}
    print(f"{args.batches} of 938 batches, {args.threads} threads")
    for way in ("loop", "fit"):
        with contextlib.ExitStack() as stack:
            jobs = {
                "freshpot": Remote(sys.executable, "paddle_epoch", original=False, way=way, own=True, **given)
            }
            if args.paddle_python:
                jobs["original"] = Remote(args.paddle_python, "paddle_epoch", way=way, **given)
            for job in jobs.values():
                stack.callback(job.close)
            times = medians(jobs, turn_s=0.0, rounds=args.rounds, warm_up=1)
            line = ", ".join(f"{name} ({jobs[name].version}) {time:.3f} s" for name, time in times.items())
            if "original" in times:
                line += f": {times['freshpot'] / times['original']:.2f} of the original's time"
            print(f"{way}: {line}")


if __name__ == "__main__":
    main()
