"""``paddle.dataset.movielens``: ratings as readers of [user, gender, age, job, film, categories, title, rating]."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from freshpot.paddle.text import Movielens
from freshpot.paddle.text.datasets.tables import AGES, MovieInfo, UserInfo

__all__ = [
    "age_table", "get_movie_title_dict", "max_job_id", "max_movie_id", "max_user_id", "movie_categories", "movie_info",
    "test", "train", "user_info",
]  # fmt: skip

age_table = list(AGES)


@functools.lru_cache(maxsize=2)
def _data(mode: str = "train") -> Movielens:
    return Movielens(mode=mode)


def train() -> Callable[[], Iterator[list[Any]]]:
    """A reader of nine tenths of the ratings."""
    return lambda: iter(_data().data)


def test() -> Callable[[], Iterator[list[Any]]]:
    """A reader of the others."""
    return lambda: iter(_data("test").data)


def get_movie_title_dict() -> dict[str, int]:
    """Numbers of the titles' words."""
    return _data().movie_title_dict


def movie_categories() -> dict[str, int]:
    """Numbers of the categories."""
    return _data().categories_dict


def movie_info() -> dict[int, MovieInfo]:
    """Films by number."""
    return _data().movie_info


def user_info() -> dict[int, UserInfo]:
    """Who rates, by number."""
    return _data().user_info


def max_movie_id() -> int:
    """The largest number of a film."""
    return max(movie_info())


def max_user_id() -> int:
    """The largest number of a user."""
    return max(user_info())


def max_job_id() -> int:
    """The largest number of a job."""
    return max(user.job_id for user in user_info().values())
