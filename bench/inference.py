"""Inference of nets with random weights: freshpot beside PyTorch, OpenCV and ONNX Runtime.

The same prototxt and parameters everywhere; outputs are compared first. The jobs take turns, in one process.

    python bench/inference.py [--net squeezenet resnet50 …] [--batch 1] [--threads 2] [--rounds 15] [--clock wall|cpu]
        [--jobs Predictor caffe.Net last ONNX …]

``--net`` takes the names of `nets.NETS`. ``--clock cpu`` counts the processor time of the one thread that works
(with ``--threads 1``): it is what to look at on a machine that has other things to do. OpenCV and ONNX Runtime
(packages onnxruntime and onnx) are left out, saying so, where they are not installed.
"""

from __future__ import annotations

import argparse
import os
import statistics as numbers
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from compare import table
from nets import NETS
from walkers import TorchNet, TorchNetLast, caffe2_nets, onnx_model

from freshpot.native import pace

Job = Callable[[], np.ndarray]
#: seconds between the turns of two jobs
_PAUSE = 0.1
#: scales before sums
_BEFORE_SUMS = ("_branch2b_scale", "_branch2c_scale", "/linear_scale")
#: runs in which all machine code is made, a piece a run
_FIRST_RUNS = 25


def caffe_net(text: str, folder: str) -> object:
    """The net in the test phase, with random statistics for its normalisations."""
    import caffe

    path = os.path.join(folder, "net.prototxt")
    with open(path, "w") as file:
        file.write(text)
    net = caffe.Net(path, caffe.TEST)
    rng = np.random.default_rng(0)
    for name, blobs in net.params.items():
        if name.endswith("_bn"):
            blobs[0].data[...] = 0.1 * rng.standard_normal(blobs[0].data.shape)
            blobs[1].data[...] = 0.5 + rng.random(blobs[1].data.shape)
            blobs[2].data[...] = 1.0
        if name.endswith(_BEFORE_SUMS):
            blobs[0].data[...] = 0.2  # else the blocks' outputs grow beyond all bounds
    return net


def jobs_of(name: str, batch: int, threads: int, folder: str, wanted: list[str]) -> dict[str, Job]:
    """What is timed: functions that give the probabilities."""
    text = NETS[name](batch)
    net = caffe_net(text, folder)
    parameters = {layer: [blob.data.copy() for blob in blobs] for layer, blobs in net.params.items()}
    images = np.random.default_rng(1).random(net.blobs["data"].data.shape, dtype=np.float32)
    net.save(os.path.join(folder, "net.caffemodel"))
    makers: dict[str, Callable[[], Job | None]] = {
        "freshpot, caffe2 Predictor": lambda: predictor(text, parameters, images),
        "freshpot, caffe.Net.forward": lambda: lambda: net.forward(data=images)["prob"],
        "PyTorch eager": lambda: eager(TorchNet(text, parameters), torch.from_numpy(images)),
        "PyTorch eager, channels last": lambda: eager(
            TorchNetLast(text, parameters),
            torch.from_numpy(images).contiguous(memory_format=torch.channels_last),
        ),
        "OpenCV DNN": lambda: opencv(folder, images, threads),
        "ONNX Runtime": lambda: onnx_runtime(text, parameters, images, threads),
    }
    chosen = {job for job in makers if not wanted or any(word in job for word in wanted)}
    made = {job: make() for job, make in makers.items() if job in chosen}
    return {job: run for job, run in made.items() if run is not None}


def predictor(text: str, parameters: dict, images: np.ndarray) -> Job:
    """Caffe2's predictor."""
    from caffe2.python import workspace

    made = workspace.Predictor(*caffe2_nets(text, parameters))
    return lambda: made.run([images])[0]


def eager(module: torch.nn.Module, x: torch.Tensor) -> Job:
    """A module of PyTorch's."""
    module.eval()

    def run() -> np.ndarray:
        with torch.inference_mode():
            return module(x).numpy()

    return run


def opencv(folder: str, images: np.ndarray, threads: int) -> Job | None:
    """OpenCV's DNN module on the prototxt and the caffemodel."""
    try:
        import cv2
    except ImportError:
        print("OpenCV is left out: it is not installed.")
        return None
    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromCaffe(
        *(os.path.join(folder, f"net.{end}") for end in ("prototxt", "caffemodel"))
    )

    def run() -> np.ndarray:
        net.setInput(images)
        return net.forward()

    return run


def onnx_runtime(text: str, parameters: dict, images: np.ndarray, threads: int) -> Job | None:
    """ONNX Runtime on the CPU, with its own optimisations."""
    try:
        import onnxruntime

        model = onnx_model(text, parameters, images.shape)
    except ImportError:
        print("ONNX Runtime is left out: packages onnxruntime and onnx are not installed.")
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"data": images})[0]


def warm(jobs: dict[str, Job]) -> None:
    """Run ours until all machine code is made and chosen, which is spread over the first runs."""
    pace.is_time = lambda: True
    for name, job in jobs.items():
        if name.startswith("freshpot"):
            for _ in range(_FIRST_RUNS):
                job()


def compare_outputs(jobs: dict[str, Job]) -> None:
    """Say how far the outputs are from PyTorch's (or the last job's); refuse what does another job."""
    results = {name: np.asarray(job()).reshape(-1) for name, job in jobs.items()}
    wanted = results.get("PyTorch eager", next(reversed(results.values())))
    for name, found in results.items():
        worst = float(np.abs(found - wanted).max() / wanted.max())
        print(f"  {name}: largest difference {worst:.1e} of the largest probability")
        if not worst < 1e-3:
            raise SystemExit(f"{name} computes something else.")


def timed(jobs: dict[str, Job], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of a run: the median, of processor time the shortest.

    Every job runs twice a turn, the second time is taken: caches are its own then.
    Before its turn there is a pause: threads of the job before, which look out for more work, go to sleep meanwhile.
    """
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            time.sleep(_PAUSE)
            job()
            start = clock()
            job()
            spent[name].append(clock() - start)
    pick = numbers.median if clock is time.perf_counter else min
    return {name: pick(times) for name, times in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", nargs="+", choices=NETS, default=["squeezenet", "resnet50"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--jobs", nargs="*", default=[], help="only those whose names have one of these words"
    )
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    args = parser.parse_args()
    if args.clock == "cpu" and args.threads != 1:
        parser.error("--clock cpu goes with --threads 1: it sees one thread.")
    torch.set_num_threads(args.threads)
    clock = time.perf_counter if args.clock == "wall" else time.thread_time
    for name in args.net:
        with tempfile.TemporaryDirectory() as folder:
            jobs = jobs_of(name, args.batch, args.threads, folder, args.jobs)
            warm(jobs)
            compare_outputs(jobs)
            medians = timed(jobs, args.rounds, clock)
        title = f"{name}, batch {args.batch}, {args.threads} threads, {args.clock} time, torch {torch.__version__}"
        base = "ONNX Runtime" if "ONNX Runtime" in medians else next(reversed(medians))
        print(table(title, medians, base))


if __name__ == "__main__":
    main()
