"""One training step of LeNet on MNIST-shaped data: freshpot's Caffe2 door beside PyTorch, alone and quickly.

The programs are those of ``freshpot bench --only lenet``, which has the other competitors too.

    python bench/lenet_step.py [--batch 64] [--threads 2] [--rounds 15] [--no-compile]
"""

from __future__ import annotations

import argparse
import platform
import shutil

import torch
from compare import alternate, sizes, table

from freshpot.bench.programs import caffe2_lenet, torch_lenet


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    args = sizes(parser)
    jobs = {
        "PyTorch eager": torch_lenet.make(args.threads, args.batch),
        "freshpot (Caffe2 door)": caffe2_lenet.make(args.threads, args.batch),
        "same FLOPs as large GEMMs": torch_lenet.make_gemm(args.threads, args.batch),
    }
    if args.no_compile:
        pass
    elif shutil.which("g++") or shutil.which("clang++"):
        jobs["torch.compile"] = torch_lenet.make(args.threads, args.batch, "compile")
    else:
        print("torch.compile left out: it needs a C++ compiler, and there is none here.")
    title = f"LeNet step, batch {args.batch}, {args.threads} threads, torch {torch.__version__}, {platform.machine()}"
    print(table(title, alternate(jobs, args.rounds, 10), "PyTorch eager"))


if __name__ == "__main__":
    main()
