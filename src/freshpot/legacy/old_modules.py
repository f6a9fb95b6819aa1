"""Modules of Python 2's library under their old names, made of today's: ``urllib2``, ``StringIO``, ``cPickle`` …"""

from __future__ import annotations

import importlib
import io
import urllib.error
import urllib.parse
import urllib.request
from types import ModuleType
from typing import Any

from freshpot.legacy.python2 import native

__all__ = ["URLLIB", "make", "renamed"]

#: old name -> modules of today whose names it had
renamed = {
    "BaseHTTPServer": ("http.server",),
    "ConfigParser": ("configparser",),
    "Cookie": ("http.cookies",),
    "HTMLParser": ("html.parser",),
    "Queue": ("queue",),
    "SimpleHTTPServer": ("http.server",),
    "SocketServer": ("socketserver",),
    "Tkinter": ("tkinter",),
    "UserDict": ("collections",),
    "__builtin__": ("builtins",),
    "cPickle": ("pickle",),
    "cookielib": ("http.cookiejar",),
    "copy_reg": ("copyreg",),
    "cStringIO": (),
    "StringIO": (),
    "httplib": ("http.client",),
    "thread": ("_thread",),
    "urllib2": ("urllib.request", "urllib.error", "urllib.parse"),
    "urlparse": ("urllib.parse",),
}


def make(name: str) -> ModuleType:
    """The module of an old name.

    Raises:
        ImportError: a module of today that it is made of is missing on this system.
    """
    module = ModuleType(name, f"Python 2's {name}, made of {', '.join(renamed[name]) or 'io'}.")
    for source in renamed[name]:
        content = vars(importlib.import_module(source))
        vars(module).update({key: value for key, value in content.items() if not key.startswith("__")})
    vars(module).update(_OWN.get(name, {}))
    return module


def _string_io(value: Any = "") -> io.StringIO | io.BytesIO:
    """A file in memory; of bytes or of text, as its first contents are."""
    return io.BytesIO(value) if isinstance(value, bytes | bytearray) else io.StringIO(value)


class _Response:
    """An answer from the net whose text is ``str``, whatever else is bytes."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._body: io.StringIO | io.BytesIO | None = None

    @property
    def _file(self) -> io.StringIO | io.BytesIO:
        if self._body is None:
            self._body = _string_io(native(self._response.read()))
        return self._body

    def __getattr__(self, name: str) -> Any:
        own = name in ("read", "readline", "readlines")
        return getattr(self._file if own else self._response, name)

    def __iter__(self) -> Any:
        return iter(self._file)

    def __enter__(self) -> _Response:
        return self

    def __exit__(self, *error: object) -> None:
        self._response.close()


def _urlopen(url: Any, data: Any = None, *args: Any, **keywords: Any) -> _Response:
    body = data.encode() if isinstance(data, str) else data
    return _Response(urllib.request.urlopen(url, body, *args, **keywords))


_OWN: dict[str, dict[str, Any]] = {
    "StringIO": {"StringIO": _string_io},
    "UserDict": {},
    "cStringIO": {"StringIO": _string_io},
    "urllib2": {"urlopen": _urlopen},
}

#: what Python 2's ``urllib`` had and today's package has not
URLLIB: dict[str, Any] = {
    "quote": urllib.parse.quote,
    "quote_plus": urllib.parse.quote_plus,
    "unquote": urllib.parse.unquote,
    "unquote_plus": urllib.parse.unquote_plus,
    "urlencode": urllib.parse.urlencode,
    "urlopen": _urlopen,
    "urlretrieve": urllib.request.urlretrieve,
}
