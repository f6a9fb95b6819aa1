"""An epoch of MNIST from LMDB, read, decoded, scaled and trained on, beside the PyTorch tutorial's loop."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from freshpot.bench.jobs._contest import Rival, contest, torch_name
from freshpot.bench.programs import caffe2_lenet, caffe_lenet, mnist_epoch
from freshpot.bench.rows import Options, Row, job
from freshpot.bench.timing import Timed

BATCH = 64
ROUNDS = 3
#: of an epoch that is timed at a time
PART = 4


class Epoch:
    """The first part of an epoch: what ``make`` sets up, opening the database too, is on the clock."""

    def __init__(self, make: Callable[[], Callable[[], object]], steps: int) -> None:
        self._make, self._steps = make, steps

    def time(self, calls: int) -> float:
        """Seconds from nothing to the last step; ``calls`` is not needed, it is long enough."""
        start = time.perf_counter()
        step = self._make()
        for _ in range(self._steps):
            step()
        return time.perf_counter() - start


@job("epoch", "MNIST epoch end to end from LMDB, batch 64")
def epoch(options: Options) -> Iterator[Row]:
    from freshpot.data.image_db import write_image_db
    from freshpot.data.mnist import load_mnist

    digits = load_mnist(options.data, "train", limit=640 if options.quick else None)
    steps = -(-len(digits) // BATCH // PART)
    options.say(f"  writing {len(digits)} records of {digits.title} to LMDB")
    with tempfile.TemporaryDirectory(prefix="freshpot-bench-") as folder:
        tensors, datums = os.path.join(folder, "tensors"), os.path.join(folder, "datums")
        write_image_db("lmdb", tensors, digits.images[:, None], digits.labels)
        write_image_db("lmdb", datums, digits.images[:, None], digits.labels, record="datum")
        yield from _doors(options, tensors, datums, digits.images, digits.labels, steps)


def _doors(
    options: Options, tensors: str, datums: str, images: np.ndarray, labels: np.ndarray, steps: int
) -> Iterator[Row]:
    threads = options.threads

    def timed(make: Callable[[], Callable[[], object]]) -> Callable[[], Timed]:
        return lambda: Epoch(make, steps)

    for net, sizes in mnist_epoch.NETS.items():
        loop = Rival(
            torch_name("tutorial's loop"),
            timed(lambda net=net: mnist_epoch.make_torch(images, labels, threads, BATCH, net)),  # type: ignore[misc]
            0.25,
            f"{steps * PART} steps, by {steps}; the same net on both sides: "
            + " and ".join(f"{n}" for n in sizes[:2])
            + f" channels, {sizes[2]} hidden units, no dropout",
        )
        in_memory = Rival(
            "the same steps, batch in memory",
            timed(lambda: caffe2_lenet.make(threads, BATCH)),
            note="what reading, decoding and scaling add",
        )
        yield from contest(
            options,
            f"MNIST epoch, {net}, Caffe2 door",
            timed(lambda net=net: mnist_epoch.make_caffe2(tensors, BATCH, net)),  # type: ignore[misc]
            [loop, in_memory] if net == "LeNet" else [loop],
            times=PART,
            rounds=2 if options.quick else ROUNDS,
            warm_up=0,
        )
        in_memory = Rival(
            "the same steps, batch in memory",
            timed(lambda: caffe_lenet.make(threads, BATCH)),
            note="what reading, decoding and scaling add",
        )
        yield from contest(
            options,
            f"MNIST epoch, {net}, Caffe door",
            timed(lambda sizes=sizes: caffe_lenet.make(threads, BATCH, datums, sizes)),  # type: ignore[misc]
            [loop, in_memory] if net == "LeNet" else [loop],
            times=PART,
            rounds=2 if options.quick else ROUNDS,
            warm_up=0,
        )
