"""``paddle.text.datasets``: each reads the original's file; see :mod:`freshpot.paddle._archives` for where from."""

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.text.datasets.corpora import Imdb, Imikolov
from freshpot.paddle.text.datasets.roles import Conll05st
from freshpot.paddle.text.datasets.tables import MovieInfo, Movielens, UCIHousing, UserInfo
from freshpot.paddle.text.datasets.translations import WMT14, WMT16

__all__ = [
    "WMT14", "WMT16", "Conll05st", "Imdb", "Imikolov", "MovieInfo", "Movielens", "UCIHousing", "UserInfo",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise missing("text.datasets", name, __all__)
