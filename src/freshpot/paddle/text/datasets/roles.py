"""Conll05st: who does what to whom; sentences with a verb and the roles of its words."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from freshpot.paddle._archives import find_archive, member, reading
from freshpot.paddle.io.dataset import Dataset

__all__ = ["Conll05st"]

_PARTS = "conll05st-release/test.wsj"


class Conll05st(Dataset):
    """The test half of CoNLL-2005, the only one that is free. A sample is nine rows as long as the sentence: words, the
    words two before to two after the verb (each repeated), the verb, 1 near the verb and 0 elsewhere, roles.

    Roles are numbered as they first occur in their file (the original's numbers change from run to run).

    Args:
        data_file, word_dict_file, verb_dict_file, target_dict_file, emb_file: the archive, the words, verbs and
            roles, and the words' vectors; None: where :mod:`freshpot.paddle._archives` looks.

    Raises:
        DataError: a file is missing. FormatError: one is broken.
    """

    def __init__(
        self,
        data_file: str | None = None,
        word_dict_file: str | None = None,
        verb_dict_file: str | None = None,
        target_dict_file: str | None = None,
        emb_file: str | None = None,
        download: bool = True,
    ) -> None:
        def find(named: str | None, name: str) -> Path:
            return find_archive("Conll05st", named, "conll05st", name, download)

        path = find(data_file, "conll05st-tests.tar.gz")
        words, verbs, roles = (
            find(word_dict_file, "conll05st%2FwordDict.txt"),
            find(verb_dict_file, "conll05st%2FverbDict.txt"),
            find(target_dict_file, "conll05st%2FtargetDict.txt"),
        )
        self.data_file = str(path)
        self.emb_file = str(find(emb_file, "conll05st%2Femb"))
        self.word_dict, self.predicate_dict = _numbers(words), _numbers(verbs)
        tags = dict.fromkeys(tag[2:] for tag in _numbers(roles) if tag.startswith(("B-", "I-")))
        self.label_dict = {f"{end}-{tag}": 2 * n + (end == "I") for n, tag in enumerate(tags) for end in "BI"}
        self.label_dict["O"] = 2 * len(tags)
        self.sentences: list[list[str]] = []
        self.predicates: list[str] = []
        self.labels: list[list[str]] = []
        with reading(path), tarfile.open(path) as archive:
            text, props = (
                gzip.decompress(member(archive, f"{_PARTS}/{kind}/test.wsj.{kind}.gz")).decode().splitlines()
                for kind in ("words", "props")
            )
            self._read(text, props)

    def _read(self, text: list[str], props: list[str]) -> None:
        sentence: list[str] = []
        table: list[list[str]] = []
        for word, line in zip(text, props, strict=False):
            if cells := line.split():
                sentence.append(word.strip())
                table.append(cells)
                continue
            columns = list(zip(*table, strict=True))
            verbs = [cell for cell in columns[0] if cell != "-"] if columns else []
            for verb, column in zip(verbs, columns[1:], strict=True):
                self.sentences.append(sentence)
                self.predicates.append(verb)
                self.labels.append(_roles(column))
            sentence, table = [], []

    def __getitem__(self, idx: int) -> tuple[Any, ...]:
        sentence, labels = self.sentences[idx], self.labels[idx]
        verb, size = labels.index("B-V"), len(labels)
        near = {step: verb + step for step in (-2, -1, 0, 1, 2) if 0 <= verb + step < size}
        mark = [int(place in near.values()) for place in range(size)]
        around = [
            sentence[near[step]] if step in near else ("bos" if step < 0 else "eos")
            for step in (-2, -1, 0, 1, 2)
        ]
        rows: list[Any] = [[self.word_dict.get(word, 0) for word in sentence]]
        rows += [[self.word_dict.get(word, 0)] * size for word in around]
        rows += [[self.predicate_dict.get(self.predicates[idx])] * size, mark]
        rows.append([self.label_dict.get(label) for label in labels])
        return tuple(np.array(row) for row in rows)

    def __len__(self) -> int:
        return len(self.sentences)

    def get_dict(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        """Numbers of words, verbs and roles."""
        return self.word_dict, self.predicate_dict, self.label_dict

    def get_embedding(self) -> str:
        """The path of the words' vectors."""
        return self.emb_file


def _numbers(path: Path) -> dict[str, int]:
    with reading(path, "list"):
        return {line.strip(): number for number, line in enumerate(path.read_text().splitlines())}


def _roles(column: tuple[str, ...]) -> list[str]:
    """Brackets as tags: "(A0*", "*", "*)" are B-A0, I-A0, I-A0."""
    made, tag, within = [], "O", False
    for cell in column:
        if "(" in cell:
            tag, within = cell[1 : cell.index("*")], ")" not in cell
            made.append(f"B-{tag}")
        elif cell in ("*", "*)"):
            made.append(f"I-{tag}" if within or cell == "*)" else "O")
            within = within and cell == "*"
        else:
            raise ValueError(f"'{cell}' is no bracket of roles")
    return made
