"""The most memory that training LeNet takes, a process each, beside PyTorch eager."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

from freshpot.bench.jobs._contest import one_line, torch_name
from freshpot.bench.remote import Remote
from freshpot.bench.rows import Options, Row, job

DOORS = {"Caffe2 door": ("caffe2_lenet", False), "Caffe door": ("caffe_lenet", True)}


@job("memory", "peak memory of LeNet training, batch 64")
def memory(options: Options) -> Iterator[Row]:
    rival = torch_name("eager")
    if importlib.util.find_spec("resource") is None:
        yield Row("peak memory, LeNet training", rival, note="not measured: this system does not tell it")
        return
    steps = 5 if options.quick else 200
    for door, (program, momentum) in DOORS.items():
        options.say(f"  {steps} steps of PyTorch eager and of the {door}")
        try:
            theirs = _peak(options, "torch_lenet", steps, momentum=momentum)
            ours = _peak(options, program, steps)
        except Exception as error:
            yield Row(f"peak memory, LeNet training, {door}", rival, note=one_line(error))
            continue
        for k, note in enumerate(("the process as a whole", "what is added after the imports")):
            what = f"peak memory, LeNet training, {door}"
            yield Row(what, rival, theirs[k] / 2**20, ours[k] / 2**20, "MB", 1.1, note)


def _peak(options: Options, program: str, steps: int, **given: object) -> tuple[int, int]:
    """Bytes: the process's peak, and that less the peak when everything was imported."""
    with Remote(sys.executable, program, threads=options.threads, original=False, **given) as remote:
        remote.time(steps)
        answer = remote.ask(memory=True)
        return answer["peak"], answer["peak"] - answer["imported"]
