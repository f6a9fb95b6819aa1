"""Modules of Python 2's library under their old names, made of today's: ``urllib2``, ``StringIO``, ``cPickle`` …"""

from __future__ import annotations

import hashlib
import importlib
import io
import itertools
import pickle
import string
import sys
import tempfile
import time
import urllib
import urllib.error
import urllib.parse
import urllib.request
from types import ModuleType
from typing import Any

from freshpot.legacy.python2 import named_temporary_file, native

__all__ = ["CHANGED", "GONE", "make", "renamed"]

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
    "UserList": ("collections",),
    "UserString": ("collections",),
    "__builtin__": ("builtins",),
    "anydbm": ("dbm",),
    "cPickle": ("pickle",),
    "commands": ("subprocess",),
    "cookielib": ("http.cookiejar",),
    "copy_reg": ("copyreg",),
    "cStringIO": (),
    "StringIO": (),
    "exceptions": ("builtins",),
    "htmlentitydefs": ("html.entities",),
    "httplib": ("http.client",),
    "md5": ("hashlib",),
    "sets": ("builtins",),
    "thread": ("_thread",),
    "urllib2": ("urllib.request", "urllib.error", "urllib.parse"),
    "tkFileDialog": ("tkinter.filedialog",),
    "tkMessageBox": ("tkinter.messagebox",),
    "urlparse": ("urllib.parse",),
    "xmlrpclib": ("xmlrpc.client",),
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
    """Python 2's took bytes, which were its strings; an empty one takes what is first written."""
    if isinstance(value, bytes | bytearray):
        return io.BytesIO(value)
    return io.StringIO(value) if value else _Undecided()


class _Undecided(io.StringIO):
    """Text, until bytes are written: then it holds bytes, as pictures and archives are written."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes: io.BytesIO | None = None

    def write(self, text: Any) -> int:
        if not isinstance(text, str) and self._bytes is None:
            self._bytes = io.BytesIO(super().getvalue().encode())
            self._bytes.seek(super().tell())
        return super().write(text) if self._bytes is None else self._bytes.write(_as_bytes(text))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def getvalue(self) -> Any:
        return super().getvalue() if self._bytes is None else self._bytes.getvalue()

    def read(self, size: int | None = -1) -> Any:
        return super().read(size) if self._bytes is None else self._bytes.read(size)

    def readline(self, size: int = -1) -> Any:  # type: ignore[override]
        return super().readline(size) if self._bytes is None else self._bytes.readline(size)

    def seek(self, place: int, whence: int = 0) -> int:
        return super().seek(place, whence) if self._bytes is None else self._bytes.seek(place, whence)

    def tell(self) -> int:
        return super().tell() if self._bytes is None else self._bytes.tell()

    def truncate(self, size: int | None = None) -> int:
        return super().truncate(size) if self._bytes is None else self._bytes.truncate(size)


def _as_bytes(text: Any) -> Any:
    return text.encode() if isinstance(text, str) else text


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


def _load_pickle(file: Any) -> Any:
    """Read a pickle as Python 2 did: its text is ``str``, also where the bytes are no UTF-8 (as in arrays)."""
    return pickle.load(file, encoding="latin1")  # the program's own file: it asked for this


_OWN: dict[str, dict[str, Any]] = {
    "cPickle": {"load": _load_pickle, "loads": lambda data: _load_pickle(io.BytesIO(data))},
    "StringIO": {"StringIO": _string_io},
    "cStringIO": {"StringIO": _string_io},
    "md5": {"new": hashlib.md5},
    "sets": {"Set": set, "ImmutableSet": frozenset},
    "urllib2": {"urlopen": _urlopen},
}

_URLLIB: dict[str, Any] = {
    "quote": urllib.parse.quote,
    "quote_plus": urllib.parse.quote_plus,
    "unquote": urllib.parse.unquote,
    "unquote_plus": urllib.parse.unquote_plus,
    "urlencode": urllib.parse.urlencode,
    "urlopen": _urlopen,
    "urlretrieve": urllib.request.urlretrieve,
}

_STRING: dict[str, Any] = {
    "letters": string.ascii_letters,
    "lowercase": string.ascii_lowercase,
    "uppercase": string.ascii_uppercase,
    "atof": float,
    "atoi": int,
    "join": lambda words, sep=" ": sep.join(words),
    "maketrans": str.maketrans,
    **{name: getattr(str, name) for name in ("find", "lower", "replace", "split", "strip", "upper", "zfill")},
}
_ITERTOOLS: dict[str, Any] = {
    "ifilter": filter,
    "ifilterfalse": itertools.filterfalse,
    "imap": map,
    "izip": zip,
    "izip_longest": itertools.zip_longest,
}

#: what Python 2's modules had and today's have not
GONE: tuple[tuple[ModuleType, dict[str, Any]], ...] = (
    (itertools, _ITERTOOLS),
    (string, _STRING),
    (sys, {"setdefaultencoding": lambda name: None, "maxint": sys.maxsize, "exc_clear": lambda: None}),
    (time, {"clock": time.perf_counter}),
    (urllib, _URLLIB),
)

#: what is still there, and takes less than it took: while a program runs it takes both
CHANGED: tuple[tuple[ModuleType, dict[str, Any]], ...] = (
    (tempfile, {"NamedTemporaryFile": named_temporary_file}),
)
