"""How cost grows: LeNet's step over the batch size, ResNet's forward pass over its depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from freshpot.bench.jobs._contest import OURS, local, one_line, torch_name
from freshpot.bench.programs import caffe2_lenet, caffe2_resnet, torch_lenet, torch_resnet
from freshpot.bench.rows import Curve, Options, Result, Row, job
from freshpot.bench.timing import Timed, medians

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
DEPTHS = tuple(caffe2_resnet.DEPTHS)
SIDE = 64  # pixels
#: calls before a clock runs: code for a net is made in its first runs, a piece at a time
_WARM_UP = 24


@job("growth-batch", "LeNet training step over the batch size")
def growth_batch(options: Options) -> Iterator[Result]:
    threads = options.threads
    yield from _grow(
        options,
        "LeNet training step",
        "batch",
        BATCHES[:3] if options.quick else BATCHES,
        lambda batch: local(caffe2_lenet.make, threads, batch, f"bench_lenet_{batch}"),
        {
            torch_name("eager"): lambda batch: local(torch_lenet.make, threads, batch),
            torch_name("channels-last"): lambda batch: local(
                torch_lenet.make, threads, batch, "channels-last"
            ),
        },
    )


@job("growth-depth", "ResNet forward pass over its depth, one image of 64 x 64")
def growth_depth(options: Options) -> Iterator[Result]:
    threads = options.threads
    yield from _grow(
        options,
        "ResNet forward pass, 64 x 64",
        "depth",
        DEPTHS[:1] if options.quick else DEPTHS,
        lambda depth: local(caffe2_resnet.make, threads, depth, SIDE),
        {
            torch_name("eager"): lambda depth: local(torch_resnet.make, threads, depth, SIDE),
            torch_name("channels-last"): lambda depth: local(
                torch_resnet.make, threads, depth, SIDE, 1, "channels-last"
            ),
        },
        warm_up=_WARM_UP,
    )


def _grow(
    options: Options,
    what: str,
    over: str,
    sizes: tuple[int, ...],
    ours: Callable[[int], Callable[[], Timed]],
    rivals: dict[str, Callable[[int], Callable[[], Timed]]],
    warm_up: int = 1,
) -> Iterator[Result]:
    """A row for each size and rival, and the curves."""
    curves: dict[str, tuple[list[int], list[float]]] = {name: ([], []) for name in (OURS, *rivals)}
    for size in sizes:
        options.say(f"  {what}, {over} {size}")
        work = f"{what}, {over} {size}, Caffe2 door"
        try:
            made = {name: make(size)() for name, make in {OURS: ours, **rivals}.items()}
            found = medians(made, turn_s=options.turn_s / 2, rounds=min(options.rounds, 5), warm_up=warm_up)
        except Exception as error:
            for name in rivals:
                yield Row(work, name, note=one_line(error))
            continue
        for name, once in found.items():
            curves[name][0].append(size)
            curves[name][1].append(once)
        for name in rivals:
            yield Row(work, name, found[name], found[OURS])
    for name, (x, seconds) in curves.items():
        if x:
            yield Curve(what, name, over, x, seconds)
