"""What the scripts here share; the timing itself is `freshpot.bench.timing`."""

from __future__ import annotations

import argparse

import torch

from freshpot.bench.timing import alternate, table

__all__ = ["alternate", "sizes", "table"]


def sizes(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the arguments that LeNet's benchmarks share, and set the threads."""
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return args
