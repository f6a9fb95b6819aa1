"""``paddle.text``: data sets of words from files on this machine, and the best path through a sequence of scores."""

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.text import datasets
from freshpot.paddle.text.datasets import WMT14, WMT16, Conll05st, Imdb, Imikolov, Movielens, UCIHousing
from freshpot.paddle.text.viterbi import ViterbiDecoder, viterbi_decode

__all__ = [
    "WMT14", "WMT16", "Conll05st", "Imdb", "Imikolov", "Movielens", "UCIHousing", "ViterbiDecoder", "datasets",
    "viterbi_decode",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise missing("text", name, __all__)
