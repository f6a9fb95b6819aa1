"""LeNet's training step: the three doors beside PyTorch, JAX, the originals, and the bare arithmetic."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator

from freshpot.bench.jobs._contest import (
    Rival,
    contest,
    local,
    original_caffe2,
    original_paddle,
    packaged,
    torch_name,
)
from freshpot.bench.programs import caffe2_lenet, caffe_lenet, paddle_lenet, torch_lenet
from freshpot.bench.remote import last_words, thread_environment
from freshpot.bench.rows import Options, Row, job
from freshpot.bench.timing import Local, Timed
from freshpot.errors import DataError, NotSupportedError

BATCH = 64


@job("lenet", "LeNet training step, batch 64")
def lenet(options: Options) -> Iterator[Row]:
    threads = options.threads
    yield from contest(
        options,
        "LeNet step, batch 64, Caffe2 door",
        local(caffe2_lenet.make, threads, BATCH),
        [
            *torch_rivals(options, momentum=False),
            packaged(options, "jax", "JAX", "jax_lenet", batch=BATCH),
            Rival("the same FLOPs as large GEMMs", local(torch_lenet.make_gemm, threads, BATCH), 1.6),
            original_caffe2(options, "caffe2_lenet", 0.35, batch=BATCH),
        ],
    )
    yield from contest(
        options,
        "LeNet solver step, batch 64, Caffe door",
        local(caffe_lenet.make, threads, BATCH),
        [
            *torch_rivals(options, momentum=True),
            Rival("the same FLOPs as large GEMMs", local(torch_lenet.make_gemm, threads, BATCH), 1.6),
            original_caffe(options, 0.35),
        ],
    )
    yield from contest(
        options,
        "LeNet step, batch 64, Paddle door",
        paddle_door(threads),
        [
            Rival(torch_name("eager"), local(torch_lenet.make, threads, BATCH)),
            original_paddle(options, "paddle_lenet", batch=BATCH),
        ],
    )


def torch_rivals(options: Options, *, momentum: bool) -> list[Rival]:
    """PyTorch's three ways."""

    def make(way: str) -> Callable[[], Timed]:
        return local(torch_lenet.make, options.threads, BATCH, way, momentum)

    return [
        Rival(torch_name("eager"), make("eager"), 0.5),
        Rival(torch_name("channels-last"), make("channels-last")),
        Rival(torch_name("compile"), lambda: compiled(options, make("compile"))),
    ]


def compiled(options: Options, make: Callable[[], Timed]) -> Timed:
    """What torch.compile makes; it needs a C++ compiler."""
    if options.quick:
        raise NotSupportedError("left out by --quick: compiling takes long")
    if not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
        raise NotSupportedError("not measured: it needs a C++ compiler, and there is none here")
    return make()


def paddle_door(threads: int) -> Callable[[], Timed]:
    """The step by `freshpot.paddle`."""

    def make() -> Timed:
        import torch

        from freshpot import paddle

        torch.set_num_threads(threads)
        return Local(paddle_lenet.make(threads, BATCH, package=paddle))

    return make


def original_caffe(options: Options, most: float | None) -> Rival:
    """The original ``caffe train``, if the user named it."""

    def make() -> Timed:
        if options.caffe_binary is None:
            raise NotSupportedError("not measured: name the original's command with --caffe-binary")
        return CaffeTrain(options.caffe_binary, options.threads)

    return Rival("Caffe", make, most, "by its own log, the batch in memory")


class CaffeTrain:
    """Steps of ``caffe train``, timed by the seconds that its log gives for so many iterations.

    Raises:
        DataError: it cannot be started, fails, or does not say what BVLC Caffe says.
    """

    _WINDOW = re.compile(r"Iteration (\d+) \(\S+ iter/s, ([\d.e+-]+)s/(\d+) iters\)")

    def __init__(self, binary: str, threads: int, batch: int = BATCH) -> None:
        self._binary, self._threads, self._batch = binary, threads, batch
        #: as it gives it
        self.version = self._run("--version").strip().splitlines()[0][:60]

    def time(self, calls: int) -> float:
        """Median over windows of so many steps, the first left out."""
        with tempfile.TemporaryDirectory() as folder:
            text = caffe_lenet.net_text(caffe_lenet.constant(self._batch))
            solver = caffe_lenet.write_solver(folder, text, 4 * calls + 1, calls)
            log = self._run("train", f"--solver={solver}")
        windows = [float(s) / int(n) for i, s, n in self._WINDOW.findall(log) if int(i) > calls]
        if not windows:
            raise DataError(f"{self._binary} train did not log its speed: {last_words(log)}")
        return statistics.median(windows)

    def _run(self, *arguments: str) -> str:
        environment = {**thread_environment(self._threads), "GLOG_logtostderr": "1"}
        environment.pop("PYTHONPATH", None)
        try:
            done = subprocess.run(
                [self._binary, *arguments],
                capture_output=True,
                env=environment,
                timeout=300,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DataError(f"{self._binary} cannot be run: {error}") from error
        said = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")
        if done.returncode:
            raise DataError(f"{self._binary} {arguments[0]} failed: {last_words(said)}")
        return said
