"""UCIHousing and Movielens: houses and their prices; users, films and ratings."""

from __future__ import annotations

import re
import zipfile
from typing import Any

import numpy as np

from freshpot.errors import FormatError
from freshpot.paddle import _state
from freshpot.paddle._archives import choice, find_archive, reading
from freshpot.paddle.io.dataset import Dataset

__all__ = ["MovieInfo", "Movielens", "UCIHousing", "UserInfo"]

AGES = (1, 18, 25, 35, 45, 50, 56)  # where each group of ages begins


class UCIHousing(Dataset):
    """Houses of Boston: 13 numbers, each less its mean and divided by its range, and the price. From ``housing.data``.

    Raises:
        ArgumentError: another mode. DataError: the file is missing. FormatError: it is no table of 14 columns.
    """

    def __init__(self, data_file: str | None = None, mode: str = "train", download: bool = True) -> None:
        self.mode = choice("UCIHousing", "mode", mode, ("train", "test"))
        path = find_archive("UCIHousing", data_file, "uci_housing", "housing.data", download)
        self.data_file, self.dtype = str(path), _state.get_default_dtype()
        with reading(path, "table"):
            values = np.array(path.read_text().split(), np.float64)
        if not values.size or values.size % 14:
            raise FormatError(f"expected rows of 14 numbers, found {values.size} numbers", path=path)
        rows = values.reshape(-1, 14)
        spread = rows.max(0) - rows.min(0)
        rows[:, :13] = (rows - rows.sum(0) / len(rows))[:, :13] / spread[:13]
        part = int(len(rows) * 0.8)
        self.data = rows[:part] if self.mode == "train" else rows[part:]

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        row = self.data[idx].astype(self.dtype)
        return row[:-1], row[-1:]

    def __len__(self) -> int:
        return len(self.data)


class MovieInfo:
    """A film: ``index``, ``title``, ``categories``."""

    def __init__(self, index: Any, categories: list[str], title: str) -> None:
        self.index, self.categories, self.title = int(index), categories, title

    def value(self, categories_dict: dict[str, int], movie_title_dict: dict[str, int]) -> list[list[int]]:
        """Its number, its categories' numbers, its title's words' numbers."""
        words = [movie_title_dict[word.lower()] for word in self.title.split()]
        return [[self.index], [categories_dict[name] for name in self.categories], words]

    def __repr__(self) -> str:
        return f"<MovieInfo id({self.index}), title({self.title}), categories({self.categories})>"


class UserInfo:
    """Who rates: ``index``, ``is_male``, ``age`` (the group's number), ``job_id``."""

    def __init__(self, index: Any, gender: str, age: Any, job_id: Any) -> None:
        self.index, self.is_male = int(index), gender == "M"
        self.age, self.job_id = AGES.index(int(age)), int(job_id)

    def value(self) -> list[list[int]]:
        """Number, 0 for men and 1 for women, group of age, job."""
        return [[self.index], [0 if self.is_male else 1], [self.age], [self.job_id]]

    def __repr__(self) -> str:
        gender = "M" if self.is_male else "F"
        return f"<UserInfo id({self.index}), gender({gender}), age({AGES[self.age]}), job({self.job_id})>"


class Movielens(Dataset):
    """Ratings of films, from ``ml-1m.zip``: user, gender, age, job, film, categories, words of its title, rating (-3
    to 5).

    Words and categories are numbered as they first occur (the original's numbers change from run to run).

    Args:
        test_ratio: the share of ratings that is for tests, drawn with ``rand_seed``.

    Raises:
        ArgumentError: another mode. DataError: the archive is missing. FormatError: it is broken.
    """

    def __init__(
        self,
        data_file: str | None = None,
        mode: str = "train",
        test_ratio: float = 0.1,
        rand_seed: int = 0,
        download: bool = True,
    ) -> None:
        self.mode = choice("Movielens", "mode", mode, ("train", "test"))
        path = find_archive("Movielens", data_file, "sentiment", "movielens%2Fml-1m.zip", download)
        self.data_file, self.test_ratio, self.rand_seed = str(path), test_ratio, rand_seed
        with reading(path), zipfile.ZipFile(path) as package:
            films, users, ratings = (
                [
                    line.strip().split("::")
                    for line in package.read(f"ml-1m/{name}.dat").decode("latin").splitlines()
                ]
                for name in ("movies", "users", "ratings")
            )
            self._people(films, users)
            np.random.seed(rand_seed)
            for_test = np.random.random(len(ratings)) < test_ratio
            wanted = [
                row for row, test in zip(ratings, for_test, strict=True) if test == (self.mode == "test")
            ]
            self.data = [self._sample(*row) for row in wanted]

    def _people(self, films: list[list[str]], users: list[list[str]]) -> None:
        self.movie_info: dict[int, MovieInfo] = {}
        self.categories_dict: dict[str, int] = {}
        self.movie_title_dict: dict[str, int] = {}
        for number, title, kinds in films:
            named = re.match(r"^(.*)\((\d+)\)$", title)
            film = MovieInfo(number, kinds.split("|"), named[1] if named else title)
            self.movie_info[film.index] = film
            for kind in film.categories:
                self.categories_dict.setdefault(kind, len(self.categories_dict))
            for word in film.title.split():
                self.movie_title_dict.setdefault(word.lower(), len(self.movie_title_dict))
        self.user_info = {int(row[0]): UserInfo(*row[:4]) for row in users}

    def _sample(self, user: str, film: str, rating: str, when: str) -> list[Any]:
        about = self.movie_info[int(film)].value(self.categories_dict, self.movie_title_dict)
        return [*self.user_info[int(user)].value(), *about, [float(rating) * 2 - 5.0]]

    def __getitem__(self, idx: int) -> tuple[Any, ...]:
        return tuple(np.array(part) for part in self.data[idx])

    def __len__(self) -> int:
        return len(self.data)
