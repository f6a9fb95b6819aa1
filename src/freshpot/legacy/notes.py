"""What a run did for a program beyond running it: the table at the end says all of it."""

from __future__ import annotations

__all__ = ["Notes"]


class Notes:
    """Sentences in the order they came, each once."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def add(self, text: str) -> None:
        """Note a thing; the same words again are not noted again."""
        self._lines[text] = None

    @property
    def lines(self) -> list[str]:
        return list(self._lines)
