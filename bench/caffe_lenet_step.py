"""One solver step of LeNet on MNIST-shaped data: freshpot's Caffe door beside PyTorch, alone and quickly.

The programs are those of ``freshpot bench --only lenet``, which has the other competitors too.

    python bench/caffe_lenet_step.py [--batch 64] [--threads 2] [--rounds 15]
"""

from __future__ import annotations

import argparse

import torch
from compare import alternate, sizes, table

from freshpot.bench.programs import caffe_lenet, torch_lenet


def main() -> None:
    args = sizes(argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]))
    jobs = {
        "PyTorch eager": torch_lenet.make(args.threads, args.batch, momentum=True),
        "freshpot (Caffe door)": caffe_lenet.make(args.threads, args.batch),
        "same FLOPs as large GEMMs": torch_lenet.make_gemm(args.threads, args.batch),
    }
    title = f"LeNet solver step, batch {args.batch}, {args.threads} threads, torch {torch.__version__}"
    print(table(title, alternate(jobs, args.rounds, 10), "PyTorch eager"))


if __name__ == "__main__":
    main()
