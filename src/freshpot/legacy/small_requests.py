"""``requests`` where it is not installed: ``get`` and what programs read from its answer, on urllib."""

from __future__ import annotations

import json as json_
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

__all__ = ["HTTPError", "Response", "get"]

HTTPError = urllib.error.HTTPError
_CHUNK = 1 << 16


class Response:
    """An answer.

    Attributes:
        content: the body; status_code: 200 and so on; url: the address.
    """

    def __init__(self, url: str, status_code: int, content: bytes, headers: Any) -> None:
        self.url, self.status_code, self.content, self.headers = url, status_code, content, headers

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        return json_.loads(self.content)

    def iter_content(self, chunk_size: int | None = _CHUNK) -> Iterator[bytes]:
        size = chunk_size or len(self.content) or 1
        return (self.content[at : at + size] for at in range(0, len(self.content), size))

    def raise_for_status(self) -> None:
        """Raise HTTPError for an answer of 400 and more."""
        if not self.ok:
            raise HTTPError(self.url, self.status_code, "the server said no", self.headers, None)


def get(url: str, params: Any = None, timeout: float | None = None, **ignored: Any) -> Response:
    """Fetch an address.

    Raises:
        OSError: it cannot be reached.
    """
    if params:
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode(params)
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return Response(url, response.status, response.read(), response.headers)
    except HTTPError as error:
        return Response(url, error.code, error.read(), error.headers)
